// A long YAML file of entries (a list, or a map of names) read entry by entry: after a change only the entries that
// changed are parsed and checked, and the event loop is given back between them.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { z } from 'zod'
import type { Environment } from './env.ts'
import { type PlainEntry, readPlainEntry } from './plain-entry.ts'
import { comparePlaces, type Problem, printable } from './problem.ts'
import { checkElement, checkKey } from './schema-problems.ts'
import { type Part, parseYaml, type YamlDocument } from './yaml-document.ts'

/** How long entries are read before other work gets its turn. */
const turnMs = 4

/** An entry as it stands in the file, and what came out of it. */
interface Entry {
  readonly key: string | undefined
  /** Undefined when the schema refused it. */
  readonly checked: { readonly value: unknown } | undefined
}

/** A part of the text: from the line on which an entry begins up to the next one. */
interface Chunk {
  readonly offset: number
  readonly text: string
}

export interface ReadEntries<T> {
  readonly value: T | undefined
  readonly problems: Problem[]
  locate(path: readonly PropertyKey[]): string
  problem(path: readonly PropertyKey[], part: Part, message: string): Problem
}

export class EntryReader<T> {
  readonly #path: string
  readonly #shape: Shape | undefined
  readonly #env: Environment
  /** The good entries of the version before, by their text. */
  #known = new Map<string, Entry>()

  constructor(path: string, schema: z.ZodType<T>, env: Environment) {
    this.#path = path
    this.#shape = shapeOf(schema)
    this.#env = env
  }

