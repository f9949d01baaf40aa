// YAML text into a plain value that still knows where each part of it stands.
import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parse,
  parseDocument,
  type Scalar,
  visit,
  type YAMLMap,
} from 'yaml'
import { type Environment, expandEnvironment } from './env.ts'

export interface Mistake {
  /** Offset in the text. */
  readonly offset: number
  readonly message: string
}

/** Which part of a path is meant: a key, its value, or the thing that lacks it. */
export type Part = 'key' | 'value' | 'parent'

export interface YamlDocument {
  /** Meaningless when there are mistakes. */
  readonly value: unknown
  readonly mistakes: readonly Mistake[]
  /** Offset of the part; of the nearest thing around it where the file has no such path. */
  offset(path: readonly PropertyKey[], part: Part): number
  /** From 1. */
  place(offset: number): { line: number; column: number }
}

/** Aliases that one file may unfold to: a few lines of anchors can otherwise ask for all memory. */
const aliasesMax = 1_000
/** The library looks for the anchor of each among all that there are. */
const aliasesInAllMax = 10_000
/** Values that they stand for: each is checked as if it were written out. */
const unfoldedMax = 100_000

// In `{ port: ${PORT} }` YAML would take the inner braces for its own. They are swapped for characters that no text
// may contain (Unicode noncharacters), one for one so that positions hold, and swapped back in each scalar.
const swapped = { '{': '\ufdd0', '}': '\ufdd1', '[': '\ufdd2', ']': '\ufdd3', ',': '\ufdd4' } as const
const swappedBack = new Map<string, string>(Object.entries(swapped).map(([real, stand]) => [stand, real]))
const standIns = /[\ufdd0-\ufdd4]/g

export function parseYaml(text: string, env: Environment): YamlDocument {
  const lines = new LineCounter()
  const stray = text.search(standIns)
  const source = text.replace(/\$\{[^{}\n]*\}/g, (match) =>
    match.replace(/[{}[\],]/g, (real) => swapped[real as keyof typeof swapped]),
  )
  let document: Document.Parsed
  const mistakes: Mistake[] = []
  try {
    // Duplicate keys are looked for below, with a set: the library compares each key with each other one.
    document = parseDocument(source, { lineCounter: lines, uniqueKeys: false, prettyErrors: false, logLevel: 'error' })
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return broken(lines, { offset: 0, message: 'nested too deep to be read' })
  }
  if (stray >= 0) mistakes.push({ offset: stray, message: 'a character that no text may contain (U+FDD0 to U+FDD4)' })
  const complaints = [...document.errors, ...document.warnings]
  const exhausted = complaints.find((error) => error.code === 'RESOURCE_EXHAUSTION')
  if (exhausted !== undefined) return broken(lines, { offset: exhausted.pos[0], message: 'nested too deep to be read' })
  for (const error of complaints) {
    mistakes.push({ offset: error.pos[0], message: restore(withoutValue(oneLine(error.message))) })
  }
  let value: unknown
  try {
    const unfolded = inspect(document, mistakes)
    expand(document, env, mistakes)
    if (mistakes.length === 0) value = document.toJS({ maxAliasCount: aliasesMax })
    if (unfolded > unfoldedMax) {
      mistakes.push({ offset: firstAlias(document), message: `aliases unfold to more than ${unfoldedMax} values` })
    }
  } catch (error) {
    // The library answers an alias bomb and a recursion without end so.
    if (!(error instanceof ReferenceError) && !(error instanceof RangeError)) throw error
    const message =
      error instanceof RangeError ? 'nested too deep to be read' : `more than ${aliasesMax} aliases unfolded`
    mistakes.push({ offset: firstAlias(document), message })
  }
  return {
    value,
    mistakes,
    offset: (path, part) => find(document, path, part),
    place: (offset) => place(lines, offset),
  }
}

/** Duplicate keys, keys that are no text, aliases of nothing, too many of them. Returns how many values they unfold to. */
function inspect(document: Document.Parsed, mistakes: Mistake[]): number {
  const sizes = new Sizes()
  let aliases = 0
  let unfolded = 0
  const meet = (_: unknown, node: Node): void => sizes.meet(node)
  visit(document, {
    Collection: meet,
    Scalar: meet,
    Alias(_, alias) {
      aliases += 1
      const offset = start(alias) ?? 0
      if (aliases > aliasesInAllMax) {
        mistakes.push({ offset, message: `more than ${aliasesInAllMax} aliases` })
        return visit.BREAK
      }
      if (!sizes.isKnown(alias)) {
        mistakes.push({ offset, message: `*${alias.source} points at no &${alias.source} before it` })
      } else if (unfolded <= unfoldedMax) unfolded += sizes.behind(alias)
      return undefined
    },
  })
  visit(document, { Map: (_, map) => inspectKeys(map, mistakes) })
  return unfolded
}

