// An entry as it lies in LevelDB's files, and reading the batches of its log (db/write_batch.cc there) also where damaged.
import { ByteReader, DamagedRecord } from './bytes.ts'
import * as records from './records.ts'

export interface RawEntry {
  readonly key: Buffer
  /** Undefined: the key was deleted. */
  readonly value: Buffer | undefined
  /** LevelDB's own sequence number: of two entries with one key the higher one counts. */
  readonly order: number
}

/** Sequence number and count. */
const batchHeadBytes = 12
const putTag = 1

/** The first letters of all keys that the store writes. */
const letters = new Set(Buffer.from('!bfmrsw'))

/** Throws DamagedRecord. */
export function readBatch(content: Buffer): RawEntry[] {
  if (content.length < batchHeadBytes) throw new DamagedRecord('a batch ends too early')
  let order = Number(content.readBigUInt64LE(0))
  const reader = new ByteReader(content, batchHeadBytes)
  const entries: RawEntry[] = []
  for (let left = content.readUInt32LE(8); left > 0; left -= 1) {
    const tag = reader.u8()
    const key = reader.raw(reader.varint())
    entries.push({ key, value: tag === putTag ? reader.raw(reader.varint()) : undefined, order })
    order += 1
  }
  if (reader.left > 0) throw new DamagedRecord('a batch is longer than it says')
  return entries
}

/** Every record in damaged bytes whose own checksum says that it is whole. What was deleted there is not known. */
export function findEntries(content: Buffer, orderBefore: number): RawEntry[] {
  const entries: RawEntry[] = []
  let order = orderBefore
  for (let at = 0; at < content.length; ) {
    const found = content[at] === putTag ? entryAt(content, at + 1) : undefined
    if (found === undefined) {
      at += 1
      continue
    }
    order += 1
    entries.push({ key: found.key, value: found.value, order })
    at = found.end
  }
  return entries
}

function entryAt(content: Buffer, start: number): { key: Buffer; value: Buffer; end: number } | undefined {
  try {
    const reader = new ByteReader(content, start)
    const key = reader.raw(reader.varint())
    const value = reader.raw(reader.varint())
    return isWhole(key, value) ? { key, value, end: content.length - reader.left } : undefined
  } catch (error) {
    if (error instanceof DamagedRecord) return undefined
    throw error
  }
}

/** It is a record of the store, and it is what was written under this key. */
export function isWhole(key: Buffer, value: Buffer): boolean {
  if (!hasLetter(key)) return false
  try {
    records.check(key, value)
    return true
  } catch (error) {
    if (error instanceof DamagedRecord) return false
    throw error
  }
}

/** It begins as the keys of the store do. */
export function hasLetter(key: Buffer): boolean {
  return key.length > 0 && letters.has(key[0]!)
}
