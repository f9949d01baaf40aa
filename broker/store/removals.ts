// Remembers which retained messages were removed: another node may still send what came before.
import type { RetainedStamp } from './store.ts'

/** What comes later than this from another node was away for so long that it takes everything anew. */
const rememberedMs = 7 * 24 * 60 * 60 * 1_000
/** Above it the oldest are forgotten: only a message that is late by then could come back. About 20 MB. */
const removalsMax = 100_000
const checkedPerStep = 1_000

export interface RemovalsDisk {
  putRemoval(topic: string, stamp: RetainedStamp): void
  deleteRemoval(topic: string): void
}

export class Removals {
  readonly #enabled: boolean
  readonly #now: () => number
  readonly #disk: RemovalsDisk | undefined
  /** The oldest first. */
  readonly #byTopic = new Map<string, RetainedStamp>()

  /** `enabled`: without other nodes nothing is late. */
  constructor(enabled: boolean | undefined, now: () => number, disk?: RemovalsDisk) {
    this.#enabled = enabled === true
    this.#now = now
    this.#disk = disk
  }

  get(topic: string): RetainedStamp | undefined {
    return this.#byTopic.get(topic)
  }

  entries(): IterableIterator<[string, RetainedStamp]> {
    return this.#byTopic.entries()
  }

  add(topic: string, stamp: RetainedStamp): void {
    if (!this.#enabled) return
    this.#byTopic.delete(topic)
    this.#byTopic.set(topic, stamp)
    this.#disk?.putRemoval(topic, stamp)
    for (const oldest of this.#byTopic.keys()) {
      if (this.#byTopic.size <= removalsMax) return
      this.forget(oldest)
    }
  }

  /** There is a later message. */
  forget(topic: string): void {
    if (this.#byTopic.delete(topic)) this.#disk?.deleteRemoval(topic)
  }

  /** What was on the disk, in any order. */
  recover(found: readonly (readonly [string, RetainedStamp])[]): void {
    const sorted = [...found].sort(([, a], [, b]) => a.publishedAt - b.publishedAt)
    for (const [topic, stamp] of sorted) this.#byTopic.set(topic, stamp)
    if (this.#enabled) return
    // The node left its cluster.
    for (const [topic] of sorted) this.forget(topic)
  }

  /** Those that are too old, in steps. */
  *forgetOld(): IterableIterator<undefined> {
    const before = this.#now() - rememberedMs
    let checked = 0
    for (const [topic, { publishedAt }] of this.#byTopic) {
      if (publishedAt < before) this.forget(topic)
      checked += 1
      if (checked % checkedPerStep === 0) yield undefined
    }
  }
}
