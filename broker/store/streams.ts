// Which stream holds which messages of the log: bounds, trims, and who still needs a message. Both stores keep it in memory.
import { Dropped, newestRuns } from './dropped.ts'
import { Ring } from './ring.ts'
import { type Missing, nothingSkipped, type Skipped, skippedOf } from './skipped.ts'
import { type Held, isArrival, isOutbox, type StoreLimits, type StreamPosition } from './store.ts'

export interface Selection {
  readonly sequences: readonly number[]
  readonly end: boolean
}

export interface StreamsEvents {
  /** No stream holds this message any more; how many bytes it was. */
  released(sequence: number, bytes: number): void
  /** The stream no longer holds a message that another one does, or it dropped one: worth remembering on disk. */
  floorMoved(stream: string): void
}

/** What a message counts for the bound in bytes beside its content: its place in memory. */
export const entryOverheadBytes = 64

/** All streams together remember so many runs of dropped messages, 24 MB; above it those that drop more blur theirs. */
const rememberedRunsInAll = 1_000_000

/** A stream without messages costs nothing; what it dropped is remembered until its readers have passed it. */
export class Streams {
  readonly #rings = new Map<string, Ring>()
  readonly #dropped = new Map<string, Dropped>()
  #droppedRuns = 0
  /** Messages in two or more streams: how many still hold them. */
  readonly #holders = new Map<number, number>()
  readonly #limits: StoreLimits
  readonly #events: StreamsEvents
  readonly #now: () => number

  constructor(limits: StoreLimits, events: StreamsEvents, now: () => number) {
    this.#limits = limits
    this.#events = events
    this.#now = now
  }

  /**
   * Sequence numbers come in ascending order; each stream is named once. The bounds are kept by `enforce`. What is in
   * the history too is released when `letGo` was called for that.
   */
  append(sequence: number, streams: readonly string[], bytes: number, publishedAt: number, inHistory = false): void {
    const holders = streams.length + (inHistory ? 1 : 0)
    if (holders > 1) this.#holders.set(sequence, holders)
    for (const stream of streams) {
      let ring = this.#rings.get(stream)
      if (ring === undefined) {
        ring = new Ring()
        this.#rings.set(stream, ring)
      }
      ring.push(sequence, bytes, publishedAt)
    }
  }

  /** Drops the oldest messages of a stream that is over its bounds. One message is always within the count and bytes. */
  enforce(stream: string): void {
    if (isOutbox(stream)) {
      this.#enforceOutbox(stream)
      return
    }
    if (!isArrival(stream)) this.#dropWhile(stream, (ring) => ring.length > 1 && this.#isOver(ring))
    this.enforceAge(stream)
  }

  /** Drops only what is too old. */
  enforceAge(stream: string): void {
    if (isOutbox(stream)) return
    const oldest = this.#now() - this.#limits.queueAgeS * 1000
    this.#dropWhile(stream, ({ firstPublishedAt }) => firstPublishedAt !== undefined && firstPublishedAt < oldest)
  }

  bytesOf(stream: string): number {
    return this.#rings.get(stream)?.bytes ?? 0
  }

