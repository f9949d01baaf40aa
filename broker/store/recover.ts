// Reads everything back at the start: retained messages, streams, sessions, wills; refuses when something is damaged.
import { errorText, OrioleError } from '../errors.ts'
import type { PluginLog } from '../plugin.ts'
import { DamagedRecord } from './bytes.ts'
import { type Database, damaged } from './database.ts'
import * as keys from './keys.ts'
import { Packed } from './packed.ts'
import * as records from './records.ts'
import { readSessions } from './recover-sessions.ts'
import type { RetainedIndex } from './retained.ts'
import type { Recovered, WillRecord } from './store.ts'
import { entryOverheadBytes, type Streams } from './streams.ts'

export interface RecoveredStore extends Recovered {
  readonly watermark: number
  readonly lastBatch: number
  /** Messages that no stream holds: their deletion did not come to an end. */
  readonly unneeded: readonly number[]
}

/** Throws OrioleError with code ORI_STORE_DAMAGED. */
export async function recover(
  path: string,
  isNew: boolean,
  database: Database,
  streams: Streams,
  retained: RetainedIndex,
  log: PluginLog,
): Promise<RecoveredStore> {
  if (isNew) return { watermark: 0, lastBatch: 0, unneeded: [], sessions: [], wills: new Map() }
  try {
    const watermark = await readWatermark(database)
    const lastBatch = await readBatches(database)
    const floors = await readStreams(database, streams)
    const unneeded = await readMessages(database, streams, floors, watermark, log)
    await readRetained(database, retained)
    const wills = await readWills(database)
    return { watermark, lastBatch, unneeded, wills, sessions: await readSessions(database) }
  } catch (error) {
    if (error instanceof OrioleError) throw error
    throw damaged(path, errorText(error), error)
  }
}

async function readWatermark(database: Database): Promise<number> {
  const [record] = await database.getMany([keys.watermarkKey])
  if (record === undefined) throw new DamagedRecord('the watermark is missing')
  records.checkNamed(keys.watermarkKey, record, 'the watermark')
  return records.decodeNumbers(record)[0]!
}

/** Batches are numbered without a gap, so a lost one shows. */
async function readBatches(database: Database): Promise<number> {
  const batches: number[] = []
  for await (const step of database.steps(keys.rangeOf('b'))) {
    for (const [key, record] of step) {
      records.checkNamed(key, record, 'the record of a batch')
      batches.push(records.decodeNumbers(record)[0]!)
    }
  }
  const last = batches.reduce((highest, batch) => Math.max(highest, batch), 0)
  const oldest = Math.max(0, last - keys.batchSlots)
  const lost = last - oldest - batches.filter((batch) => batch > oldest).length
  if (lost > 0) throw new DamagedRecord(`${lost} of the last ${last - oldest} batches are missing`)
  return last
}

/** The floor of each stream that has one: at or below it the stream holds nothing. */
async function readStreams(database: Database, streams: Streams): Promise<Map<string, number>> {
  const floors = new Map<string, number>()
  for await (const step of database.steps(keys.rangeOf('t'))) {
    for (const [key, record] of step) {
      records.checkNamed(key, record, 'the record of a stream')
      const [floor, ...runs] = records.decodeNumbers(record)
      const stream = key.toString('utf8', 1)
      floors.set(stream, floor!)
      streams.restoreDropped(stream, runs)
    }
  }
  return floors
}

/** Returns the messages that no stream holds. A damaged message is left out: the others are as good as before. */
async function readMessages(
  database: Database,
  streams: Streams,
  floors: ReadonlyMap<string, number>,
  watermark: number,
  log: PluginLog,
): Promise<number[]> {
  const unneeded: number[] = []
  const damagedSequences: number[] = []
  for await (const step of database.steps(keys.rangeOf('m'))) {
    for (const [key, record] of step) {
      const sequence = keys.sequenceOf(key)
      if (sequence > watermark) throw new DamagedRecord(`message ${sequence} is above the watermark ${watermark}`)
      if (!isWhole(key, record)) {
        damagedSequences.push(sequence)
        continue
      }
      const { names, publishedAt } = records.decodeLogHead(record)
      const holding = names.filter((name) => sequence > (floors.get(name) ?? 0))
      if (holding.length === 0) unneeded.push(sequence)
      else streams.append(sequence, holding, record.length + entryOverheadBytes, publishedAt)
    }
  }
  if (damagedSequences.length > 0) {
    const fields = { damagedRecords: damagedSequences.length, firstSequence: damagedSequences[0] }
    log.error(fields, 'stored messages are damaged and were left out; keep a copy of the folder and run oriole doctor')
  }
  return unneeded
}

async function readRetained(database: Database, retained: RetainedIndex): Promise<void> {
  const packed = new Packed()
  for await (const step of database.steps(keys.rangeOf('r'))) {
    for (const [key, record] of step) {
      records.checkNamed(key, record, 'a retained message')
      const { buffer, start } = packed.add(record)
      retained.set(key.toString('utf8', 1), buffer, start, start + record.length)
    }
  }
}

async function readWills(database: Database): Promise<Map<string, WillRecord>> {
  const wills = new Map<string, WillRecord>()
  for await (const step of database.steps(keys.rangeOf('w'))) {
    for (const [key, record] of step) {
      records.checkNamed(key, record, 'a will')
      wills.set(key.toString('utf8', 1), records.decodeWill(record))
    }
  }
  return wills
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
