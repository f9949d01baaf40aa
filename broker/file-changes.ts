// Changes of the files of plugins: seen, read, checked together, and then in use all at once or not at all.
import { type FSWatcher, watch } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { Problem } from './config/problem.ts'
import { errorText } from './errors.ts'
import type { PluginLog } from './plugin.ts'
import { emptyMessage, type FileVersion, hasContent, type WatchedFile } from './plugin-files.ts'

/** Changed files are read when they were left alone for so long: an editor empties a file before it writes it. */
const settleMs = 80
/** A file that never settles is read all the same after so many looks; if it is half written, it is broken and waits. */
const settleLooks = 25
/** For file systems that tell no changes (network shares, some containers). */
const pollMs = 500

export type AnyFile = WatchedFile<unknown>
export type Versions = ReadonlyMap<AnyFile, FileVersion<unknown>>

export interface OwnedFile {
  readonly file: AnyFile
  /** Of the plugin that owns it. */
  readonly log: PluginLog
}

export interface FileChangesOptions {
  readonly files: readonly OwnedFile[]
  readonly log: PluginLog
  /** What is wrong with these versions beside all other files as they are. Asked for good versions only. */
  check(versions: Versions): Promise<readonly Problem[]>
  /** What these versions change, one line for each; asked before they are in use. */
  compare(versions: Versions): Promise<readonly string[]>
  /** They are in use now; the plugins were told. */
  taken(versions: Versions): Promise<void>
}

export interface ChangeOutcome {
  /** Not empty: nothing was changed. */
  readonly problems: readonly Problem[]
  /** Paths of the files that came into use. */
  readonly files: readonly string[]
  /** What changed in effect. */
  readonly changes: readonly string[]
}

export class FileChanges {
  readonly #options: FileChangesOptions
  /** Digests of what was looked at last, whether it came into use or not. */
  readonly #seen = new Map<AnyFile, string>()
  /** Files that changed together, of which one is broken: the others wait for it, or until they change again. */
  #waiting: ReadonlySet<AnyFile> = new Set()
  #work: Promise<unknown> = Promise.resolve()
  #queued = false
  #closed = false
  /** Ends the wait for files that are being written. */
  #hurry = (): void => {}

  constructor(options: FileChangesOptions) {
    this.#options = options
    for (const { file } of options.files) this.#seen.set(file, file.digest)
  }

