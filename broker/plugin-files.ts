// The files of plugins: read, checked, watched. A broken change keeps the last good value.
import { createHash } from 'node:crypto'
import { watch } from 'node:fs'
import { lstat, readFile, stat } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'
import type { z } from 'zod'
import type { Environment } from './config/env.ts'
import type { Problem } from './config/problem.ts'
import { readText, readYamlFile, type YamlFile } from './config/yaml-file.ts'
import { errorText } from './errors.ts'
import type { PluginFile, PluginLog, TextFile } from './plugin.ts'

/** A changed file is read when it was left alone for so long: an editor empties it before it writes it. */
const settleMs = 80
/** A file that never settles is read all the same after so many looks; if it is half written, it is broken and waits. */
const settleLooks = 25
/** For file systems that tell no changes (network shares, some containers). */
const pollMs = 1_000
/** Of one text file; who has more has given the wrong file. */
const textProblemsMax = 100

export type FileSchema<T> = z.ZodType<T> | TextFile<T>

/** What was read: of a text file, no place in it has a name. */
type ReadFile<T> = Pick<YamlFile<T>, 'value' | 'locate'>

export interface FileOptions {
  readonly env: Environment
  /** True: refuse symbolic links and what everyone may write. */
  readonly secret: boolean
}

export class WatchedFile<T> implements PluginFile<T> {
  readonly path: string
  readonly #shownPath: string
  readonly #schema: FileSchema<T>
  readonly #options: FileOptions
  readonly #listeners: ((value: T, before: T) => void)[] = []
  #file: ReadFile<T> | undefined
  /** What the content and its place on disk looked like when it was last read. */
  #digest = ''
  #signature = ''
  #checking: Promise<void> | undefined
  #checkAgain = false
  #closed = false

  /** The path as people are to read it in messages. */
  constructor(path: string, schema: FileSchema<T>, options: FileOptions) {
    this.path = resolve(path)
    this.#shownPath = path
    this.#schema = schema
    this.#options = options
  }

  get value(): T {
    return this.#loaded().value
  }

  locate(path: readonly PropertyKey[]): string {
    return this.#loaded().locate(path)
  }

  onChange(listener: (value: T, before: T) => void): void {
    this.#listeners.push(listener)
  }

  /** Reads the file for the first time and returns everything that is wrong with it. */
  async load(): Promise<readonly Problem[]> {
    this.#signature = await signatureOf(this.path)
    this.#digest = await digestOf(this.path)
    const { file, problems } = await this.#read()
    this.#file = file
    return problems
  }

  /** Looks for changes from now on; returns how to stop it. */
  watch(log: PluginLog): () => void {
    const look = () => this.#look(log)
    const poll = setInterval(look, pollMs).unref()
    // The folder, not the file: editors and `mv` put a new file in the place of the old one.
    const watcher = this.#watchFolder(look, log)
    return () => {
      this.#closed = true
      clearInterval(poll)
      watcher?.close()
    }
  }

