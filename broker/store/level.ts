// The store on LevelDB: every message once in one log, every session a few small records, one group commit for all.
import { OrioleError } from '../errors.ts'
import type { Message } from '../message.ts'
import { Background } from './background.ts'
import { type Backup, backup, type DiskStore } from './backup.ts'
import { type Batch, type Done, GroupCommit } from './commit.ts'
import { Database } from './database.ts'
import { type DataFolder, databasePathOf, openFolder } from './folder.ts'
import { History, historyMark } from './history.ts'
import * as keys from './keys.ts'
import type { LevelStoreOptions } from './level-options.ts'
import { LogReader } from './log-reader.ts'
import { readHistory } from './read-history.ts'
import { readLog } from './read-log.ts'
import { RecentMessages } from './recent.ts'
import * as records from './records.ts'
import { type RecoveryPlaces, recover } from './recover.ts'
import { Removals } from './removals.ts'
import { Repair } from './repair.ts'
import { RetainedIndex } from './retained.ts'
import { RetainedMessages } from './retained-messages.ts'
import { SessionState } from './session-state.ts'
import type {
  Cursor,
  Held,
  HistoryPage,
  HistoryRange,
  ReadResult,
  Recovered,
  Retained,
  RetainedStamp,
  RetainedWord,
  SessionRecord,
  StreamPosition,
  SubscriptionRecord,
  WillRecord,
} from './store.ts'
import { arrivalStream, committed, privateStream } from './store.ts'
import { entryOverheadBytes, Streams } from './streams.ts'
import { Upkeep } from './upkeep.ts'

/** Sequence numbers are reserved in blocks: one write for each, and a hole of at most one after a crash. */
const sequenceBlock = 65_536

export function createLevelStore(options: LevelStoreOptions): DiskStore {
  return new LevelStore(options)
}

class LevelStore implements DiskStore {
  readonly #options: LevelStoreOptions
  readonly #now: () => number
  readonly #recent = new RecentMessages()
  readonly #retained: RetainedIndex
  readonly #streams: Streams
  readonly #history: History
  readonly #removals: Removals
  readonly #background: Background
  readonly #commit: GroupCommit
  readonly #state: SessionState
  readonly #reader: LogReader
  readonly #upkeep: Upkeep
  readonly #retainedMessages: RetainedMessages
  #database: Database | undefined
  #folder: DataFolder | undefined
  #repair: Repair | undefined
  #lastSequence = 0
  #reserved = 0
  #closing: Promise<void> | undefined

