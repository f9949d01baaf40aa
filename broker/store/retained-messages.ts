// The retained messages of the level store: an index in memory, and each as a record on disk.
import type { Message } from '../message.ts'
import * as keys from './keys.ts'
import * as records from './records.ts'
import type { RetainedIndex } from './retained.ts'
import type { SessionState } from './session-state.ts'
import type { Upkeep } from './upkeep.ts'

export class RetainedMessages {
  readonly #index: RetainedIndex
  readonly #state: SessionState
  readonly #upkeep: Upkeep

  constructor(index: RetainedIndex, state: SessionState, upkeep: Upkeep) {
    this.#index = index
    this.#state = state
    this.#upkeep = upkeep
  }

  /** An empty payload removes it (MQTT-3.3.1-6). */
  put(message: Message): void {
    if (message.payload.length === 0) {
      this.drop(message.topic)
      return
    }
    const key = keys.retainedKey(message.topic)
    const record = records.encodeRetained(key, message)
    this.#index.set(message.topic, record)
    this.#upkeep.appended(record.length)
    this.#state.put(key, record)
  }

  drop(topic: string): void {
    const bytes = this.#index.delete(topic)
    if (bytes === 0) return
    this.#state.delete(keys.retainedKey(topic))
    this.#upkeep.retainedDeleted(bytes)
  }
}
