// Reads one YAML file against one schema: a value that is to be trusted, or every mistake with its place.
import { open } from 'node:fs/promises'
import { TextDecoder } from 'node:util'
import type { z } from 'zod'
import type { Environment } from './env.ts'
import { comparePlaces, type Problem, printable } from './problem.ts'
import { checkValue } from './schema-problems.ts'
import { type Part, parseYaml } from './yaml-document.ts'

export interface YamlFile<T> {
  /** As the reader was given it. */
  readonly path: string
  readonly value: T
  /** `file:line:column` of a place in the file. */
  locate(path: readonly PropertyKey[]): string
  /** A problem at a part of a path, for what no schema can see. */
  problem(path: readonly PropertyKey[], part: Part, message: string): Problem
}

export interface ReadOptions {
  /** For `${NAME}`; without it nothing is set. */
  readonly env?: Environment | undefined
  /** A larger file is refused before it is read. */
  readonly maxBytes?: number | undefined
}

export interface ReadResult<T> {
  readonly file: YamlFile<T> | undefined
  readonly problems: Problem[]
}

/** A file that is YAML, before a schema saw it. */
export type RawYamlFile = YamlFile<unknown>

/** Of a YAML file, when nothing else is said. */
export const yamlMaxBytes = 4 * 1024 * 1024
/** More mistakes than that are one mistake: the wrong file. */
const problemsMax = 1_000

/** Never throws for what stands in the file or for a file that cannot be read. `file` is undefined when there are problems. */
export async function readYamlFile<T>(
  path: string,
  schema: z.ZodType<T>,
  options: ReadOptions = {},
): Promise<ReadResult<T>> {
  const { file, problems } = await readRawYaml(path, options)
  if (file === undefined) return { file: undefined, problems }
  return checkYaml(file, schema)
}

/** The second half of `readYamlFile`. A file without content is an empty map or list, whichever the schema takes. */
export function checkYaml<T>(file: RawYamlFile, schema: z.ZodType<T>): ReadResult<T> {
  let checked = checkValue(schema, file.value)
  for (const empty of file.value === null ? [{}, []] : []) {
    if (checked.value === undefined) {
      const again = checkValue(schema, empty)
      if (again.value !== undefined) checked = again
    }
  }
  if (checked.value !== undefined) {
    return { file: { ...file, value: checked.value }, problems: [] }
  }
  const problems = checked.problems.map(({ path, part, message }) => file.problem(path, part, message))
  return { file: undefined, problems: bounded(problems.sort(comparePlaces)) }
}

/** The first half of `readYamlFile`: bytes to a value with places. */
export async function readRawYaml(
  path: string,
  { env = {}, maxBytes = yamlMaxBytes }: ReadOptions = {},
): Promise<{ file: RawYamlFile | undefined; problems: Problem[] }> {
  const read = await readText(path, maxBytes)
  if ('message' in read)
    return { file: undefined, problems: [{ file: path, line: 1, column: 1, message: read.message }] }
  return rawYaml(path, read.text, env)
}

/** As `readYamlFile`, of a text that was read already. */
export function readYamlText<T>(
  path: string,
  text: string,
  schema: z.ZodType<T>,
  { env = {} }: ReadOptions = {},
): ReadResult<T> {
  const { file, problems } = rawYaml(path, text, env)
  return file === undefined ? { file: undefined, problems } : checkYaml(file, schema)
}

function rawYaml(path: string, text: string, env: Environment): { file: RawYamlFile | undefined; problems: Problem[] } {
  const document = parseYaml(text, env)
  if (document.mistakes.length > 0) {
    const problems = document.mistakes.map(({ offset, message }) => ({
      file: path,
      ...document.place(offset),
      message: printable(message),
    }))
    return { file: undefined, problems: bounded(problems.sort(comparePlaces)) }
  }
  const problem = (where: readonly PropertyKey[], part: Part, message: string): Problem => ({
    file: path,
    ...document.place(document.offset(where, part)),
    message: printable(message),
  })
  const locate = (where: readonly PropertyKey[]): string => {
    const { line, column } = problem(where, 'value', '')
    return `${path}:${line}:${column}`
  }
  return { file: { path, value: document.value, locate, problem }, problems: [] }
}

const byteOrderMark = '\ufeff'

export interface ReadText {
  readonly text: string
  /** A byte order mark stood before it. */
  readonly isMarked: boolean
}

/** The text of a file of at most `maxBytes`, or in plain words why there is none. Never throws. */
export async function readText(path: string, maxBytes: number): Promise<ReadText | { message: string }> {
  try {
    const handle = await open(path, 'r')
    try {
      const stat = await handle.stat()
      if (stat.isDirectory()) return { message: 'is a folder; name a file' }
      if (stat.size > maxBytes) return { message: tooLarge(maxBytes) }
      // Read to the end, not to the size: a pipe has none, and an editor may be at work.
      const chunks: Buffer[] = []
      let length = 0
      for (;;) {
        const chunk = Buffer.alloc(65_536)
        const { bytesRead } = await handle.read(chunk, 0, chunk.length, null)
        if (bytesRead === 0) break
        length += bytesRead
        if (length > maxBytes) return { message: tooLarge(maxBytes) }
        chunks.push(chunk.subarray(0, bytesRead))
      }
      const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.concat(chunks))
      return text.startsWith(byteOrderMark) ? { text: text.slice(1), isMarked: true } : { text, isMarked: false }
    } finally {
      await handle.close()
    }
  } catch (error) {
    return { message: unreadable(error) }
  }
}

function tooLarge(maxBytes: number): string {
  return `is larger than ${maxBytes} bytes; is it the right file?`
}

function unreadable(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code
  if (code === 'ENOENT' || code === 'ENOTDIR') return 'there is no such file'
  if (code === 'EACCES' || code === 'EPERM') return 'may not be read by this user; change its owner or its mode'
  if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') return 'is not UTF-8 text; save it as UTF-8'
  return `cannot be read: ${error instanceof Error ? error.message : String(error)}`
}

function bounded(problems: Problem[]): Problem[] {
  const last = problems[problemsMax]
  if (last === undefined) return problems
  const more = `and ${problems.length - problemsMax} more problems, which are not shown`
  return [...problems.slice(0, problemsMax), { ...last, message: more }]
}
