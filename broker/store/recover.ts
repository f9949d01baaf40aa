// Reads everything back at the start: retained messages, streams, sessions, wills; refuses when something is damaged.
import { errorText } from '../errors.ts'
import type { PluginLog } from '../plugin.ts'
import { DamagedRecord } from './bytes.ts'
import { type Database, damaged } from './database.ts'
import type { DataFolder } from './folder.ts'
import { type History, historyMark } from './history.ts'
import * as keys from './keys.ts'
import { Packed } from './packed.ts'
import { PackedSessions } from './packed-sessions.ts'
import * as records from './records.ts'
import type { Removals } from './removals.ts'
import type { RetainedIndex } from './retained.ts'
import { retainedInlineBytes } from './retained-messages.ts'
import type { Recovered, RetainedStamp, WillRecord } from './store.ts'
import { entryOverheadBytes, type Streams } from './streams.ts'

const watermarkText = keys.watermarkKey.toString()

export interface RecoveredStore extends Recovered {
  readonly watermark: number
  readonly lastBatch: number
  /** Messages that no stream holds: their deletion did not come to an end. */
  readonly unneeded: readonly number[]
  readonly unneededBytes: number
  /** Of the streams that have a record. */
  readonly floors: ReadonlyMap<string, number>
}

/** Where what is found is put. */
export interface RecoveryPlaces {
  readonly streams: Streams
  readonly retained: RetainedIndex
  readonly history: History
  readonly removals: Removals
}

/** Throws OrioleError with code ORI_STORE_DAMAGED. */
export async function recover(
  path: string,
  { isNew, leastBatch }: DataFolder,
  database: Database,
  { streams, retained, history, removals }: RecoveryPlaces,
  log: PluginLog,
): Promise<RecoveredStore> {
  if (isNew)
    return {
      watermark: 0,
      lastBatch: 0,
      unneeded: [],
      unneededBytes: 0,
      floors: new Map(),
      sessions: [],
      wills: new Map(),
      marks: new Map(),
    }
  const recovery = new Recovery(streams, retained, history)
  try {
    await database.checkTables()
    // One walk over all keys: a key that belongs nowhere shows as well.
    const { belowMessages, messages, aboveMessages } = keys.parts
    for await (const step of database.textSteps(belowMessages)) recovery.take(step)
    for await (const step of database.steps(messages)) recovery.takeMessages(step)
    for await (const step of database.textSteps(aboveMessages)) recovery.take(step)
    removals.recover(recovery.removals)
    return recovery.finish(log, leastBatch)
  } catch (error) {
    throw damaged(path, errorText(error), error)
  }
}

/** Takes the records in the order of their keys. */
class Recovery {
  readonly #streams: Streams
  readonly #retained: RetainedIndex
  readonly #history: History
  readonly #packed = new Packed()
  readonly #sessions = new PackedSessions()
  readonly #batches: number[] = []
  /** At or below its floor a stream holds nothing. */
  readonly #floors = new Map<string, number>()
  readonly #wills = new Map<string, WillRecord>()
  readonly #marks = new Map<string, number>()
  readonly removals: (readonly [string, RetainedStamp])[] = []
  readonly #unneeded: number[] = []
  #unneededBytes = 0
  readonly #damagedMessages: number[] = []
  #watermark: number | undefined

  constructor(streams: Streams, retained: RetainedIndex, history: History) {
    this.#streams = streams
    this.#retained = retained
    this.#history = history
  }

  take(step: readonly (readonly [key: string, record: Buffer])[]): void {
    for (const [key, record] of step) {
      records.checkNamed(key, record, 'a record')
      this.#take(key, record)
    }
  }

  /** A damaged message is left out, because the others are as good as before. Anything else stops the start. */
  takeMessages(step: readonly (readonly [key: Buffer, record: Buffer])[]): void {
    for (const [key, record] of step) {
      if (key.length !== keys.messageKeyBytes) throw unknownKind(key)
      this.#takeMessage(key, record)
    }
  }