  /** Looks for changes from now on; returns how to stop it. */
  watch(): () => Promise<void> {
    const poll = setInterval(() => this.#look(), pollMs).unref()
    // The folders, not the files: editors and `mv` put a new file in the place of the old one.
    const folders = [...new Set(this.#options.files.map(({ file }) => dirname(file.path)))]
    const watchers = folders.map((folder) => this.#watchFolder(folder))
    return async () => {
      this.#closed = true
      clearInterval(poll)
      for (const watcher of watchers) watcher?.close()
      this.#hurry()
      await this.#work
    }
  }

  /** Reads all files now, whether they seem changed or not. */
  reload(): Promise<ChangeOutcome> {
    return this.#next(() => this.#change(this.#options.files))
  }

  /** What `reload` would do. */
  preview(): Promise<ChangeOutcome> {
    return this.#next(() => this.#preview())
  }

  async #preview(): Promise<ChangeOutcome> {
    const versions = new Map<AnyFile, FileVersion<unknown>>()
    for (const { file } of this.#options.files) {
      const version = await file.peek()
      if (version.digest !== file.digest) versions.set(file, version)
    }
    const problems = await this.#problemsOf(versions)
    const files = [...versions.keys()].map(({ path }) => path)
    return { problems, files, changes: problems.length > 0 ? [] : await this.#options.compare(versions) }
  }

  #watchFolder(folder: string): FSWatcher | undefined {
    const { files, log } = this.#options
    const names = new Set(
      files.filter(({ file }) => dirname(file.path) === folder).map(({ file }) => basename(file.path)),
    )
    const polled = (error: unknown) => log.debug({ folder, error: errorText(error) }, 'folder is polled, not watched')
    try {
      const watcher = watch(folder, { persistent: false }, (_, changed) => {
        if (changed === null || names.has(changed)) this.#look()
      })
      return watcher.on('error', (error) => {
        polled(error)
        watcher.close()
      })
    } catch (error) {
      polled(error)
      return undefined
    }
  }

  /** One look at a time; a change during a look is looked at after it. */
  #look(): void {
    if (this.#closed || this.#queued) return
    this.#queued = true
    this.#next(async () => {
      this.#queued = false
      const touched = await this.#settled()
      if (touched.length > 0 && !this.#closed) await this.#change(touched)
    }).catch((error: unknown) => {
      this.#options.log.error({ error: errorText(error) }, 'changed files could not be checked')
    })
  }

  #next<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#work.then(work)
    this.#work = done.catch(() => undefined)
    return done
  }

  /** The files that were touched, when none of them was for a while: what is saved together is taken together. */
  async #settled(): Promise<readonly OwnedFile[]> {
    let signatures = ''
    for (let look = 0; ; look++) {
      const touched: OwnedFile[] = []
      for (const owned of this.#options.files) if (await owned.file.isTouched()) touched.push(owned)
      const now = (await Promise.all(touched.map(({ file }) => file.signature()))).join()
      if (touched.length === 0 || this.#closed || look > settleLooks || (look > 0 && now === signatures)) return touched
      signatures = now
      await new Promise<void>((done) => {
        const timer = setTimeout(done, settleMs)
        this.#hurry = () => {
          clearTimeout(timer)
          done()
        }
      })
    }
  }

  async #change(touched: readonly OwnedFile[]): Promise<ChangeOutcome> {
    const versions = new Map<AnyFile, FileVersion<unknown>>()
    for (const { file, log } of touched) {
      const version = await file.read()
      const isNew = version.digest !== this.#seen.get(file)
      this.#seen.set(file, version.digest)
      if (version.digest !== file.digest) versions.set(file, version)
      else if (isNew) log.info({ file: file.shownPath }, 'changed file is again as the one in use')
      else log.debug({ file: file.shownPath }, 'file was written again, its content is the same')
    }
    if (touched.some(({ file }) => this.#waiting.has(file))) {
      for (const file of this.#waiting) if (!versions.has(file)) await addChanged(versions, file)
      this.#waiting = new Set()
    }
    if (versions.size === 0) return { problems: [], files: [], changes: [] }
    const problems = await this.#problemsOf(versions)
    if (problems.length === 0) return this.#take(versions)
    this.#waiting = new Set(versions.keys())
    this.#tellBroken(versions, problems)
    return { problems, files: [], changes: [] }
  }

  async #take(versions: Versions): Promise<ChangeOutcome> {
    const { log, compare, taken } = this.#options
    // Somebody may have to be locked out, whether or not it can be told what that changes.
    const changes = await compare(versions).catch((error: unknown) => {
      log.error({ error: errorText(error) }, 'changed files could not be compared')
      return []
    })
    if (this.#closed) return { problems: [], files: [], changes: [] }
    for (const change of changes) log.info({ change }, 'rights change')
    // All in one turn: no question is answered by some files of before and some of now.
    const tell = [...versions].map(([file, version]) => ({ file, tell: file.take(version) }))
    for (const { file, tell: tellPlugin } of tell) {
      const { log } = this.#ownerOf(file)
      log.info({ file: file.shownPath }, 'changed file is in use')
      try {
        tellPlugin()
      } catch (error) {
        log.error({ file: file.shownPath, error: errorText(error) }, 'plugin failed to take a changed file')
      }
    }
    await taken(versions)
    return { problems: [], files: tell.map(({ file }) => file.path), changes }
  }

  async #problemsOf(versions: Versions): Promise<readonly Problem[]> {
    const problems = [...versions].flatMap(([file, version]) => {
      if (version.file === undefined) return version.problems
      return hasContent(version.text ?? '') || !hasContent(file.text) ? [] : [emptied(file)]
    })
    return problems.length > 0 ? problems : this.#options.check(versions)
  }

  #tellBroken(versions: Versions, problems: readonly Problem[]): void {
    for (const { file, line, column, message } of problems) {
      const owned = this.#options.files.find((one) => one.file.shownPath === file)
      const log = owned?.log ?? this.#options.log
      log.error({ file, line, column, problem: message }, 'changed file is broken, the last good one stays in use')
    }
    for (const file of versions.keys()) {
      if (problems.some((problem) => problem.file === file.shownPath)) continue
      const { log } = this.#ownerOf(file)
      log.warn({ file: file.shownPath }, 'changed file waits for another one that is broken')
    }
  }

  #ownerOf(file: AnyFile): OwnedFile {
    return this.#options.files.find((owned) => owned.file === file)!
  }
}

async function addChanged(versions: Map<AnyFile, FileVersion<unknown>>, file: AnyFile): Promise<void> {
  const version = await file.read()
  if (version.digest !== file.digest) versions.set(file, version)
}

/** A file that became empty, or nothing but comments, is a slip (`> acl.yaml`), not the wish to have no rules. */
function emptied(file: AnyFile): Problem {
  return { file: file.shownPath, line: 1, column: 1, message: emptyMessage }
}
