// What may wait for the next batch: cursors, deletes of messages that nobody needs, what streams dropped, batch numbers.
import type { Batch } from './commit.ts'
import * as keys from './keys.ts'
import * as records from './records.ts'
import type { Cursor } from './store.ts'

/** Cursors are written at most so often. */
const checkpointMs = 200

/** Deletes in a batch that somebody waits for, and in one that nobody waits for: a big clean-up stalls no commit. */
const deletesInCommit = 256
const deletesWhenIdle = 4_096

/** Records of streams that are deleted in one batch. */
const staleInBatch = 1_000

type PastOf = (stream: string) => { floor: number; runs: readonly number[] }

export class Background {
  readonly #pastOf: PastOf
  readonly #cursors = new Map<string, Cursor>()
  readonly #streams = new Set<string>()
  /** The streams that have a record on disk, with the floor in it. */
  readonly #floors = new Map<string, number>()
  /** Those whose record says nothing any more. */
  readonly #stale = new Set<string>()
  #unneeded: number[] = []
  /** How many of `#unneeded` are deleted, and how many may be: what their streams dropped is written first. */
  #deleted = 0
  #deletable = 0
  #batch = 0
  #checkpointAt = Number.NEGATIVE_INFINITY

  constructor(pastOf: PastOf) {
    this.#pastOf = pastOf
  }

  /** Goes on where the last run of the broker ended. */
  start(lastBatch: number, unneeded: readonly number[], floors: ReadonlyMap<string, number>): void {
    this.#batch = lastBatch
    for (const [stream, floor] of floors) this.#floors.set(stream, floor)
    this.#unneeded = this.#unneeded.concat(unneeded)
  }

  /** The number of the last batch. */
  get lastBatch(): number {
    return this.#batch
  }

  /** Deletes are left for another batch. */
  get hasMore(): boolean {
    return this.#unneeded.length > this.#deleted || this.#stale.size > 0
  }

  putCursor(clientId: string, cursor: Cursor): void {
    this.#cursors.set(clientId, cursor)
  }

  /** The caller writes it now. */
  takeCursor(clientId: string): Cursor | undefined {
    const cursor = this.#cursors.get(clientId)
    this.#cursors.delete(clientId)
    return cursor
  }

  forgetCursor(clientId: string): void {
    this.#cursors.delete(clientId)
  }

  deleteMessage(sequence: number): void {
    this.#unneeded.push(sequence)
  }

  rememberStream(stream: string): void {
    this.#streams.add(stream)
    this.#stale.delete(stream)
  }

  /**
   * Deletes the records of streams that only speak of messages below `firstSequence`, because none of those is left. In
   * steps; after the last one the store is to write a batch.
   */
  *forgetStreams(firstSequence: number): IterableIterator<undefined> {
    let checked = 0
    for (const [stream, floor] of this.#floors) {
      if (floor < firstSequence && !this.#streams.has(stream) && this.#pastOf(stream).runs.length === 0) {
        this.#stale.add(stream)
      }
      checked += 1
      if (checked % staleInBatch === 0) yield undefined
    }
  }

  /** The next batch takes the cursors, however short ago they were written: the store closes. */
  checkpointNow(): void {
    this.#checkpointAt = Number.NEGATIVE_INFINITY
  }

  /**
   * Cursors enter the batch together with or after the messages that they speak of, so that none is ever ahead of
   * what is durable.
   */
  collect(batch: Batch, idle: boolean): void {
    const now = performance.now()
    const isAlone = batch.messages.length === 0 && batch.state.length === 0
    if (idle || isAlone || now - this.#checkpointAt >= checkpointMs) {
      this.#checkpointAt = now
      this.#collectCursors(batch)
      this.#collectStreams(batch)
      this.#deletable = this.#unneeded.length
    }
    this.#collectDeletes(batch, idle ? deletesWhenIdle : deletesInCommit)
    if (idle && batch.messages.length === 0 && batch.marks.size === 0 && batch.state.length === 0) return
    this.#batch += 1
    batch.state.push(this.batchRecord())
  }

  /** The record that shows at the next start that this batch was not lost. */
  batchRecord(): { type: 'put'; key: Buffer; value: Buffer } {
    const key = keys.batchKey(this.#batch)
    return { type: 'put', key, value: records.encodeNumbers(key, [this.#batch]) }
  }

  #collectCursors(batch: Batch): void {
    for (const [clientId, cursor] of this.#cursors) {
      const key = keys.cursorKey(clientId)
      batch.state.push({ type: 'put', key, value: records.encodeCursor(key, cursor) })
    }
    this.#cursors.clear()
  }

  #collectStreams(batch: Batch): void {
    for (const stream of this.#streams) {
      const { floor, runs } = this.#pastOf(stream)
      const key = keys.streamKey(stream)
      this.#floors.set(stream, floor)
      batch.state.push({ type: 'put', key, value: records.encodeNumbers(key, [floor, ...runs]) })
    }
    this.#streams.clear()
  }

  #collectDeletes(batch: Batch, limit: number): void {
    const end = Math.min(this.#deletable, this.#deleted + limit)
    for (; this.#deleted < end; this.#deleted += 1) {
      batch.state.push({ type: 'del', key: keys.messageKey(this.#unneeded[this.#deleted]!) })
    }
    // Only now: without its record a stream would hold its old messages again if they came back with a crash.
    if (this.#deleted === this.#unneeded.length) this.#collectStale(batch)
    if (this.#deleted > 4_096 && this.#deleted * 2 > this.#unneeded.length) {
      this.#unneeded = this.#unneeded.slice(this.#deleted)
      this.#deletable -= this.#deleted
      this.#deleted = 0
    }
  }

  #collectStale(batch: Batch): void {
    let left = staleInBatch
    for (const stream of this.#stale) {
      if (left === 0) return
      left -= 1
      this.#stale.delete(stream)
      this.#floors.delete(stream)
      batch.state.push({ type: 'del', key: keys.streamKey(stream) })
    }
  }
}
