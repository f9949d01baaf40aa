// Reads a table file of LevelDB (doc/table_format.md there) block by block with its checksums: LevelDB itself does not.
import { ByteReader, DamagedRecord } from './bytes.ts'
import { crcStart, crcStep, maskedCrc, maskedEnd, mendBit } from './crc32c.ts'
import { decompress } from './snappy.ts'

const footerBytes = 48
const magic = Buffer.from('57fb808b247547db', 'hex')
/** Behind each block: one byte for the kind of compression and a CRC. */
const trailerBytes = 5
const plainKind = 0
const snappyKind = 1

export interface Block {
  /** As in the file, perhaps compressed; a wrong bit that the checksum told is put right. */
  readonly bytes: Buffer
  readonly isCompressed: boolean
  readonly isSound: boolean
}

interface Handle {
  readonly offset: number
  readonly size: number
}

/** Throws DamagedRecord unless every block is as it was written. */
export function checkTable(file: Buffer): void {
  // The first index leads to the filters: with a wrong one a read by key finds nothing. The second leads to the data.
  for (const index of indexesOf(file)) for (const handle of handlesOf(file, index)) checkBlock(file, handle)
}

/**
 * The blocks with the data, sound or not. Where the way to them is lost, the file is walked from its beginning and
 * every block whose checksum matches is taken, those of the index included, and what is left as one damaged block.
 */
export function dataBlocks(file: Buffer): { blocks: Iterable<Block>; isWalked: boolean } {
  try {
    const [, index] = indexesOf(file)
    const handles = handlesOf(file, index)
    return { blocks: handles.map((handle) => blockAt(file, handle)), isWalked: false }
  } catch (error) {
    if (!(error instanceof DamagedRecord)) throw error
    return { blocks: walkBlocks(file), isWalked: true }
  }
}

export function contentOf(block: Block): Buffer {
  return block.isCompressed ? decompress(block.bytes) : block.bytes
}

/** Throws DamagedRecord. */
function indexesOf(file: Buffer): [filters: Handle, data: Handle] {
  const footer = file.subarray(-footerBytes)
  if (footer.length < footerBytes || !footer.subarray(-magic.length).equals(magic)) {
    throw new DamagedRecord('the table has no end')
  }
  const reader = new ByteReader(footer, 0, footerBytes - magic.length)
  const indexes: [Handle, Handle] = [readHandle(reader), readHandle(reader)]
  if (reader.rest().some((byte) => byte !== 0)) throw new DamagedRecord('the end of the table is damaged')
  return indexes
}

function checkBlock(file: Buffer, { offset, size }: Handle): void {
  const end = offset + size
  if (end + trailerBytes > file.length) throw new DamagedRecord('the table ends too early')
  if (file.readUInt32LE(end + 1) !== maskedCrc(file.subarray(offset, end + 1))) {
    throw new DamagedRecord(`the checksum of the block at ${offset} does not match`)
  }
}

function blockAt(file: Buffer, handle: Handle): Block {
  const end = handle.offset + handle.size
  const block = { bytes: file.subarray(handle.offset, end), isCompressed: file[end] !== plainKind }
  try {
    checkBlock(file, handle)
    return { ...block, isSound: true }
  } catch (error) {
    if (!(error instanceof DamagedRecord)) throw error
    const mended = end + trailerBytes > file.length ? undefined : mendedBlock(file, handle.offset, end)
    return mended ?? { ...block, isSound: false }
  }
}

function mendedBlock(file: Buffer, offset: number, end: number): Block | undefined {
  const mended = mendBit(file.subarray(offset, end + 1), file.readUInt32LE(end + 1))
  return mended && { bytes: mended.subarray(0, -1), isCompressed: mended.at(-1) !== plainKind, isSound: true }
}

/** The places of other blocks: the values of an index block. Throws DamagedRecord. */
function handlesOf(file: Buffer, index: Handle): Handle[] {
  checkBlock(file, index)
  const block = contentOf(blockAt(file, index))
  const restarts = block.readUInt32LE(block.length - 4)
  const reader = new ByteReader(block, 0, block.length - 4 * (restarts + 1))
  const handles: Handle[] = []
  while (reader.left > 0) {
    reader.varint()
    const keyBytes = reader.varint()
    const valueBytes = reader.varint()
    reader.raw(keyBytes)
    handles.push(readHandle(new ByteReader(reader.raw(valueBytes), 0)))
  }
  return handles
}

function readHandle(reader: ByteReader): Handle {
  return { offset: reader.varint(), size: reader.varint() }
}

/** Where a block ends shows by its checksum: it is tried behind every byte, which costs one walk over the file. */
function* walkBlocks(file: Buffer): IterableIterator<Block> {
  let start = 0
  let crc = crcStart
  for (let end = start; end + trailerBytes <= file.length; end += 1) {
    const kind = file[end]!
    if (kind <= snappyKind && maskedEnd(crcStep(crc, kind)) === file.readUInt32LE(end + 1)) {
      yield { bytes: file.subarray(start, end), isCompressed: kind === snappyKind, isSound: true }
      start = end + trailerBytes
      end = start - 1
      crc = crcStart
    } else {
      crc = crcStep(crc, kind)
    }
  }
  const bytes = file.subarray(start)
  if (bytes.length === 0) return
  yield { bytes, isCompressed: false, isSound: false }
  yield { bytes, isCompressed: true, isSound: false }
}
