// Reading and writing the bytes of a record; a record that ends too early is damaged.

/** A record that is not what was written. */
export class DamagedRecord extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'DamagedRecord'
  }
}

/** Collects the parts of one record in a buffer that is used again for the next one. */
export class ByteWriter {
  #buffer = Buffer.allocUnsafe(4096)
  #length = 0

  get length(): number {
    return this.#length
  }

  reset(): this {
    this.#length = 0
    return this
  }

  u8(value: number): this {
    this.#reserve(1)
    this.#length = this.#buffer.writeUInt8(value, this.#length)
    return this
  }

  u16(value: number): this {
    this.#reserve(2)
    this.#length = this.#buffer.writeUInt16BE(value, this.#length)
    return this
  }

  u32(value: number): this {
    this.#reserve(4)
    this.#length = this.#buffer.writeUInt32BE(value, this.#length)
    return this
  }

  /** Any number: times and sequence numbers are past 32 bits. */
  f64(value: number): this {
    this.#reserve(8)
    this.#length = this.#buffer.writeDoubleBE(value, this.#length)
    return this
  }

  /** Text of up to 65,535 bytes after its length, as MQTT has it (1.5.4). */
  text(value: string): this {
    this.#reserve(2 + value.length * 3)
    const bytes = this.#buffer.write(value, this.#length + 2)
    if (bytes > 0xffff) throw new RangeError(`text of ${bytes} bytes; 65,535 fit into a record`)
    this.#buffer.writeUInt16BE(bytes, this.#length)
    this.#length += 2 + bytes
    return this
  }

  /** Bytes without a length: the last part of a record, or one whose length was written before. */
  raw(value: Uint8Array): this {
    this.#reserve(value.length)
    this.#buffer.set(value, this.#length)
    this.#length += value.length
    return this
  }

  /** A copy of what was collected, behind `room` bytes left for a head. */
  finish(room: number): Buffer {
    const record = Buffer.allocUnsafe(room + this.#length)
    this.#buffer.copy(record, room, 0, this.#length)
    return record
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes
    if (needed <= this.#buffer.length) return
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2))
    this.#buffer.copy(grown, 0, 0, this.#length)
    this.#buffer = grown
  }
}

/** Walks through one record. Throws DamagedRecord where it ends too early. */
export class ByteReader {
  readonly #buffer: Buffer
  readonly #end: number
  #at: number

  constructor(buffer: Buffer, start: number, end: number = buffer.length) {
    this.#buffer = buffer
    this.#at = start
    this.#end = end
  }

  u8(): number {
    return this.#buffer[this.#take(1)]!
  }

  u16(): number {
    return this.#buffer.readUInt16BE(this.#take(2))
  }

  u32(): number {
    return this.#buffer.readUInt32BE(this.#take(4))
  }

  f64(): number {
    return this.#buffer.readDoubleBE(this.#take(8))
  }

  /** A number in groups of 7 bits, the lowest first, as LevelDB writes it. */
  varint(): number {
    let value = 0
    for (let factor = 1; ; factor *= 128) {
      if (factor > 2 ** 49) throw new DamagedRecord('a number is too long')
      const byte = this.u8()
      value += (byte & 127) * factor
      if (byte < 128) return value
    }
  }

  text(): string {
    const length = this.u16()
    const start = this.#take(length)
    return this.#buffer.toString('utf8', start, start + length)
  }

  skipText(): void {
    this.#take(this.u16())
  }

  /** A view, not a copy. */
  raw(length: number): Buffer {
    const start = this.#take(length)
    return this.#buffer.subarray(start, start + length)
  }

  rest(): Buffer {
    return this.raw(this.#end - this.#at)
  }

  get left(): number {
    return this.#end - this.#at
  }

  #take(length: number): number {
    const start = this.#at
    if (start + length > this.#end) throw new DamagedRecord('the record ends too early')
    this.#at = start + length
    return start
  }
}
