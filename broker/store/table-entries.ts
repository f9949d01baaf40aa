// The entries of a table file of LevelDB, also of one that is damaged: whatever its own checksum says is whole.
import { ByteReader, DamagedRecord } from './bytes.ts'
import { hasLetter, isWhole, type RawEntry } from './raw-entry.ts'
import { decompressDamaged } from './snappy.ts'
import { type Block, contentOf, dataBlocks } from './table-file.ts'

/** Behind the key: LevelDB's sequence number in 7 bytes and what was done. */
const orderBytes = 8
const putKind = 1

/** `orderMax`: a damaged entry that claims a higher one is taken for the oldest. */
export function* tableEntries(file: Buffer, orderMax: number): IterableIterator<RawEntry> {
  const { blocks, isWalked } = dataBlocks(file)
  for (const block of blocks) {
    const entries = block.isSound ? soundEntries(block, isWalked) : damagedEntries(block)
    for (const entry of entries) yield entry.order <= orderMax ? entry : { ...entry, order: 0 }
  }
}

/** The highest order in this table's sound blocks. */
export function highestOrder(file: Buffer): number {
  let highest = 0
  const { blocks, isWalked } = dataBlocks(file)
  for (const block of blocks) {
    if (!block.isSound) continue
    for (const { order } of soundEntries(block, isWalked)) highest = Math.max(highest, order)
  }
  return highest
}

/** When the file is walked, blocks of the index come along; in them nothing is whole, and nothing of them is taken. */
function soundEntries(block: Block, isWalked: boolean): RawEntry[] {
  try {
    const entries = [...entriesOf(contentOf(block))]
    const isData = entries.every(({ key, value }) => value === undefined || isWhole(key, value))
    return isWalked && !isData
      ? entries.filter(({ key, value }) => value !== undefined && isWhole(key, value))
      : entries
  } catch (error) {
    if (error instanceof DamagedRecord || error instanceof RangeError) return []
    throw error
  }
}

function* entriesOf(content: Buffer): IterableIterator<RawEntry> {
  const restarts = content.readUInt32LE(content.length - 4)
  const end = content.length - 4 * (restarts + 1)
  let key: Buffer = Buffer.alloc(0)
  for (let at = 0; at < end; ) {
    const entry = entryAt(content, at, end, key)
    key = entry.fullKey
    at = entry.end
    yield entry
  }
}

interface PlacedEntry extends RawEntry {
  readonly fullKey: Buffer
  readonly end: number
  /** Nothing stands where a value would. */
  readonly isBare: boolean
}

/** A key is written as what differs from the one before. Throws DamagedRecord. */
function entryAt(content: Buffer, at: number, end: number, before: Buffer): PlacedEntry {
  const reader = new ByteReader(content, at, end)
  const shared = reader.varint()
  const ownBytes = reader.varint()
  const valueBytes = reader.varint()
  if (shared > before.length || shared + ownBytes < orderBytes) throw new DamagedRecord('a key is damaged')
  const fullKey = Buffer.concat([before.subarray(0, shared), reader.raw(ownBytes)])
  const value = reader.raw(valueBytes)
  const key = fullKey.subarray(0, -orderBytes)
  const tail = fullKey.readBigUInt64LE(fullKey.length - orderBytes)
  const isPut = Number(tail & 0xffn) === putKind
  const place = { fullKey, end: end - reader.left, isBare: valueBytes === 0 }
  return { key, value: isPut ? value : undefined, order: Number(tail >> 8n), ...place }
}

/** Puts only: what a damaged block says of deletes is not to be trusted. */
function* damagedEntries(block: Block): IterableIterator<RawEntry> {
  const content = block.isCompressed ? decompressDamaged(block.bytes) : block.bytes
  let key: Buffer = Buffer.alloc(0)
  for (let at = 0; at < content.length; ) {
    const entry = tryEntry(content, at, key)
    if (entry !== undefined && isWholePut(entry)) yield entry
    // A damaged value leaves its neighbours readable; a damaged length shows by what follows.
    if (entry !== undefined && (isLikely(entry) || leadsOn(content, entry))) {
      key = entry.fullKey
      at = entry.end
      continue
    }
    at = nextBeginning(content, at + 1)
    key = Buffer.alloc(0)
  }
}

/** Now and then a key is written in full: there reading can begin again. */
function nextBeginning(content: Buffer, from: number): number {
  for (let at = content.indexOf(0, from); at !== -1; at = content.indexOf(0, at + 1)) {
    const entry = tryEntry(content, at, Buffer.alloc(0))
    if (entry !== undefined && (isWholePut(entry) || leadsOn(content, entry))) return at
  }
  return content.length
}

function leadsOn(content: Buffer, entry: PlacedEntry): boolean {
  const next = tryEntry(content, entry.end, entry.fullKey)
  return next !== undefined && isLikely(next)
}

function tryEntry(content: Buffer, at: number, before: Buffer): PlacedEntry | undefined {
  try {
    return entryAt(content, at, content.length, before)
  } catch (error) {
    if (error instanceof DamagedRecord) return undefined
    throw error
  }
}

/** Whole, or a delete of a key that the store may have written. */
function isLikely(entry: PlacedEntry): boolean {
  return isWholePut(entry) || (entry.value === undefined && entry.isBare && hasLetter(entry.key))
}

function isWholePut({ key, value }: RawEntry): boolean {
  return value !== undefined && isWhole(key, value)
}