  constructor(options: LevelStoreOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
    this.#retained = new RetainedIndex(this.#now)
    this.#streams = new Streams(
      options.limits,
      {
        released: (sequence, bytes) => {
          this.#recent.delete(sequence)
          this.#background.deleteMessage(sequence)
          this.#upkeep.released(sequence, bytes)
          this.#commit.touch()
        },
        floorMoved: (stream) => {
          this.#background.rememberStream(stream)
          this.#commit.touch()
        },
      },
      this.#now,
    )
    const letGo = (sequence: number, bytes: number) => void this.#streams.letGo(sequence, bytes)
    this.#history = new History(options.history ?? [], letGo, this.#now)
    this.#background = new Background((stream) => this.#streams.pastOf(stream, this.#lastSequence))
    this.#commit = new GroupCommit({
      durability: options.durability,
      collect: (batch, idle) => this.#background.collect(batch, idle),
      write: (operations, sync) => this.#opened().write(operations, sync),
      keys: (range) => this.#opened().keys(range),
      written: (batch) => this.#written(batch),
      failed: (batches, error) => this.#failed(batches, error),
      onCommit: options.onCommit,
    })
    this.#state = new SessionState(this.#commit, this.#background)
    this.#removals = new Removals(options.limits.remembersRemovals, this.#now, this.#state)
    this.#reader = new LogReader(this.#recent, () => this.#opened(), options.log)
    this.#upkeep = new Upkeep(databasePathOf(options.path), () => this.#opened(), {
      places: this.#places,
      background: this.#background,
      diskMaxBytes: options.diskMaxBytes ?? 0,
      log: options.log,
      lastSequence: () => this.#lastSequence,
      dropRetained: (topic) => this.#retainedMessages.drop(topic),
      touch: () => this.#commit.touch(),
      onTaken: options.onTaken ?? (() => {}),
    })
    this.#retainedMessages = new RetainedMessages(
      this.#retained,
      this.#state,
      this.#commit,
      () => this.#opened(),
      this.#upkeep,
      this.#removals,
    )
  }

  async open(): Promise<Recovered> {
    const { path, log } = this.#options
    const folder = await openFolder(path)
    const database = new Database(folder.databasePath)
    await database.open(folder.isNew)
    try {
      const recovered = await recover(path, folder, database, this.#places, log)
      this.#lastSequence = recovered.watermark
      this.#reserved = recovered.watermark
      this.#background.start(recovered.lastBatch, recovered.unneeded, recovered.floors)
      this.#database = database
      this.#folder = folder
      this.#repair = new Repair(folder.databasePath, database, this.#commit, log)
      for (const stream of [...this.#streams.names()]) this.#streams.enforce(stream)
      for (const topic of [...this.#history.topics()]) this.#history.enforce(topic)
      if (folder.isNew) {
        await database.write([this.#watermark(0)], true)
        await folder.markMade()
      } else await folder.noteBatch(recovered.lastBatch)
      this.#upkeep.start(recovered.unneeded, recovered.unneededBytes)
      return recovered
    } catch (error) {
      await database.close()
      throw error
    }
  }

  /** Whoever calls again while it closes waits for the same end: a stop in order may be overtaken by one at once. */
  close(): Promise<void> {
    this.#closing ??= this.#close().finally(() => {
      this.#closing = undefined
    })
    return this.#closing
  }

  async #close(): Promise<void> {
    if (this.#database === undefined) return
    this.#upkeep.stopTimers()
    this.#repair?.stop()
    await this.#flush()
    await this.#commit.drain()
    this.#commit.stop()
    await this.#repair?.quiet()
    this.#database.giveUp()
    await this.#upkeep.stop()
    await this.#database.close()
    this.#database = undefined
    if (this.#commit.failure === undefined) await this.#noteEnd()
  }

  /** Cursors are written first, so that as little as can be is delivered twice after a restore. */
  async backup(newPath: string, signal: AbortSignal): Promise<Backup> {
    this.#background.checkpointNow()
    await committed(this)
    return backup(this.#opened(), this.#options.path, newPath, signal)
  }

  sweep(): Promise<void> {
    return this.#upkeep.sweepNow()
  }

  get #places(): RecoveryPlaces {
    return { streams: this.#streams, retained: this.#retained, history: this.#history, removals: this.#removals }
  }

  get lastSequence(): number {
    return this.#lastSequence
  }

  get failure(): Error | undefined {
    return this.#commit.failure
  }

  get isFull(): boolean {
    return this.#upkeep.isFull
  }

  append(message: Message, streams: readonly string[]): number {
    this.#lastSequence += 1
    const sequence = this.#lastSequence
    // While nothing can be stored the message is not taken: the commit that follows says so.
    const inHistory = message.via === undefined && this.#history.keeps(message.topic)
    if ((streams.length === 0 && !inHistory) || this.#commit.failure !== undefined) return sequence
    const distinct = streams.length === 1 ? streams : [...new Set(streams)]
    const batch = this.#commit.pending
    const key = keys.messageKey(sequence)
    const record = records.encodeLog(key, message, inHistory ? [...distinct, historyMark] : distinct)
    batch.messages.push({ type: 'put', key, value: record })
    batch.firstSequence ??= sequence
    for (const stream of distinct) batch.streams.add(stream)
    if (sequence > this.#reserved) {
      this.#reserved = sequence + sequenceBlock
      batch.state.push(this.#watermark(this.#reserved))
    }
    this.#recent.add(sequence, record)
    const bytes = record.length + entryOverheadBytes
    this.#upkeep.appended(bytes)
    this.#streams.append(sequence, distinct, bytes, message.publishedAt, inHistory)
    if (inHistory) {
      this.#history.append(message.topic, sequence, bytes, message.publishedAt)
      batch.conversations.add(message.topic)
    }
    // With `memory` a commit is reported before the batch is written, so nothing waits for `#written`.
    if (this.#options.durability === 'memory') this.#enforce(distinct, inHistory ? [message.topic] : [])
    this.#commit.touch()
    return sequence
  }

  commit(done: Done): void {
    this.#commit.commit(done)
  }

  read(positions: readonly StreamPosition[], limit: number, has?: ReadonlySet<number>): Promise<ReadResult> {
    const fetch = (sequences: readonly number[]) => this.#reader.fetch(sequences)
    return readLog(this.#streams, positions, limit, () => this.#lastSequence, fetch, this.#now, has)
  }

  async readExact(sequences: readonly number[]): Promise<(Message | undefined)[]> {
    return this.#reader.fetch(sequences)
  }

  keepsHistory(topic: string): boolean {
    return !this.isFull && this.#history.keeps(topic)
  }

  readHistory(filter: string, range: HistoryRange): Promise<HistoryPage> {
    const fetch = (sequences: readonly number[]) => this.#reader.fetch(sequences)
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

  putSession(session: SessionRecord): void {
    this.#state.putSession(session)
  }

  deleteSession(clientId: string): void {
    this.#state.deleteSession(clientId)
    this.#upkeep.sessionDeleted()
    this.#streams.trim(privateStream(clientId), this.#lastSequence)
    this.#streams.trim(arrivalStream(clientId), this.#lastSequence)
  }

  putSubscription(clientId: string, subscription: SubscriptionRecord): void {
    this.#state.putSubscription(clientId, subscription)
  }

  deleteSubscription(clientId: string, filter: string): void {
    this.#state.deleteSubscription(clientId, filter)
  }

  putCursor(clientId: string, cursor: Cursor, when?: 'soon' | 'now'): void {
    this.#state.putCursor(clientId, cursor, when)
  }

  putInbound(clientId: string, packetId: number): void {
    this.#state.putInbound(clientId, packetId)
  }

  deleteInbound(clientId: string, packetId: number): void {
    this.#state.deleteInbound(clientId, packetId)
  }

  putMark(name: string, value: number): void {
    this.#state.putMark(name, value)
  }

  putWill(clientId: string, will: WillRecord): void {
    this.#state.putWill(clientId, will)
  }

  deleteWill(clientId: string): void {
    this.#state.deleteWill(clientId)
  }

  putRetained(message: Message): void {
    this.#retainedMessages.put(message)
  }

  getRetained(topic: string): Retained | undefined {
    return this.#retained.get(topic)
  }

  matchRetained(filter: string): IterableIterator<Retained | undefined> {
    return this.#retained.match(filter)
  }

  loadRetained(topic: string): Promise<Message | undefined> {
    return this.#retainedMessages.load(topic)
  }

  retainedStamp(topic: string): RetainedStamp | undefined {
    return this.#retainedMessages.stampOf(topic)
  }

  allRetained(): IterableIterator<RetainedWord | undefined> {
    return this.#retainedMessages.all()
  }

  get retainedCount(): number {
    return this.#retained.count
  }

  retainedCountOf(username: string): number {
    return this.#retained.countOf(username)
  }

  #watermark(sequence: number): { type: 'put'; key: Buffer; value: Buffer } {
    return { type: 'put', key: keys.watermarkKey, value: records.encodeNumbers(keys.watermarkKey, [sequence]) }
  }

  #opened(): Database {
    if (this.#database === undefined) throw new OrioleError('ORI_STORE_OPEN', 'the store is not open')
    return this.#database
  }

  /** The bounds are kept only now, so that a batch that fails pushes nothing out that was stored. */
  #written(batch: Batch): void {
    this.#upkeep.written()
    this.#retainedMessages.written(batch)
    const last = batch.messages[batch.messages.length - 1]
    if (last === undefined) return
    this.#recent.evict(keys.sequenceOf(last.key))
    this.#enforce(batch.streams, batch.conversations)
  }

  #enforce(streams: Iterable<string>, conversations: Iterable<string>): void {
    for (const stream of streams) this.#streams.enforce(stream)
    for (const topic of conversations) this.#history.enforce(topic)
  }

  /** Writes what waits. Deletes that take longer than this are left: the messages come back and are trimmed again. */
  async #flush(): Promise<void> {
    const deadline = performance.now() + 3_000
    let error: Error | undefined
    do {
      this.#background.checkpointNow()
      this.#commit.pending.state.push(this.#watermark(this.#lastSequence))
      error = await new Promise<Error | undefined>((resolve) => this.#commit.commit(resolve))
    } while (error === undefined && this.#background.hasMore && performance.now() < deadline)
    if (error !== undefined) this.#options.log.error({ err: error }, 'the last writes could not be stored')
  }

  /** The next start knows how much there must be. Without it the data is as good, and less is found when it is damaged. */
  async #noteEnd(): Promise<void> {
    try {
      await this.#folder?.noteBatch(this.#background.lastBatch)
    } catch (error) {
      this.#options.log.error({ err: error }, 'the end of the data could not be noted')
    }
  }

  #failed(batches: readonly Batch[], error: Error): void {
    for (const batch of batches) {
      if (batch.firstSequence === undefined) continue
      for (const { key } of batch.messages) this.#recent.delete(keys.sequenceOf(key))
    }
    const first = batches.find(({ firstSequence }) => firstSequence !== undefined)?.firstSequence
    for (const { streams, conversations } of first === undefined ? [] : batches) {
      this.#streams.retract(first!, streams)
      this.#history.retract(first!, conversations)
    }
    this.#repair?.begin(error)
  }
}
