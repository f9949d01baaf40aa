// Gives disk space back: LevelDB keeps what was deleted until it happens to rewrite the file in which it lies.
import { setTimeout as later } from 'node:timers/promises'
import { errorText } from '../errors.ts'
import type { PluginLog } from '../plugin.ts'
import type { Database } from './database.ts'
import { partsOf } from './key-parts.ts'
import * as keys from './keys.ts'

/** Less than this is left to LevelDB. */
const garbageMinBytes = 8 * 1_048_576
/** Rewriting costs as much as is left alive: at least this share of it must be garbage. */
const garbageShareMin = 0.25
/** One step rewrites about this much; others use the disk between the steps. */
const stepBytes = 16 * 1_048_576
const restMs = 20
/** While much comes and goes, most of it is gone before LevelDB has made a table of it: do not hurry that. */
const intervalMs = 10_000
const forcedIntervalMs = 1_000

/** What lies side by side in the order of the keys. */
type Part = 'messages' | 'sessions' | 'retained'
const ranges = { sessions: keys.rangeOf('s'), retained: keys.rangeOf('r') }

export class Compaction {
  readonly #database: () => Database
  readonly #log: PluginLog
  readonly #garbage: Record<Part, number> = { messages: 0, sessions: 0, retained: 0 }
  #firstDeleted = Number.POSITIVE_INFINITY
  #lastDeleted = 0
  #running: Promise<void> | undefined
  #startedAt = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined
  #stopped = false

  constructor(database: () => Database, log: PluginLog) {
    this.#database = database
    this.#log = log
  }

  get isRunning(): boolean {
    return this.#running !== undefined
  }

  /** Bytes that were deleted, or are about to be, and that still lie on the disk. */
  get garbageBytes(): number {
    return this.#garbage.messages + this.#garbage.sessions + this.#garbage.retained
  }

  deletedMessage(sequence: number, bytes: number): void {
    this.#garbage.messages += bytes
    this.#firstDeleted = Math.min(this.#firstDeleted, sequence)
    this.#lastDeleted = Math.max(this.#lastDeleted, sequence)
  }

  deleted(part: 'sessions' | 'retained', bytes: number): void {
    this.#garbage[part] += bytes
  }

  /** Everything that was deleted is deleted in the database too. `force`: also if it is little. */
  consider(force = false): void {
    if (this.#running !== undefined || this.#stopped) return
    const due = (Object.keys(this.#garbage) as Part[]).filter(
      (part) => this.#garbage[part] >= (force ? 1 : garbageMinBytes),
    )
    if (due.length === 0) return
    const early = this.#startedAt + (force ? forcedIntervalMs : intervalMs) - performance.now()
    if (early > 0) {
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined
        this.consider(force)
      }, early).unref()
      return
    }
    this.#startedAt = performance.now()
    this.#running = this.#run(due, force)
      .catch((error: unknown) => this.#log.warn({ error: errorText(error) }, 'giving back disk space failed'))
      .finally(() => {
        this.#running = undefined
      })
  }

  /** Resolves when the step that runs has ended. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#running
  }

  async #run(due: readonly Part[], force: boolean): Promise<void> {
    for (const part of due) {
      const whole = part === 'messages' ? this.#messages() : ranges[part]
      const bytes = await this.#database().sizeOf(whole)
      if (!force && this.#garbage[part] < bytes * garbageShareMin) continue
      this.#garbage[part] = 0
      const sizeOf = (range: keys.KeyRange): Promise<number> => this.#database().sizeOf(range)
      const steps = part === 'messages' ? this.#stepsOf(bytes) : await partsOf(whole, stepBytes, sizeOf)
      for (const step of steps) {
        if (this.#stopped) return
        await this.#database().compact(step)
        // It keeps the process: whoever closes the store waits for it.
        await later(restMs)
      }
    }
  }

  #messages(): keys.KeyRange {
    return { gte: keys.messageKey(this.#firstDeleted), lt: keys.messageKey(this.#lastDeleted + 1) }
  }

  /** Takes the range of what was deleted. */
  #stepsOf(bytes: number): keys.KeyRange[] {
    const first = this.#firstDeleted
    const end = this.#lastDeleted + 1
    this.#firstDeleted = Number.POSITIVE_INFINITY
    this.#lastDeleted = 0
    const count = Math.max(1, Math.min(end - first, Math.ceil(bytes / stepBytes)))
    const at = (step: number): Buffer => keys.messageKey(first + Math.floor(((end - first) * step) / count))
    return Array.from({ length: count }, (_, step) => ({ gte: at(step), lt: at(step + 1) }))
  }
}
