// CRC-32C (Castagnoli) as LevelDB stores it beside its data; zlib does not have it.

const table = new Uint32Array(256).map((_, index) => {
  let value = index
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1
  return value
})

export const crcStart = 0xffffffff

/** One byte more. Begins with `crcStart`; `maskedEnd` makes a checksum of it. */
export function crcStep(crc: number, byte: number): number {
  return table[(crc ^ byte) & 0xff]! ^ (crc >>> 8)
}

/** LevelDB masks a CRC that is stored beside its data. */
export function maskedEnd(crc: number): number {
  const value = ~crc >>> 0
  return (((value >>> 15) | (value << 17)) + 0xa282ead8) >>> 0
}

function unmasked(value: number): number {
  const rotated = (value - 0xa282ead8) >>> 0
  return ((rotated >>> 17) | (rotated << 15)) >>> 0
}

/**
 * The data as they were, if but one bit of them or of their masked checksum is wrong; undefined: more is. What a wrong bit
 * does to the sum depends on its place alone, and of all places of a block only one fits.
 */
export function mendBit(data: Uint8Array, masked: number): Buffer | undefined {
  const mended = Buffer.from(data)
  let crc = crcStart
  for (let index = 0; index < data.length; index += 1) crc = crcStep(crc, data[index]!)
  const difference = (~crc ^ unmasked(masked)) >>> 0
  if (isOneBit(difference)) return mended
  const effects = Array.from({ length: 8 }, (_, bit) => crcStep(0, 1 << bit))
  for (let index = data.length - 1; index >= 0; index -= 1) {
    for (let bit = 0; bit < 8; bit += 1) {
      if (effects[bit]! >>> 0 === difference) {
        mended[index]! ^= 1 << bit
        return mended
      }
      effects[bit] = crcStep(effects[bit]!, 0)
    }
  }
  return undefined
}

function isOneBit(value: number): boolean {
  return value !== 0 && (value & (value - 1)) === 0
}

export function maskedCrc(data: Uint8Array): number {
  let crc = crcStart
  for (let index = 0; index < data.length; index += 1) crc = crcStep(crc, data[index]!)
  return maskedEnd(crc)
}
