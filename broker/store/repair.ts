// After a failed write: tries until the disk takes writes again, brings the database into order, and lets the store go on.
import { open, readdir, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errorText } from '../errors.ts'
import type { PluginLog } from '../plugin.ts'
import { expandRanges, type GroupCommit, type StateOperation } from './commit.ts'
import type { Database } from './database.ts'

const firstDelayMs = 250
const delayMaxMs = 5_000
const probeStep = Buffer.alloc(1_048_576)

export class Repair {
  readonly #path: string
  readonly #database: Database
  readonly #commit: GroupCommit
  readonly #log: PluginLog
  #delayMs = firstDelayMs
  #timer: NodeJS.Timeout | undefined
  #attempt: Promise<void> = Promise.resolve()
  #stopped = false

  /** `path`: the folder of the database. */
  constructor(path: string, database: Database, commit: GroupCommit, log: PluginLog) {
    this.#path = path
    this.#database = database
    this.#commit = commit
    this.#log = log
  }

  begin(error: Error): void {
    this.#log.error({ err: error }, 'nothing can be stored; nothing is acknowledged until it works again')
    this.#delayMs = firstDelayMs
    this.#schedule()
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }

  /** Resolves when no attempt is running. */
  quiet(): Promise<void> {
    return this.#attempt
  }

  #schedule(): void {
    if (this.#stopped) return
    this.#timer = setTimeout(() => {
      this.#attempt = this.#try()
    }, this.#delayMs).unref()
    this.#delayMs = Math.min(delayMaxMs, this.#delayMs * 2)
  }

  async #try(): Promise<void> {
    const state = compacted(this.#commit.takeState())
    try {
      await probe(this.#path)
      await this.#database.reopen()
      const operations = await expandRanges(state, (range) => this.#database.keys(range))
      await this.#database.write(operations, true)
    } catch (error) {
      this.#commit.returnState(state)
      this.#log.debug({ err: errorText(error) }, 'storage still fails')
      this.#schedule()
      return
    }
    this.#log.info({}, 'storage works again')
    this.#commit.recovered()
  }
}

/**
 * Opening again writes the log into a table; when there is no room for it the database stays closed, and nobody can
 * read. So try with a file of that size first.
 */
async function probe(databasePath: string): Promise<void> {
  let needed = probeStep.length
  for (const name of await readdir(databasePath)) {
    if (name.endsWith('.log')) needed += (await stat(join(databasePath, name))).size
  }
  const path = join(dirname(databasePath), 'oriole-probe')
  try {
    const file = await open(path, 'w', 0o600)
    try {
      for (let written = 0; written < needed; written += probeStep.length) await file.writeFile(probeStep)
      await file.sync()
    } finally {
      await file.close()
    }
  } finally {
    await rm(path, { force: true })
  }
}

/** The last write of each key, in the order of the writes: what waits is bounded by what there is. */
function compacted(state: readonly StateOperation[]): StateOperation[] {
  const last = new Map<string, StateOperation>()
  for (const operation of state) {
    const name =
      operation.type === 'range' ? `range ${operation.range.gte.toString('latin1')}` : operation.key.toString('latin1')
    last.delete(name)
    last.set(name, operation)
  }
  return [...last.values()]
}
