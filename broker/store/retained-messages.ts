// The retained messages of the level store: an index in memory, and each as a record on disk.
import type { Message } from '../message.ts'
import { DamagedRecord } from './bytes.ts'
import type { Batch, GroupCommit } from './commit.ts'
import type { Database } from './database.ts'
import * as keys from './keys.ts'
import * as records from './records.ts'
import type { Removals } from './removals.ts'
import { type RetainedIndex, stampOf } from './retained.ts'
import type { SessionState } from './session-state.ts'
import type { RetainedStamp, RetainedWord } from './store.ts'
import type { Upkeep } from './upkeep.ts'

/** Of a larger record only the head stays in memory. */
export const retainedInlineBytes = 4_096

export class RetainedMessages {
  readonly #index: RetainedIndex
  readonly #state: SessionState
  readonly #commit: GroupCommit
  readonly #database: () => Database
  readonly #upkeep: Upkeep
  readonly #removals: Removals

  constructor(
    index: RetainedIndex,
    state: SessionState,
    commit: GroupCommit,
    database: () => Database,
    upkeep: Upkeep,
    removals: Removals,
  ) {
    this.#index = index
    this.#state = state
    this.#commit = commit
    this.#database = database
    this.#upkeep = upkeep
    this.#removals = removals
  }

  /** An empty payload removes it (MQTT-3.3.1-6). */
  put(message: Message): void {
    if (message.payload.length === 0) {
      this.#delete(message.topic)
      this.#removals.add(message.topic, stampOf(message))
      return
    }
    this.#removals.forget(message.topic)
    const key = keys.retainedKey(message.topic)
    const record = records.encodeRetained(key, message)
    this.#index.set(message.topic, record)
    this.#upkeep.appended(record.length)
    this.#state.put(key, record)
    if (record.length > retainedInlineBytes) this.#commit.pending.large.push({ topic: message.topic, record })
  }

  /** Those of a batch that is on disk. After a failure they stay in memory. */
  written({ large }: Batch): void {
    for (const { topic, record } of large) this.#index.leaveToDisk(topic, record)
  }

  async load(topic: string): Promise<Message | undefined> {
    const key = keys.retainedKey(topic)
    for (;;) {
      const now = this.#index.get(topic)
      if (now === undefined || now.payload !== undefined) return now
      const head = this.#index.recordOf(topic)
      const [record] = await this.#database().getMany([key])
      // It was replaced or removed while it was read.
      if (this.#index.recordOf(topic) !== head) continue
      if (record === undefined) throw new DamagedRecord(`the retained message of ${JSON.stringify(topic)} is missing`)
      records.check(key, record)
      return records.decodeRetained(record, 0, record.length)
    }
  }

  /** It has expired: for other nodes that is as if it had been removed when it came. */
  drop(topic: string): void {
    const stamp = this.#index.stampOf(topic)
    this.#delete(topic)
    if (stamp !== undefined) this.#removals.add(topic, stamp)
  }

  stampOf(topic: string): RetainedStamp | undefined {
    return this.#index.stampOf(topic) ?? this.#removals.get(topic)
  }

  *all(): IterableIterator<RetainedWord | undefined> {
    yield* this.#index.all()
    for (const [topic, stamp] of this.#removals.entries()) yield { topic, stamp, message: undefined }
  }

  #delete(topic: string): void {
    const bytes = this.#index.delete(topic)
    if (bytes === 0) return
    this.#state.delete(keys.retainedKey(topic))
    this.#upkeep.retainedDeleted(bytes)
  }
}
