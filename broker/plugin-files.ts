// A file of a plugin: where it is, which version of it is in use, and what stands there now.
import { createHash } from 'node:crypto'
import { lstat, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import type { z } from 'zod'
import type { Environment } from './config/env.ts'
import type { Problem } from './config/problem.ts'
import type { Part } from './config/yaml-document.ts'
import { EntryReader } from './config/yaml-entries.ts'
import { readText, readYamlText, type YamlFile, yamlMaxBytes } from './config/yaml-file.ts'
import { errorText } from './errors.ts'
import type { PluginFile, TextFile } from './plugin.ts'

/** Of one text file; who has more has given the wrong file. */
const textProblemsMax = 100

export type FileSchema<T> = z.ZodType<T> | TextFile<T>

export interface FileOptions {
  readonly env: Environment
  /** True: refuse symbolic links and what everyone may write. */
  readonly secret: boolean
  /** True: nothing but comments is a mistake. */
  readonly filled: boolean
}

/** What was read: of a text file, no place in it has a name. */
type ReadFile<T> = Pick<YamlFile<T>, 'value' | 'locate' | 'problem'>

/** What stood in the file at one moment. */
export interface FileVersion<T> {
  /** Of the text, or of the reason why there is none. */
  readonly digest: string
  readonly text: string | undefined
  /** Undefined when there are problems. */
  readonly file: ReadFile<T> | undefined
  readonly problems: readonly Problem[]
}

export class WatchedFile<T> implements PluginFile<T> {
  readonly path: string
  /** As people are to read it in messages. */
  readonly shownPath: string
  readonly #schema: FileSchema<T>
  readonly #entries: EntryReader<T> | undefined
  readonly #options: FileOptions
  readonly #listeners: ((value: T, before: T) => void)[] = []
  #inUse: FileVersion<T> | undefined
  /** What its place on the disk looked like when it was last read. */
  #signature = ''

  constructor(path: string, schema: FileSchema<T>, options: FileOptions) {
    this.path = resolve(path)
    this.shownPath = path
    this.#schema = schema
    this.#entries = 'read' in schema ? undefined : new EntryReader(path, schema, options.env)
    this.#options = options
  }

  get value(): T {
    return this.#good().file!.value
  }

  /** Of the version in use. */
  get text(): string {
    return this.#good().text!
  }

  get digest(): string {
    return this.#good().digest
  }

  locate(path: readonly PropertyKey[]): string {
    return this.#good().file!.locate(path)
  }

  problem(path: readonly PropertyKey[], part: Part, message: string): Problem {
    return this.#good().file!.problem(path, part, message)
  }

  onChange(listener: (value: T, before: T) => void): void {
    this.#listeners.push(listener)
  }

  /** Reads the file for the first time, takes it into use, and returns everything that is wrong with it. */
  async load(): Promise<readonly Problem[]> {
    const version = await this.read()
    this.#inUse = version
    return version.problems
  }

  /** What stands there now; what is in use stays so. From now on it is not touched, until it changes again. */
  async read(): Promise<FileVersion<T>> {
    this.#signature = await signatureOf(this.path)
    return this.peek()
  }

  /** The same, for somebody who takes nothing into use. */
  async peek(): Promise<FileVersion<T>> {
    const unfit = await unfitness(this.path, this.#options.secret)
    if (unfit !== undefined) return this.#unreadable(unfit)
    const content = await readText(this.path, 'read' in this.#schema ? this.#schema.maxBytes : yamlMaxBytes)
    if ('message' in content) return this.#unreadable(content.message)
    if (content.isMarked) return this.#unreadable('begins with a byte order mark (BOM); save it as UTF-8 without one')
    if (this.#options.filled && !hasContent(content.text)) return this.#unreadable(emptyMessage)
    const digest = digestOf(content.text)
    if (digest === this.#inUse?.digest) return this.#inUse
    return { ...(await this.readText(content.text)), text: content.text, digest }
  }

  /** What this text would be as the content of the file. */
  async readText(text: string): Promise<Pick<FileVersion<T>, 'file' | 'problems'>> {
    if ('read' in this.#schema) return this.#readPlain(this.#schema, text)
    const entries = await this.#entries!.read(text)
    if (entries === undefined) return readYamlText(this.shownPath, text, this.#schema, this.#options)
    const { value, problems, locate, problem } = entries
    return { file: value === undefined ? undefined : { value, locate, problem }, problems }
  }

  /** Cheap enough to ask every second: true when it may not be what was read last. */
  async isTouched(): Promise<boolean> {
    return (await signatureOf(this.path)) !== this.#signature
  }

  /** What changes whenever the file may have changed. */
  signature(): Promise<string> {
    return signatureOf(this.path)
  }

  /** A good version into use; returns how to tell the plugin, when all files of a change are in use. */
  take(version: FileVersion<T>): () => void {
    const before = this.value
    this.#inUse = version
    return () => {
      for (const listener of this.#listeners) listener(this.value, before)
    }
  }

  async #readPlain(schema: TextFile<T>, text: string): Promise<Pick<FileVersion<T>, 'file' | 'problems'>> {
    const problems: Problem[] = []
    const add = (line: number, column: number, message: string) => {
      if (problems.length < textProblemsMax) problems.push({ file: this.shownPath, line, column, message })
    }
    const value = await schema.read(text, add)
    const locate = () => this.shownPath
    const problem: ReadFile<T>['problem'] = (_path, _part, message) => this.#problem(message)
    return { file: problems.length > 0 ? undefined : { value, locate, problem }, problems }
  }

  #unreadable(message: string): FileVersion<T> {
    return { digest: `none: ${message}`, text: undefined, file: undefined, problems: [this.#problem(message)] }
  }

  #problem(message: string): Problem {
    return { file: this.shownPath, line: 1, column: 1, message }
  }

  #good(): FileVersion<T> {
    if (this.#inUse?.file === undefined) throw new Error(`${this.shownPath} was not loaded`)
    return this.#inUse
  }
}

export const emptyMessage = 'is empty; write `{}` or `[]` if that is meant'

/** Something that is no comment, and no sign of YAML for the begin or the end of nothing. */
export function hasContent(text: string): boolean {
  return /^(?!---\s*$|\.\.\.\s*$)[ \t]*[^\s#]/m.test(text)
}

/** Why this is not read at all. Of what decides who may do what: somebody else could put another in its place. */
async function unfitness(path: string, secret: boolean): Promise<string | undefined> {
  try {
    const file = await lstat(path)
    const isLink = file.isSymbolicLink()
    if (secret && isLink) return 'is a symbolic link; a file that decides who may do what must be a file itself'
    const target = isLink ? await stat(path) : file
    // A pipe would be waited for, and a device has no end. A folder is told by the reader.
    if (!target.isFile() && !target.isDirectory()) return 'is no regular file'
    if (!secret) return undefined
    if ((file.mode & 0o002) !== 0) return 'may be written by everyone; run `chmod o-w` on it'
    const folder = await stat(dirname(path))
    if ((folder.mode & 0o002) !== 0)
      return `lies in a folder that everyone may write; run \`chmod o-w ${dirname(path)}\``
    return undefined
  } catch (error) {
    // The reader says in plain words what is wrong with a file that is not there; anything else is answered "no".
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    return `cannot be checked: ${errorText(error)}`
  }
}

async function signatureOf(path: string): Promise<string> {
  try {
    const { ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true })
    return `${ino}:${size}:${mtimeNs}:${ctimeNs}`
  } catch (error) {
    return `absent: ${(error as NodeJS.ErrnoException).code}`
  }
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('base64')
}