  /** Drops the oldest until the stream has no more bytes than these. How many messages went. */
  shrink(stream: string, bytes: number): number {
    const before = this.#rings.get(stream)?.length ?? 0
    this.#dropWhile(stream, (ring) => ring.length > 0 && ring.bytes > bytes)
    return before - (this.#rings.get(stream)?.length ?? 0)
  }

  trim(stream: string, upTo: number): void {
    const dropped = this.#dropped.get(stream)
    if (dropped !== undefined) {
      this.#droppedRuns -= dropped.length
      dropped.forget(upTo)
      this.#droppedRuns += dropped.length
      if (dropped.length === 0) this.#dropped.delete(stream)
    }
    const ring = this.#rings.get(stream)
    if (ring === undefined) {
      if (dropped !== undefined) this.#events.floorMoved(stream)
      return
    }
    let shared = false
    while (ring.first !== undefined && ring.first <= upTo) {
      const { firstBytes } = ring
      shared = this.letGo(ring.shift()!, firstBytes) || shared
    }
    if (ring.length === 0) this.#rings.delete(stream)
    if (shared || dropped !== undefined) this.#events.floorMoved(stream)
  }

  /** Takes back messages at the head of the log that could not be stored. */
  retract(fromSequence: number, streams: Iterable<string>): void {
    for (const stream of streams) {
      const ring = this.#rings.get(stream)
      while (ring?.last !== undefined && ring.last >= fromSequence) this.#holders.delete(ring.pop()!)
      if (ring?.length === 0) this.#rings.delete(stream)
    }
  }

  /** The next sequence numbers after these positions, ascending, each once. */
  select(positions: readonly StreamPosition[], limit: number): Selection {
    const heads: Head[] = []
    for (const { stream, after, upTo } of positions) {
      const ring = this.#rings.get(stream)
      if (ring === undefined || ring.last === undefined || ring.last <= after) continue
      heads.push({ ring, index: ring.indexAfter(after), upTo: upTo ?? Number.POSITIVE_INFINITY })
    }
    const sequences: number[] = []
    while (sequences.length < limit) {
      const next = takeLowest(heads)
      if (next === undefined) return { sequences, end: true }
      sequences.push(next)
    }
    return { sequences, end: takeLowest(heads) === undefined }
  }

  /** What these positions can no longer read, up to `through`; the reader `has` some of it already. */
  skipped(positions: readonly StreamPosition[], through: number, has: ReadonlySet<number>): Skipped {
    if (this.#dropped.size === 0) return nothingSkipped
    return skippedOf(
      positions.map((position) => this.#missing(position, through)),
      has,
    )
  }

  /** A message that was selected and then was gone: the streams that held it. */
  holdersOf(sequence: number, positions: readonly StreamPosition[]): string[] {
    const holders = positions.filter((position) => {
      if (position.after >= sequence) return false
      const { ring, dropped } = this.#missing(position, sequence)
      const isHeld = ring?.at(ring.indexAfter(sequence - 1)) === sequence
      return isHeld || dropped?.between(sequence - 1, sequence).next().done === false
    })
    return holders.map(({ stream }) => stream)
  }

  names(): Iterable<string> {
    return this.#rings.keys()
  }

  *allNames(): IterableIterator<string> {
    yield* this.names()
    yield* this.emptyNames()
  }

  held(stream: string): Held {
    const ring = this.#rings.get(stream)
    return { messages: ring?.length ?? 0, bytes: ring?.bytes ?? 0, oldestPublishedAt: ring?.firstPublishedAt }
  }

  /** The streams that hold nothing and remember what they dropped: its readers may have passed it. */
  *emptyNames(): IterableIterator<string> {
    for (const stream of this.#dropped.keys()) if (!this.#rings.has(stream)) yield stream
  }

  /** The oldest message of a stream. */
  firstOf(stream: string): number | undefined {
    return this.#rings.get(stream)?.first
  }

  get totalMessages(): number {
    let total = 0
    for (const ring of this.#rings.values()) total += ring.length
    return total
  }

  /** For the disk: what was dropped, and below which sequence number the stream holds nothing any more. */
  pastOf(stream: string, lastSequence: number): { floor: number; runs: readonly number[] } {
    const first = this.#rings.get(stream)?.first ?? lastSequence + 1
    return { floor: first - 1, runs: this.#dropped.get(stream)?.condensed ?? [] }
  }

  restoreDropped(stream: string, runs: readonly number[]): void {
    if (runs.length === 0) return
    const dropped = new Dropped(runs)
    this.#dropped.set(stream, dropped)
    this.#droppedRuns += dropped.length
  }

  /** One that held the message does no longer. True: another one still does. */
  letGo(sequence: number, bytes: number): boolean {
    const holders = this.#holders.get(sequence) ?? 1
    if (holders > 2) this.#holders.set(sequence, holders - 1)
    else this.#holders.delete(sequence)
    if (holders > 1) return true
    this.#events.released(sequence, bytes)
    return false
  }

  #dropWhile(stream: string, isTooMuch: (ring: Ring) => boolean): void {
    const ring = this.#rings.get(stream)
    if (ring === undefined || !isTooMuch(ring)) return
    do this.#drop(stream, ring)
    while (isTooMuch(ring))
    if (ring.length === 0) this.#rings.delete(stream)
    this.#events.floorMoved(stream)
  }

  #enforceOutbox(stream: string): void {
    const { outboxMaxBytes = Number.POSITIVE_INFINITY, onOutboxFull } = this.#limits
    const ring = this.#rings.get(stream)
    const before = ring?.length ?? 0
    this.#dropWhile(stream, ({ length, bytes }) => length > 1 && bytes > outboxMaxBytes)
    const messages = before - (ring?.length ?? 0)
    if (messages > 0) onOutboxFull?.(stream, messages)
  }

  #isOver(ring: Ring): boolean {
    return ring.length > this.#limits.queueMessages || ring.bytes > this.#limits.queueBytes
  }

  #drop(stream: string, ring: Ring): void {
    const { firstBytes } = ring
    const sequence = ring.shift()!
    let dropped = this.#dropped.get(stream)
    if (dropped === undefined) {
      dropped = new Dropped()
      this.#dropped.set(stream, dropped)
    }
    this.#droppedRuns -= dropped.length
    dropped.add(sequence)
    if (this.#droppedRuns > rememberedRunsInAll && dropped.length > newestRuns * 2) dropped.condense(newestRuns)
    this.#droppedRuns += dropped.length
    this.letGo(sequence, firstBytes)
  }

  #missing({ stream, after, upTo }: StreamPosition, through: number): Missing {
    const ring = this.#rings.get(stream)
    const dropped = this.#dropped.get(stream)
    return { stream, after, through: Math.min(through, upTo ?? through), ring, dropped }
  }
}

/** The next message of one of the streams that are read as one. */
interface Head {
  readonly ring: Ring
  index: number
  readonly upTo: number
}

/** Takes the lowest sequence number of all rings and moves every head that stands on it. */
function takeLowest(heads: readonly Head[]): number | undefined {
  let low: number | undefined
  for (const { ring, index, upTo } of heads) {
    const sequence = ring.at(index)
    if (sequence !== undefined && sequence <= upTo && (low === undefined || sequence < low)) low = sequence
  }
  if (low === undefined) return undefined
  for (const head of heads) if (head.ring.at(head.index) === low) head.index += 1
  return low
}