  #watchFolder(look: () => void, log: PluginLog) {
    const name = basename(this.path)
    try {
      const watcher = watch(dirname(this.path), { persistent: false }, (_, changed) => {
        if (changed === null || changed === name) look()
      })
      watcher.on('error', (error) => {
        log.debug({ file: this.#shownPath, error: errorText(error) }, 'folder is not watched, its files are polled')
        watcher.close()
      })
      return watcher
    } catch (error) {
      log.debug({ file: this.#shownPath, error: errorText(error) }, 'folder is not watched, its files are polled')
      return undefined
    }
  }

  /** One check at a time; a change during a check is checked after it. */
  #look(log: PluginLog): void {
    if (this.#closed) return
    if (this.#checking !== undefined) {
      this.#checkAgain = true
      return
    }
    this.#checking = this.#check(log)
      .catch((error: unknown) => {
        log.error({ file: this.#shownPath, error: errorText(error) }, 'changed file could not be checked')
      })
      .finally(() => {
        this.#checking = undefined
        if (!this.#checkAgain) return
        this.#checkAgain = false
        this.#look(log)
      })
  }

  async #check(log: PluginLog): Promise<void> {
    if ((await signatureOf(this.path)) === this.#signature) return
    const signature = await this.#settled()
    const digest = await digestOf(this.path)
    this.#signature = signature
    if (this.#closed) return
    if (digest === this.#digest) {
      log.debug({ file: this.#shownPath }, 'file was written again, its content is the same')
      return
    }
    this.#digest = digest
    const { file, problems } = digest === emptyDigest ? this.#empty() : await this.#read()
    if (file === undefined) {
      for (const { file, line, column, message } of problems) {
        log.error({ file, line, column, problem: message }, 'changed file is broken, the last good one stays in use')
      }
      return
    }
    const before = this.value
    this.#file = file
    log.info({ file: this.#shownPath }, 'changed file is in use')
    for (const listener of this.#listeners) {
      try {
        listener(file.value, before)
      } catch (error) {
        log.error({ file: this.#shownPath, error: errorText(error) }, 'plugin failed to take a changed file')
      }
    }
  }

  async #settled(): Promise<string> {
    let signature = await signatureOf(this.path)
    for (let look = 0; look < settleLooks && !this.#closed; look++) {
      await new Promise((done) => setTimeout(done, settleMs).unref())
      const now = await signatureOf(this.path)
      if (now === signature) return now
      signature = now
    }
    return signature
  }

  async #read(): Promise<{ file: ReadFile<T> | undefined; problems: readonly Problem[] }> {
    const exposed = this.#options.secret ? await exposure(this.path) : undefined
    if (exposed !== undefined) return { file: undefined, problems: [this.#problem(exposed)] }
    if ('read' in this.#schema) return this.#readText(this.#schema)
    return readYamlFile(this.#shownPath, this.#schema, { env: this.#options.env })
  }

  async #readText(schema: TextFile<T>): Promise<{ file: ReadFile<T> | undefined; problems: readonly Problem[] }> {
    const content = await readText(this.#shownPath, schema.maxBytes)
    if ('message' in content) return { file: undefined, problems: [this.#problem(content.message)] }
    const problems: Problem[] = []
    const value = await schema.read(content.text, (line, column, message) => {
      if (problems.length < textProblemsMax) problems.push({ file: this.#shownPath, line, column, message })
    })
    return { file: problems.length > 0 ? undefined : { value, locate: () => this.#shownPath }, problems }
  }

  /** A file that became empty is a slip (`> acl.yaml`), not the wish to have no rules. */
  #empty() {
    return { file: undefined, problems: [this.#problem('is empty; write `{}` or `[]` if that is meant')] }
  }

  #problem(message: string): Problem {
    return { file: this.#shownPath, line: 1, column: 1, message }
  }

  #loaded(): ReadFile<T> {
    if (this.#file === undefined) throw new Error(`${this.#shownPath} was not loaded`)
    return this.#file
  }
}

/** Why this file may not hold secrets: somebody else could put another in its place. */
async function exposure(path: string): Promise<string | undefined> {
  try {
    const file = await lstat(path)
    if (file.isSymbolicLink()) return 'is a symbolic link; a file with secrets must be a file itself'
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

/** Changes whenever the file may have changed; cheap enough to ask every second. */
async function signatureOf(path: string): Promise<string> {
  try {
    const { ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true })
    return `${ino}:${size}:${mtimeNs}:${ctimeNs}`
  } catch (error) {
    return `absent: ${(error as NodeJS.ErrnoException).code}`
  }
}

const emptyDigest = 'empty'

async function digestOf(path: string): Promise<string> {
  try {
    const bytes = await readFile(path)
    return /\S/.test(bytes.toString('latin1')) ? createHash('sha256').update(bytes).digest('base64') : emptyDigest
  } catch (error) {
    return `unreadable: ${(error as NodeJS.ErrnoException).code}`
  }
}
