// The store without a disk: everything is gone when the process ends. For tests and for brokers that keep nothing.
import type { Message } from '../message.ts'
import { History } from './history.ts'
import { retainedKey } from './keys.ts'
import { readHistory } from './read-history.ts'
import { readLog } from './read-log.ts'
import { encodeRetained } from './records.ts'
import { Removals } from './removals.ts'
import { RetainedIndex, stampOf } from './retained.ts'
import {
  arrivalStream,
  type Held,
  type HistoryPage,
  type HistoryRange,
  type HistoryRule,
  privateStream,
  type ReadResult,
  type Recovered,
  type Retained,
  type RetainedStamp,
  type RetainedWord,
  type Store,
  type StoreLimits,
  type StreamPosition,
} from './store.ts'
import { entryOverheadBytes, Streams } from './streams.ts'
import { everyInterval } from './sweep.ts'

export function createMemoryStore(
  limits: StoreLimits,
  history: readonly HistoryRule[] = [],
  now: () => number = Date.now,
): Store {
  return new MemoryStore(limits, history, now)
}

class MemoryStore implements Store {
  readonly #messages = new Map<number, Message>()
  readonly #streams: Streams
  readonly #retained: RetainedIndex
  readonly #history: History
  readonly #removals: Removals
  readonly #now: () => number
  #lastSequence = 0
  #waiting: ((error: Error | undefined) => void)[] = []
  #stopSweep: (() => void) | undefined

  constructor(limits: StoreLimits, history: readonly HistoryRule[], now: () => number) {
    this.#now = now
    this.#retained = new RetainedIndex(now)
    this.#removals = new Removals(limits.remembersRemovals, now)
    const released = (sequence: number) => void this.#messages.delete(sequence)
    this.#streams = new Streams(limits, { released, floorMoved: () => {} }, now)
    this.#history = new History(history, (sequence, bytes) => void this.#streams.letGo(sequence, bytes), now)
  }

  async open(): Promise<Recovered> {
    const places = {
      streams: this.#streams,
      retained: this.#retained,
      history: this.#history,
      removals: this.#removals,
    }
    this.#stopSweep = everyInterval(places, {
      lastSequence: this.#lastSequence,
      dropRetained: (topic) => this.#remove(topic, this.#retained.stampOf(topic)),
      forgetBelow: () => [],
    })
    return { sessions: [], wills: new Map(), marks: new Map() }
  }

  async close(): Promise<void> {
    this.#stopSweep?.()
    this.#answer()
  }

  get lastSequence(): number {
    return this.#lastSequence
  }

  get isFull(): boolean {
    return false
  }

  get failure(): undefined {
    return undefined
  }

  append(message: Message, streams: readonly string[]): number {
    this.#lastSequence += 1
    const inHistory = message.via === undefined && this.#history.keeps(message.topic)
    if (streams.length === 0 && !inHistory) return this.#lastSequence
    const sequence = this.#lastSequence
    const distinct = streams.length === 1 ? streams : [...new Set(streams)]
    const bytes = message.payload.length + message.topic.length + entryOverheadBytes
    // The payload may be a part of a socket's buffer, which would stay alive with it.
    this.#messages.set(sequence, { ...message, payload: Buffer.from(message.payload) })
    this.#streams.append(sequence, distinct, bytes, message.publishedAt, inHistory)
    for (const stream of distinct) this.#streams.enforce(stream)
    if (inHistory) {
      this.#history.append(message.topic, sequence, bytes, message.publishedAt)
      this.#history.enforce(message.topic)
    }
    return sequence
  }

  commit(done: (error: Error | undefined) => void): void {
    if (this.#waiting.push(done) === 1) setImmediate(() => this.#answer())
  }

  read(positions: readonly StreamPosition[], limit: number, has?: ReadonlySet<number>): Promise<ReadResult> {
    const fetch = (sequences: readonly number[]) => sequences.map((sequence) => this.#messages.get(sequence))
    return readLog(this.#streams, positions, limit, () => this.#lastSequence, fetch, this.#now, has)
  }

  async readExact(sequences: readonly number[]): Promise<(Message | undefined)[]> {
    return sequences.map((sequence) => this.#messages.get(sequence))
  }

  keepsHistory(topic: string): boolean {
    return this.#history.keeps(topic)
  }

  readHistory(filter: string, range: HistoryRange): Promise<HistoryPage> {
    const fetch = (sequences: readonly number[]) => sequences.map((sequence) => this.#messages.get(sequence))
    return readHistory(this.#history, filter, range, fetch, this.#now)
  }

  streams(): Iterable<string> {
    return this.#streams.allNames()
  }

  held(stream: string): Held {
    return this.#streams.held(stream)
  }

  trim(stream: string, upTo: number): void {
    this.#streams.trim(stream, upTo)
  }

  // Sessions live in the memory of their manager as long as the process does: there is nothing to keep here.
  putSession(): void {}
  deleteSession(clientId: string): void {
    this.#streams.trim(privateStream(clientId), this.#lastSequence)
    this.#streams.trim(arrivalStream(clientId), this.#lastSequence)
  }
  putSubscription(): void {}
  deleteSubscription(): void {}
  putCursor(): void {}
  putInbound(): void {}
  deleteInbound(): void {}
  putMark(): void {}
  putWill(): void {}
  deleteWill(): void {}

  putRetained(message: Message): void {
    if (message.payload.length === 0) {
      this.#remove(message.topic, stampOf(message))
      return
    }
    this.#removals.forget(message.topic)
    this.#retained.set(message.topic, encodeRetained(retainedKey(message.topic), message))
  }

  #remove(topic: string, stamp: RetainedStamp | undefined): void {
    this.#retained.delete(topic)
    if (stamp !== undefined) this.#removals.add(topic, stamp)
  }

  retainedStamp(topic: string): RetainedStamp | undefined {
    return this.#retained.stampOf(topic) ?? this.#removals.get(topic)
  }

  *allRetained(): IterableIterator<RetainedWord | undefined> {
    yield* this.#retained.all()
    for (const [topic, stamp] of this.#removals.entries()) yield { topic, stamp, message: undefined }
  }

  getRetained(topic: string): Retained | undefined {
    return this.#retained.get(topic)
  }

  matchRetained(filter: string): IterableIterator<Retained | undefined> {
    return this.#retained.match(filter)
  }

  async loadRetained(topic: string): Promise<Message | undefined> {
    const found = this.#retained.get(topic)
    return found?.payload && found
  }

  get retainedCount(): number {
    return this.#retained.count
  }

  retainedCountOf(username: string): number {
    return this.#retained.countOf(username)
  }

  #answer(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const done of waiting) done(undefined)
  }
}