  /**
   * Undefined: this text is not simply one entry below the other, or the schema is of another kind; read it as a whole.
   * What comes out is what reading it as a whole would give.
   */
  async read(text: string): Promise<ReadEntries<T> | undefined> {
    const shape = this.#shape
    if (shape === undefined || text.includes('\r')) return undefined
    const lines = new Lines(text)
    const chunks: Chunk[] = []
    const known = new Map<string, Entry>()
    const problems: Problem[] = []
    const keys: (string | undefined)[] = []
    const values: unknown[] = []
    const seen = new Set<string>()
    let turn = performance.now()
    for (const chunk of chunksOf(text, shape.kind)) {
      if (chunk === 'unusual') return undefined
      const entry = this.#known.get(chunk.text) ?? this.#readEntry(shape, chunk, chunks.length, lines, problems)
      if (entry === 'unusual') return undefined
      chunks.push(chunk)
      if (entry.checked !== undefined) known.set(chunk.text, entry)
      if (entry.key !== undefined && seen.has(entry.key)) {
        const message = `the key "${entry.key}" stands here a second time; keep one`
        problems.push({ file: this.#path, ...lines.place(chunk.offset), message: printable(message) })
      }
      if (entry.key !== undefined) seen.add(entry.key)
      keys.push(entry.key)
      values.push(entry.checked?.value)
      if (performance.now() - turn < turnMs) continue
      await nextTurn()
      turn = performance.now()
    }
    if (chunks.length === 0) return undefined
    // Kept after a broken version as well: the next one is nearly the same.
    this.#known = known
    const problem = (path: readonly PropertyKey[], part: Part, message: string): Problem => ({
      file: this.#path,
      ...lines.place(this.#offsetOf(path, part, shape, chunks, keys)),
      message: printable(message),
    })
    const value = problems.length > 0 ? undefined : (assemble(shape, keys, values) as T)
    return {
      value,
      problems: problems.sort(comparePlaces),
      problem,
      locate: (path) => {
        const { line, column } = problem(path, 'value', '')
        return `${this.#path}:${line}:${column}`
      },
    }
  }

  #readEntry(
    shape: Shape,
    { text, offset }: Chunk,
    index: number,
    lines: Lines,
    problems: Problem[],
  ): Entry | 'unusual' {
    if (anchors.test(text)) return 'unusual'
    const plain = readPlainEntry(text, shape.kind)
    const document = plain === undefined ? parseYaml(text, this.#env) : undefined
    const add = (at: number, message: string) =>
      void problems.push({ file: this.#path, ...lines.place(offset + at), message: printable(message) })
    if (document !== undefined && document.mistakes.length > 0) {
      for (const mistake of document.mistakes) add(mistake.offset, mistake.message)
      return { key: undefined, checked: undefined }
    }
    const found = plain ?? onlyEntry(document!, shape.kind)
    if (found === undefined) return 'unusual'
    const checkedKey = found.key === undefined ? [] : checkKey(shape.keySchema, found.key)
    const { value, problems: wrong } = checkElement(shape.element, found.value, found.key ?? index)
    if (checkedKey.length === 0 && wrong.length === 0) return { key: found.key, checked: { value } }
    const places = document ?? parseYaml(text, this.#env)
    for (const { path, part, message } of [...checkedKey, ...wrong]) {
      add(places.offset(inChunk(path, shape.kind), part), message)
    }
    return { key: found.key, checked: undefined }
  }

  #offsetOf(
    path: readonly PropertyKey[],
    part: Part,
    { kind }: Shape,
    chunks: readonly Chunk[],
    keys: readonly (string | undefined)[],
  ): number {
    const [first] = path
    const index = kind === 'list' ? Number(first) : keys.indexOf(String(first))
    const chunk = chunks[index] ?? chunks[0]
    if (chunk === undefined) return 0
    // Parsed once more: places are asked for seldom, and a parsed document is twenty times its text.
    const document = parseYaml(chunk.text, this.#env)
    return chunk.offset + document.offset(chunks[index] === undefined ? [] : inChunk(path, kind), part)
  }
}

interface Shape {
  readonly kind: 'list' | 'map'
  readonly element: z.ZodType
  readonly keySchema: z.ZodType
}

/** A list or a map of names without conditions of its own; undefined for all else. */
function shapeOf(schema: z.ZodType): Shape | undefined {
  if ((schema.def as { checks?: unknown[] }).checks?.length) return undefined
  if (schema instanceof z.ZodArray) return { kind: 'list', element: schema.element as z.ZodType, keySchema: z.never() }
  if (schema instanceof z.ZodRecord) {
    return { kind: 'map', element: schema.valueType as z.ZodType, keySchema: schema.keyType as z.ZodType }
  }
  return undefined
}

/** How a line may not begin: what follows is more than entries, or may reach over several of them. */
const unusualStart = /^(?:---|\.\.\.|[%?:{}[\],|>!&*@`\t]|"(?![^"\\]*":(?:\s|$))|'(?![^']*':(?:\s|$)))/
const mayBeUnusual = /[^A-Za-z0-9_]/
/** Anchors and aliases may reach from one entry into another. As text they stand in quotes. */
const anchors = /(?:^|[\s[{,:-])[&*!](?!["'\s])/m

/** One after the other, so that a long file is cut while others have their turn. None where there is only comment. */
function* chunksOf(text: string, kind: Shape['kind']): Generator<Chunk | 'unusual'> {
  let begin = -1
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf('\n', at)
    const next = end === -1 ? text.length : end + 1
    const first = text[at]!
    if (first === ' ' && begin < 0 && !/^ *(?:#|$)/.test(text.slice(at, next).trimEnd())) yield 'unusual'
    if (first !== ' ' && first !== '\n' && first !== '#') {
      const isItem = first === '-' && (next === at + 1 || text[at + 1] === ' ' || text[at + 1] === '\n')
      const isUnusual = mayBeUnusual.test(first) && unusualStart.test(text.slice(at, next))
      if (isUnusual || isItem !== (kind === 'list')) yield 'unusual'
      if (begin >= 0) yield { offset: begin, text: text.slice(begin, at) }
      begin = at
    }
    at = next
  }
  if (begin >= 0) yield { offset: begin, text: text.slice(begin) }
}

function onlyEntry(document: YamlDocument, kind: Shape['kind']): PlainEntry | undefined {
  const { value } = document
  if (kind === 'list')
    return Array.isArray(value) && value.length === 1 ? { key: undefined, value: value[0] } : undefined
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const [entry, ...more] = Object.entries(value)
  return entry === undefined || more.length > 0 ? undefined : { key: entry[0], value: entry[1] }
}

/** A chunk of a list is a list of one. */
function inChunk(path: readonly PropertyKey[], kind: Shape['kind']): readonly PropertyKey[] {
  return kind === 'list' ? [0, ...path.slice(1)] : path
}

function assemble({ kind }: Shape, keys: readonly (string | undefined)[], values: readonly unknown[]): unknown {
  return kind === 'list' ? values : Object.fromEntries(keys.map((key, index) => [key!, values[index]]))
}

/** Offsets to lines and columns, from 1. */
class Lines {
  readonly #text: string
  /** Where each line begins; made when a place is asked for. */
  #starts: number[] | undefined

  constructor(text: string) {
    this.#text = text
  }

  place(offset: number): { line: number; column: number } {
    this.#starts ??= startsOf(this.#text)
    let low = 0
    let high = this.#starts.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (this.#starts[middle]! <= offset) low = middle
      else high = middle - 1
    }
    return { line: low + 1, column: offset - this.#starts[low]! + 1 }
  }
}

function startsOf(text: string): number[] {
  const starts = [0]
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) starts.push(at + 1)
  return starts
}
