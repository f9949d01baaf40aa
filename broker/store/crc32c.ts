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

export function maskedCrc(data: Uint8Array): number {
  let crc = crcStart
  for (let index = 0; index < data.length; index += 1) crc = crcStep(crc, data[index]!)
  return maskedEnd(crc)
}
