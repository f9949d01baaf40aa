// Which stream holds which messages of the log: bounds, trims, and who still needs a message. Both stores keep it in memory.
import { Dropped } from './dropped.ts'
import { Ring } from './ring.ts'
import type { StoreLimits, StreamPosition } from './store.ts'

export interface Selection {
  readonly sequences: readonly number[]
  readonly end: boolean
}

export interface StreamsEvents {
  /** No stream holds this message any more. */
  released(sequence: number): void
  /** The stream no longer holds a message that another one does, or it dropped one: worth remembering on disk. */
  floorMoved(stream: string): void
}

/** What a message counts for the bound in bytes beside its content: its place in memory. */
export const entryOverheadBytes = 64

/** A stream without messages costs nothing; what it dropped is remembered until its readers have passed it. */
export class Streams {
  readonly #rings = new Map<string, Ring>()
  readonly #dropped = new Map<string, Dropped>()
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
    this.#dropWhile(stream, (ring) => ring.length > 1 && this.#isOver(ring))
    this.enforceAge(stream)
  }

  /** Drops only what is too old. */
  enforceAge(stream: string): void {
    const oldest = this.#now() - this.#limits.queueAgeS * 1000
    this.#dropWhile(stream, ({ firstPublishedAt }) => firstPublishedAt !== undefined && firstPublishedAt < oldest)
  }

  trim(stream: string, upTo: number): void {
    const dropped = this.#dropped.get(stream)
    if (dropped !== undefined) {
      dropped.forget(upTo)
      if (dropped.isEmpty) this.#dropped.delete(stream)
    }
    const ring = this.#rings.get(stream)
    if (ring === undefined) return
    let shared = false
    while (ring.first !== undefined && ring.first <= upTo) shared = this.letGo(ring.shift()!) || shared
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
    const rings: Ring[] = []
    const indexes: number[] = []
    for (const { stream, after } of positions) {
      const ring = this.#rings.get(stream)
      if (ring === undefined || ring.last === undefined || ring.last <= after) continue
      rings.push(ring)
      indexes.push(ring.indexAfter(after))
    }
    const sequences: number[] = []
    while (sequences.length < limit) {
      const next = lowest(rings, indexes)
      if (next === undefined) return { sequences, end: true }
      sequences.push(next)
    }
    return { sequences, end: lowest(rings, indexes) === undefined }
  }

  /**
   * How many messages up to `through` these positions can no longer read. One that fell off two of the streams
   * counts twice.
   */
  countDropped(positions: readonly StreamPosition[], through: number): number {
    if (this.#dropped.size === 0) return 0
    let count = 0
    for (const { stream, after } of positions) count += this.#dropped.get(stream)?.countBetween(after, through) ?? 0
    return count
  }

  names(): Iterable<string> {
    return this.#rings.keys()
  }

  get totalMessages(): number {
    let total = 0
    for (const ring of this.#rings.values()) total += ring.length
    return total
  }

  /** For the disk: what was dropped, and below which sequence number the stream holds nothing any more. */
  pastOf(stream: string, lastSequence: number): { floor: number; runs: readonly number[] } {
    const first = this.#rings.get(stream)?.first ?? lastSequence + 1
    return { floor: first - 1, runs: this.#dropped.get(stream)?.runs ?? [] }
  }

  restoreDropped(stream: string, runs: readonly number[]): void {
    if (runs.length > 0) this.#dropped.set(stream, new Dropped(runs))
  }

  /** One that held the message does no longer. True: another one still does. */
  letGo(sequence: number): boolean {
    const holders = this.#holders.get(sequence) ?? 1
    if (holders > 2) this.#holders.set(sequence, holders - 1)
    else this.#holders.delete(sequence)
    if (holders > 1) return true
    this.#events.released(sequence)
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

  #isOver(ring: Ring): boolean {
    return ring.length > this.#limits.queueMessages || ring.bytes > this.#limits.queueBytes
  }

  #drop(stream: string, ring: Ring): void {
    const sequence = ring.shift()!
    let dropped = this.#dropped.get(stream)
    if (dropped === undefined) {
      dropped = new Dropped()
      this.#dropped.set(stream, dropped)
    }
    dropped.add(sequence)
    this.letGo(sequence)
  }
}

/** Takes the lowest sequence number of all rings and moves every index that stands on it. */
function lowest(rings: readonly Ring[], indexes: number[]): number | undefined {
  let low: number | undefined
  for (let index = 0; index < rings.length; index += 1) {
    const sequence = rings[index]!.at(indexes[index]!)
    if (sequence !== undefined && (low === undefined || sequence < low)) low = sequence
  }
  if (low === undefined) return undefined
  for (let index = 0; index < rings.length; index += 1) {
    if (rings[index]!.at(indexes[index]!) === low) indexes[index]! += 1
  }
  return low
}
