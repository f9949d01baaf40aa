// The store on LevelDB: every message once in one log, every session a few small records, one group commit for all.
import { OrioleError } from '../errors.ts'
import type { Message } from '../message.ts'
import type { PluginLog } from '../plugin.ts'
import { Background } from './background.ts'
import { type Backup, backup, type DiskStore } from './backup.ts'
import { type Batch, type Done, type Durability, GroupCommit } from './commit.ts'
import { Database } from './database.ts'
import { type DataFolder, openFolder } from './folder.ts'
import * as keys from './keys.ts'
import { readLog } from './read-log.ts'
import { detached, RecentMessages } from './recent.ts'
import * as records from './records.ts'
import { recover } from './recover.ts'
import { Repair } from './repair.ts'
import { RetainedIndex } from './retained.ts'
import type {
  Cursor,
  ReadResult,
  Recovered,
  SessionRecord,
  StoreLimits,
  StreamPosition,
  SubscriptionRecord,
  WillRecord,
} from './store.ts'
import { privateStream } from './store.ts'
import { entryOverheadBytes, Streams } from './streams.ts'
import { everyInterval } from './sweep.ts'

export interface LevelStoreOptions {
  /** The data folder. */
  readonly path: string
  /**
   * `disk`: a commit is on disk (fsync) when it is reported. `os`: it is with the operating system; a power cut loses
   * what that has not written yet, as a rule the last 30 s. `memory`: a commit is reported while it is being written;
   * the end of the process loses the last batches, as a rule a few milliseconds, at most 100,000 records.
   */
  readonly durability: Durability
  readonly limits: StoreLimits
  readonly log: PluginLog
  readonly onCommit?: ((seconds: number, records: number) => void) | undefined
  readonly now?: (() => number) | undefined
}

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
  readonly #background: Background
  readonly #commit: GroupCommit
  #database: Database | undefined
  #folder: DataFolder | undefined
  #repair: Repair | undefined
  #lastSequence = 0
  #reserved = 0
  #writtenSequence = 0
  #damagedRecords = 0
  #stopSweep: (() => void) | undefined
  #closing: Promise<void> | undefined

  constructor(options: LevelStoreOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
    this.#retained = new RetainedIndex(this.#now)
    this.#streams = new Streams(
      options.limits,
      {
        released: (sequence) => {
          this.#recent.delete(sequence)
          this.#background.deleteMessage(sequence)
          this.#commit.touch()
        },
        floorMoved: (stream) => {
          this.#background.rememberStream(stream)
          this.#commit.touch()
        },
      },
      this.#now,
    )
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
  }

  async open(): Promise<Recovered> {
    const { path, log } = this.#options
    const folder = await openFolder(path)
    const database = new Database(folder.databasePath)
    await database.open(folder.isNew)
    try {
      const recovered = await recover(path, folder, database, this.#streams, this.#retained, log)
      this.#lastSequence = recovered.watermark
      this.#reserved = recovered.watermark
      this.#writtenSequence = recovered.watermark
      this.#background.start(recovered.lastBatch, recovered.unneeded)
      this.#database = database
      this.#folder = folder
      this.#repair = new Repair(folder.databasePath, database, this.#commit, log)
      for (const stream of [...this.#streams.names()]) this.#streams.enforce(stream)
      if (folder.isNew) {
        await database.write([this.#watermark(0)], true)
        await folder.markMade()
      } else await folder.noteBatch(recovered.lastBatch)
      this.#stopSweep = everyInterval(this.#streams, this.#retained, (topic) => this.#removeRetained(topic))
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
    this.#stopSweep?.()
    this.#repair?.stop()
    await this.#flush()
    await this.#commit.drain()
    this.#commit.stop()
    await this.#repair?.quiet()
    await this.#database.close()
    this.#database = undefined
    if (this.#commit.failure === undefined) await this.#noteEnd()
  }

  /** Cursors are written first, so that as little as can be is delivered twice after a restore. */
  async backup(newPath: string, signal: AbortSignal): Promise<Backup> {
    this.#background.checkpointNow()
    await new Promise<void>((resolve, reject) =>
      this.commit((error) => (error === undefined ? resolve() : reject(error))),
    )
    return backup(this.#opened(), this.#options.path, newPath, signal)
  }

  get lastSequence(): number {
    return this.#lastSequence
  }

  get failure(): Error | undefined {
    return this.#commit.failure
  }

  append(message: Message, streams: readonly string[]): number {
    this.#lastSequence += 1
    const sequence = this.#lastSequence
    // While nothing can be stored the message is not taken: the commit that follows says so.
    if (streams.length === 0 || this.#commit.failure !== undefined) return sequence
    const distinct = streams.length === 1 ? streams : [...new Set(streams)]
    const batch = this.#commit.pending
    const key = keys.messageKey(sequence)
    const record = records.encodeLog(key, message, distinct)
    batch.messages.push({ type: 'put', key, value: record })
    batch.firstSequence ??= sequence
    for (const stream of distinct) batch.streams.add(stream)
    if (sequence > this.#reserved) {
      this.#reserved = sequence + sequenceBlock
      batch.state.push(this.#watermark(this.#reserved))
    }
    this.#recent.add(sequence, detached(message, record))
    this.#streams.append(sequence, distinct, record.length + entryOverheadBytes, message.publishedAt)
    // With `memory` a commit is reported before the batch is written, so nothing waits for `#written`.
    if (this.#options.durability === 'memory') for (const stream of distinct) this.#streams.enforce(stream)
    this.#commit.touch()
    return sequence
  }

  commit(done: Done): void {
    this.#commit.commit(done)
  }

  read(positions: readonly StreamPosition[], limit: number): Promise<ReadResult> {
    const fetch = (sequences: readonly number[]) => this.#fetch(sequences)
    return readLog(this.#streams, positions, limit, () => this.#lastSequence, fetch, this.#now)
  }

  async readExact(sequences: readonly number[]): Promise<(Message | undefined)[]> {
    return this.#fetch(sequences)
  }

  streams(): Iterable<string> {
    return this.#streams.names()
  }

  trim(stream: string, upTo: number): void {
    this.#streams.trim(stream, upTo)
  }

  /** Its cursor goes along: whoever said goodbye with everything acknowledged gets nothing twice, even after a crash. */
  putSession(session: SessionRecord): void {
    const key = keys.sessionKey(session.clientId)
    this.#put(key, records.encodeSession(key, session))
    const cursor = this.#background.takeCursor(session.clientId)
    if (cursor === undefined) return
    const cursorKey = keys.cursorKey(session.clientId)
    this.#put(cursorKey, records.encodeCursor(cursorKey, cursor))
  }

  deleteSession(clientId: string): void {
    this.#background.forgetCursor(clientId)
    this.#commit.pending.state.push({ type: 'range', range: keys.sessionRange(clientId) })
    this.#streams.trim(privateStream(clientId), this.#lastSequence)
    this.#commit.touch()
  }

  putSubscription(clientId: string, subscription: SubscriptionRecord): void {
    const key = keys.subscriptionKey(clientId, subscription.filter)
    this.#put(key, records.encodeSubscription(key, subscription))
  }

  deleteSubscription(clientId: string, filter: string): void {
    this.#delete(keys.subscriptionKey(clientId, filter))
  }

  /**
   * A cursor with QoS 2 in flight is written with the next batch, because exactly-once depends on it. Any other one
   * is a checkpoint, written at most every 200 ms: an older one means that something is delivered again.
   */
  putCursor(clientId: string, cursor: Cursor): void {
    if (cursor.inflight.some(({ qos }) => qos === 2)) {
      this.#background.forgetCursor(clientId)
      const key = keys.cursorKey(clientId)
      this.#put(key, records.encodeCursor(key, cursor))
      return
    }
    this.#background.putCursor(clientId, cursor)
    this.#commit.touch()
  }

  putInbound(clientId: string, packetId: number): void {
    const key = keys.inboundKey(clientId, packetId)
    this.#put(key, records.encodeNumbers(key, [packetId]))
  }

  deleteInbound(clientId: string, packetId: number): void {
    this.#delete(keys.inboundKey(clientId, packetId))
  }

  putWill(clientId: string, will: WillRecord): void {
    const key = keys.willKey(clientId)
    this.#put(key, records.encodeWill(key, will))
  }

  deleteWill(clientId: string): void {
    this.#delete(keys.willKey(clientId))
  }

  putRetained(message: Message): void {
    if (message.payload.length === 0) {
      this.#removeRetained(message.topic)
      return
    }
    const key = keys.retainedKey(message.topic)
    const record = records.encodeRetained(key, message)
    this.#retained.set(message.topic, record)
    this.#put(key, record)
  }

  getRetained(topic: string): Message | undefined {
    return this.#retained.get(topic)
  }

  matchRetained(filter: string): IterableIterator<Message | undefined> {
    return this.#retained.match(filter)
  }

  get retainedCount(): number {
    return this.#retained.count
  }

  retainedCountOf(username: string): number {
    return this.#retained.countOf(username)
  }

  #removeRetained(topic: string): void {
    if (this.#retained.delete(topic)) this.#delete(keys.retainedKey(topic))
  }

  #put(key: Buffer, value: Buffer): void {
    this.#commit.pending.state.push({ type: 'put', key, value })
    this.#commit.touch()
  }

  #delete(key: Buffer): void {
    this.#commit.pending.state.push({ type: 'del', key })
    this.#commit.touch()
  }

  #watermark(sequence: number): { type: 'put'; key: Buffer; value: Buffer } {
    const value = records.encodeNumbers(keys.watermarkKey, [sequence])
    return { type: 'put', key: keys.watermarkKey, value }
  }

  #opened(): Database {
    if (this.#database === undefined) throw new OrioleError('ORI_STORE_OPEN', 'the store is not open')
    return this.#database
  }

  /** The bounds are kept only now, so that a batch that fails pushes nothing out that was stored. */
  #written(batch: Batch): void {
    if (this.#background.hasMore) this.#commit.touch()
    const last = batch.messages[batch.messages.length - 1]
    if (last === undefined) return
    this.#writtenSequence = keys.sequenceOf(last.key)
    this.#recent.evict(this.#writtenSequence)
    for (const stream of batch.streams) this.#streams.enforce(stream)
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
    if (first !== undefined) for (const batch of batches) this.#streams.retract(first, batch.streams)
    this.#repair?.begin(error)
  }

  #fetch(sequences: readonly number[]): (Message | undefined)[] | Promise<(Message | undefined)[]> {
    const messages = sequences.map((sequence) => this.#recent.get(sequence))
    if (!messages.includes(undefined)) return messages
    return this.#fetchMissing(sequences, messages)
  }

  async #fetchMissing(
    sequences: readonly number[],
    messages: (Message | undefined)[],
  ): Promise<(Message | undefined)[]> {
    const missing: number[] = []
    for (let index = 0; index < messages.length; index += 1) if (messages[index] === undefined) missing.push(index)
    const wanted = missing.map((index) => keys.messageKey(sequences[index]!))
    const found = await this.#opened().getMany(wanted)
    for (let index = 0; index < missing.length; index += 1) {
      const record = found[index]
      if (record !== undefined) messages[missing[index]!] = this.#decode(wanted[index]!, record)
    }
    return messages
  }

  #decode(key: Buffer, record: Buffer): Message | undefined {
    try {
      records.check(key, record)
      return records.decodeLogMessage(record)
    } catch (error) {
      this.#damagedRecords += 1
      const fields = { sequence: keys.sequenceOf(key), damagedRecords: this.#damagedRecords, err: error }
      this.#options.log.error(fields, 'a stored message is damaged and was left out; run oriole doctor')
      return undefined
    }
  }
}
