// Finds messages of the log by their sequence numbers: the latest in memory, the others on disk.
import type { Message } from '../message.ts'
import type { PluginLog } from '../plugin.ts'
import type { Database } from './database.ts'
import * as keys from './keys.ts'
import type { RecentMessages } from './recent.ts'
import * as records from './records.ts'

type Found = (Message | undefined)[]

export class LogReader {
  readonly #recent: RecentMessages
  readonly #database: () => Database
  readonly #log: PluginLog
  #damagedRecords = 0

  constructor(recent: RecentMessages, database: () => Database, log: PluginLog) {
    this.#recent = recent
    this.#database = database
    this.#log = log
  }

  /** One answer for each sequence number; undefined: gone, or damaged. */
  fetch(sequences: readonly number[]): Found | Promise<Found> {
    const messages = sequences.map((sequence) => this.#recent.get(sequence))
    return messages.includes(undefined) ? this.#fetchMissing(sequences, messages) : messages
  }

  async #fetchMissing(sequences: readonly number[], messages: Found): Promise<Found> {
    const missing: number[] = []
    for (let index = 0; index < messages.length; index += 1) if (messages[index] === undefined) missing.push(index)
    const wanted = missing.map((index) => keys.messageKey(sequences[index]!))
    const found = await this.#database().getMany(wanted)
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
      this.#log.error(fields, 'a stored message is damaged and was left out; run oriole doctor')
      return undefined
    }
  }
}