function inspectKeys(map: YAMLMap, mistakes: Mistake[]): void {
  const seen = new Set<string>()
  for (const { key } of map.items) {
    const offset = start(key as Node | null) ?? start(map) ?? 0
    if (!isScalar(key) || key.value === null) {
      mistakes.push({ offset, message: 'a key must be plain text' })
      continue
    }
    const text = restore(String(key.value))
    if (text === '__proto__') mistakes.push({ offset, message: 'the key "__proto__" is not allowed' })
    if (seen.has(text)) mistakes.push({ offset, message: `the key "${text}" stands here a second time; keep one` })
    seen.add(text)
  }
}

/** How many values the node behind an alias is, with what its own aliases stand for; asked in the order of the text. */
class Sizes {
  readonly #anchors = new Map<string, Node>()
  readonly #known = new Map<Node, number>()

  meet(node: Node & { readonly anchor?: string | undefined }): void {
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, node)
  }

  isKnown(alias: Alias): boolean {
    return this.#known.has(alias) || this.#anchors.has(alias.source)
  }

  behind(alias: Alias): number {
    const node = this.#anchors.get(alias.source)
    if (node === undefined) return 0
    const size = this.#known.get(alias) ?? this.#known.get(node) ?? this.#count(node)
    this.#known.set(alias, size)
    return size
  }

  #count(anchored: Node): number {
    let size = 0
    const one = (): void => {
      size += 1
    }
    // What holds itself has no end.
    this.#known.set(anchored, Number.POSITIVE_INFINITY)
    visit(anchored, {
      Collection: one,
      Scalar: one,
      Alias: (_, alias) => {
        size += this.behind(alias)
      },
    })
    this.#known.set(anchored, size)
    return size
  }
}

/** Puts the environment into text values; keys stay as they are. */
function expand(document: Document.Parsed, env: Environment, mistakes: Mistake[]): void {
  visit(document, {
    Scalar(role, scalar) {
      if (typeof scalar.value !== 'string') return
      const text = restore(scalar.value)
      if (role === 'key') {
        scalar.value = text
        return
      }
      const expanded = expandEnvironment(text, env)
      for (const message of expanded.mistakes) mistakes.push({ offset: start(scalar) ?? 0, message })
      scalar.value = expanded.whole && scalar.type === 'PLAIN' ? asYamlReads(expanded.text) : expanded.text
    },
  })
}

/** A number or a truth value where YAML would see one, else the text itself. */
function asYamlReads(text: string): unknown {
  try {
    const value: unknown = parse(text, { logLevel: 'silent' })
    return typeof value === 'number' || typeof value === 'boolean' ? value : text
  } catch {
    // It is no YAML by itself, as `a: b: c` is none: then it is text.
    return text
  }
}

function find(document: Document.Parsed, path: readonly PropertyKey[], part: Part): number {
  const wanted = part === 'parent' ? path.slice(0, -1) : path
  let node: unknown = document.contents
  let key: unknown
  for (const [index, step] of wanted.entries()) {
    const inside = isAlias(node) ? node.resolve(document) : node
    const last = index === wanted.length - 1
    const pair = isMap(inside)
      ? inside.items.find((item) => isScalar(item.key) && String(item.key.value) === String(step))
      : undefined
    const item = isSeq(inside) ? inside.items[Number(step)] : undefined
    if (!isPair(pair) && item === undefined) break
    key = pair?.key
    node = pair === undefined ? item : pair.value
    if (last && part === 'key' && pair !== undefined) return start(key as Node) ?? 0
  }
  // A block map has no sign of its own where it begins: its key is the better place to look at. So with an empty value.
  const noSign = (isMap(node) || isSeq(node)) && !node.flow
  const useKey = key !== undefined && ((part === 'parent' && noSign) || node == null || isEmpty(node))
  return (useKey ? start(key as Node) : undefined) ?? start(node as Node | null) ?? 0
}

function isEmpty(node: unknown): boolean {
  return isScalar(node) && (node as Scalar.Parsed).range?.[0] === (node as Scalar.Parsed).range?.[1]
}

function start(node: Node | null | undefined): number | undefined {
  return node?.range?.[0]
}

function firstAlias(document: Document.Parsed): number {
  let offset = 0
  visit(document, {
    Alias(_, alias) {
      offset = start(alias) ?? 0
      return visit.BREAK
    },
  })
  return offset
}

function place(lines: LineCounter, offset: number): { line: number; column: number } {
  const { line, col } = lines.linePos(offset)
  return { line: Math.max(1, line), column: Math.max(1, col) }
}

function broken(lines: LineCounter, mistake: Mistake): YamlDocument {
  return { value: undefined, mistakes: [mistake], offset: () => 0, place: (offset) => place(lines, offset) }
}

function restore(text: string): string {
  return text.replace(standIns, (stand) => swappedBack.get(stand) ?? stand)
}

/** Behind a colon the library shows what it did not expect, which may be a secret. */
function withoutValue(message: string): string {
  return message.replace(
    /^(Not a YAML token|(?:Unexpected|Block scalar header) [^:]*): .*$|^(Invalid escape sequence) .*$/,
    '$1$2',
  )
}

function oneLine(message: string): string {
  return message.replace(/\s*\n\s*/g, ' ')
}
