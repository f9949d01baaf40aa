// Writes the data types of MQTT (1.5) one after the other into a buffer that grows.

/** Bytes of a Variable Byte Integer (1.5.5). */
export function variableIntegerBytes(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : 4
}

/** Writes a Variable Byte Integer and returns the position behind it. */
export function writeVariableInteger(into: Buffer, value: number, start: number): number {
  if (value > 268_435_455) throw new RangeError(`${value} does not fit a variable byte integer`)
  let position = start
  let rest = value
  while (rest >= 0x80) {
    into[position++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  into[position++] = rest
  return position
}

/** Up to here a loop is faster than two calls of Node; below 256, so that the length is one byte. */
const shortText = 64

export class ByteWriter {
  #bytes: Buffer
  #length = 0

  constructor(firstBytes = 64) {
    this.#bytes = Buffer.allocUnsafe(firstBytes)
  }

  get length(): number {
    return this.#length
  }

  /** To be used for another packet; views of what was written are worth nothing from here on. */
  reset(): this {
    this.#length = 0
    return this
  }

  /** Returns the position behind what was written. */
  copyTo(target: Buffer, start: number): number {
    this.#bytes.copy(target, start, 0, this.#length)
    return start + this.#length
  }

  /** What was written, as a view: nothing may be written after it. */
  finish(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  byte(value: number): void {
    this.#room(1)
    this.#bytes[this.#length++] = value
  }

  uint16(value: number): void {
    this.#room(2)
    this.#length = this.#bytes.writeUInt16BE(value, this.#length)
  }

  uint32(value: number): void {
    this.#room(4)
    this.#length = this.#bytes.writeUInt32BE(value, this.#length)
  }

  variableInteger(value: number): void {
    this.#room(4)
    this.#length = writeVariableInteger(this.#bytes, value, this.#length)
  }

  /** At most 65,535 bytes: a longer string is a mistake of the caller and throws RangeError. */
  text(value: string): void {
    if (value.length <= shortText && this.#shortAscii(value)) return
    const bytes = Buffer.byteLength(value)
    this.uint16(bytes)
    this.#room(bytes)
    this.#bytes.write(value, this.#length)
    this.#length += bytes
  }

  /** False: it is not ASCII, and nothing was written. */
  #shortAscii(value: string): boolean {
    this.#room(2 + value.length)
    const start = this.#length + 2
    for (let index = 0; index < value.length; index++) {
      const code = value.charCodeAt(index)
      if (code > 0x7f) return false
      this.#bytes[start + index] = code
    }
    this.#bytes[start - 2] = 0
    this.#bytes[start - 1] = value.length
    this.#length = start + value.length
    return true
  }

  binary(value: Buffer): void {
    this.uint16(value.length)
    this.raw(value)
  }

  raw(value: Uint8Array): void {
    this.#room(value.length)
    this.#bytes.set(value, this.#length)
    this.#length += value.length
  }

  #room(bytes: number): void {
    const needed = this.#length + bytes
    if (needed <= this.#bytes.length) return
    const grown = Buffer.allocUnsafe(Math.max(needed, 2 * this.#bytes.length))
    this.#bytes.copy(grown, 0, 0, this.#length)
    this.#bytes = grown
  }
}
