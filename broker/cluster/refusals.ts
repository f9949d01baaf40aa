// Counts what was refused from Redis, and says so in one line for all of ten seconds: the flood must not flood the log.
import type { PluginLog } from '../plugin.ts'

const logEveryMs = 10_000
/** Reasons beyond these are counted as one. */
const reasonsMax = 20

export class Refusals {
  readonly #counts: { clusterFramesRefused: number }
  readonly #log: PluginLog
  readonly #reasons = new Map<string, number>()
  #timer: NodeJS.Timeout | undefined

  constructor(counts: { clusterFramesRefused: number }, log: PluginLog) {
    this.#counts = counts
    this.#log = log
  }

  add(why: string): void {
    this.#counts.clusterFramesRefused += 1
    const reason = this.#reasons.has(why) || this.#reasons.size < reasonsMax ? why : 'other'
    this.#reasons.set(reason, (this.#reasons.get(reason) ?? 0) + 1)
    this.#timer ??= setTimeout(() => this.#tell(), logEveryMs).unref()
  }

  #tell(): void {
    this.#timer = undefined
    this.#log.warn({ reasons: Object.fromEntries(this.#reasons) }, 'frames were refused')
    this.#reasons.clear()
  }

  close(): void {
    clearTimeout(this.#timer)
  }
}
