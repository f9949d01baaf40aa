// Checks a table file of LevelDB (doc/table_format.md there) block by block: LevelDB itself does not when it reads.
import { DamagedRecord } from './bytes.ts'
import { decompress } from './snappy.ts'

const footerBytes = 48
const magic = Buffer.from('57fb808b247547db', 'hex')
/** Behind each block: one byte for the kind of compression and a CRC. */
const trailerBytes = 5
const snappyKind = 1

interface Handle {
  readonly offset: number
  readonly size: number
}

/** Throws DamagedRecord unless every block is as it was written. */
export function checkTable(file: Buffer): void {
  const footer = file.subarray(-footerBytes)
  if (footer.length < footerBytes || !footer.subarray(-magic.length).equals(magic)) {
    throw new DamagedRecord('the table has no end')
  }
  const reader = new HandleReader(footer, 0)
  // The first index leads to the filters: with a wrong one a read by key finds nothing. The second leads to the data.
  for (const index of [reader.handle(), reader.handle()]) {
    for (const handle of handlesOf(checkedBlock(file, index))) checkBlock(file, handle)
  }
}

function checkBlock(file: Buffer, { offset, size }: Handle): void {
  const end = offset + size
  if (end + trailerBytes > file.length) throw new DamagedRecord('the table ends too early')
  const stored = file.readUInt32LE(end + 1)
  // LevelDB masks a CRC that is stored beside its data.
  const crc = crc32c(file.subarray(offset, end + 1))
  const masked = (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
  if (stored !== masked) throw new DamagedRecord(`the checksum of the block at ${offset} does not match`)
}

function checkedBlock(file: Buffer, handle: Handle): Buffer {
  checkBlock(file, handle)
  const content = file.subarray(handle.offset, handle.offset + handle.size)
  return file[handle.offset + handle.size] === snappyKind ? decompress(content) : content
}

/** The places of other blocks: the values of an index block. */
function* handlesOf(block: Buffer): IterableIterator<Handle> {
  const restarts = block.readUInt32LE(block.length - 4)
  const end = block.length - 4 * (restarts + 1)
  const reader = new HandleReader(block, 0)
  while (reader.at < end) {
    reader.number()
    const keyBytes = reader.number()
    const valueBytes = reader.number()
    const valueAt = reader.at + keyBytes
    yield new HandleReader(block, valueAt).handle()
    reader.at = valueAt + valueBytes
  }
}

class HandleReader {
  readonly #buffer: Buffer
  at: number

  constructor(buffer: Buffer, at: number) {
    this.#buffer = buffer
    this.at = at
  }

  handle(): Handle {
    return { offset: this.number(), size: this.number() }
  }

  /** A number in groups of 7 bits, the lowest first. */
  number(): number {
    let value = 0
    for (let factor = 1; ; factor *= 128) {
      const byte = this.#buffer[this.at]
      if (byte === undefined || factor > 2 ** 49) throw new DamagedRecord('the table ends too early')
      this.at += 1
      value += (byte & 127) * factor
      if (byte < 128) return value
    }
  }
}

const table = new Uint32Array(256).map((_, index) => {
  let value = index
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1
  return value
})

/** CRC-32C (Castagnoli), which zlib does not have. */
function crc32c(data: Uint8Array): number {
  let crc = 0xffffffff
  for (let index = 0; index < data.length; index += 1) crc = table[(crc ^ data[index]!) & 0xff]! ^ (crc >>> 8)
  return ~crc >>> 0
}