  #take(key: string, record: Buffer): void {
    const letter = key[0]
    if (letter === 's') this.#sessions.add(key, record)
    else if (letter === 'r') this.#takeRetained(key.slice(1), record)
    else if (letter === 't') this.#takeRemoval(key.slice(1), record)
    else if (letter === 'w') this.#wills.set(key.slice(1), records.decodeWill(record))
    else if (letter === 'f') this.#takeStream(key.slice(1), record)
    else if (letter === 'n') this.#marks.set(key.slice(1), records.decodeNumbers(record)[0]!)
    else if (letter === 'b') this.#batches.push(records.decodeNumbers(record)[0]!)
    else if (key === watermarkText) this.#watermark = records.decodeNumbers(record)[0]!
    else throw unknownKind(key)
  }

  finish(log: PluginLog, leastBatch: number): RecoveredStore {
    if (this.#watermark === undefined) throw new DamagedRecord('the watermark is missing')
    if (this.#damagedMessages.length > 0) {
      const fields = { damagedRecords: this.#damagedMessages.length, firstSequence: this.#damagedMessages[0] }
      log.error(
        fields,
        'stored messages are damaged and were left out; keep a copy of the folder and run oriole doctor',
      )
    }
    return {
      watermark: this.#watermark,
      lastBatch: lastOf(this.#batches, leastBatch),
      unneeded: this.#unneeded,
      unneededBytes: this.#unneededBytes,
      floors: this.#floors,
      wills: this.#wills,
      marks: this.#marks,
      sessions: this.#sessions,
    }
  }

  #takeMessage(key: Buffer, record: Buffer): void {
    const sequence = keys.sequenceOf(key)
    if (!isWhole(key, record)) {
      this.#damagedMessages.push(sequence)
      return
    }
    if (this.#watermark === undefined || sequence > this.#watermark) {
      throw new DamagedRecord(`message ${sequence} is above the watermark ${this.#watermark ?? 'that is missing'}`)
    }
    const { names, publishedAt, topic } = records.decodeLogHead(record)
    const bytes = record.length + entryOverheadBytes
    const holding = names.filter((name) => name !== historyMark && sequence > (this.#floors.get(name) ?? 0))
    // A rule that is gone keeps nothing.
    const inHistory = names.includes(historyMark) && this.#history.append(topic(), sequence, bytes, publishedAt)
    if (holding.length === 0 && !inHistory) {
      this.#unneeded.push(sequence)
      this.#unneededBytes += bytes
    } else this.#streams.append(sequence, holding, bytes, publishedAt, inHistory)
  }

  #takeStream(stream: string, record: Buffer): void {
    const [floor, ...runs] = records.decodeNumbers(record)
    this.#floors.set(stream, floor!)
    this.#streams.restoreDropped(stream, runs)
  }

  #takeRemoval(topic: string, record: Buffer): void {
    const [publishedAt, storeId] = records.decodeNumbers(record)
    this.removals.push([topic, { publishedAt: publishedAt!, storeId }])
  }

  #takeRetained(topic: string, record: Buffer): void {
    const kept = record.length > retainedInlineBytes ? records.retainedHead(record) : record
    const { buffer, start } = this.#packed.add(kept)
    this.#retained.set(topic, buffer, start, start + kept.length, record.length)
  }
}

function unknownKind(key: Buffer | string): DamagedRecord {
  return new DamagedRecord(`a record of an unknown kind (key ${keys.shown(key)})`)
}

/** Batches are numbered without a gap, so a lost one shows. `least`: the last one that is known to have been written. */
export function missingBatches(batches: readonly number[], leastBatch: number): number {
  const last = batches.reduce((highest, batch) => Math.max(highest, batch), leastBatch)
  const oldest = Math.max(0, last - keys.batchSlots)
  return last - oldest - batches.filter((batch) => batch > oldest).length
}

function lastOf(batches: readonly number[], leastBatch: number): number {
  const lost = missingBatches(batches, leastBatch)
  if (lost > 0) throw new DamagedRecord(`${lost} of the latest batches are missing`)
  return batches.reduce((highest, batch) => Math.max(highest, batch), 0)
}

function isWhole(key: Buffer, record: Buffer): boolean {
  try {
    records.check(key, record)
    return true
  } catch (error) {
    if (error instanceof DamagedRecord) return false
    throw error
  }
}
