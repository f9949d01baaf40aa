// Reads the data types of MQTT (1.5) from the body of a packet; anything cut short is a malformed packet.
import { ProtocolViolation } from './packets.ts'
import { reason } from './reason-codes.ts'
import { readText, type TextCache } from './text.ts'

export function malformed(message: string): ProtocolViolation {
  return new ProtocolViolation(reason.malformedPacket, message)
}

export function protocolError(message: string): ProtocolViolation {
  return new ProtocolViolation(reason.protocolError, message)
}

export class BodyReader {
  readonly body: Buffer
  position = 0
  /** Reading stops here; narrowed while properties are read. */
  end: number

  constructor(body: Buffer) {
    this.body = body
    this.end = body.length
  }

  get atEnd(): boolean {
    return this.position >= this.end
  }

  byte(): number {
    this.#need(1)
    return this.body[this.position++]!
  }

  uint16(): number {
    this.#need(2)
    const value = (this.body[this.position]! << 8) | this.body[this.position + 1]!
    this.position += 2
    return value
  }

  uint32(): number {
    this.#need(4)
    const value = this.body.readUInt32BE(this.position)
    this.position += 4
    return value
  }

  /** A Variable Byte Integer in its shortest form [MQTT-1.5.5-1]. */
  variableInteger(): number {
    let value = 0
    for (let index = 0; index < 4; index++) {
      const byte = this.byte()
      value += (byte & 0x7f) << (7 * index)
      if (byte >= 0x80) continue
      if (byte === 0 && index > 0) throw malformed('a variable byte integer is not in its shortest form')
      return value
    }
    throw malformed('a variable byte integer has more than four bytes')
  }

  text(): string {
    const start = this.#skip(this.uint16())
    return readText(this.body, start, this.position)
  }

  /** The same for a string that has often come before. */
  cachedText(cache: TextCache): string {
    const start = this.#skip(this.uint16())
    const known = cache.get(this.body, start, this.position)
    if (known !== undefined) return known
    const text = readText(this.body, start, this.position)
    cache.set(this.body, start, this.position, text)
    return text
  }

  /** A copy: what is read here outlives the packet (a password, a will, authentication data). */
  binary(): Buffer {
    const start = this.#skip(this.uint16())
    return Buffer.from(this.body.subarray(start, this.position))
  }

  /** Nothing may follow the last field. */
  finish(): void {
    if (this.position !== this.end) throw malformed('bytes follow the last field of the packet')
  }

  /** Returns where the bytes begin that are skipped. */
  #skip(bytes: number): number {
    this.#need(bytes)
    const start = this.position
    this.position += bytes
    return start
  }

  #need(bytes: number): void {
    if (this.position + bytes > this.end) throw malformed('the packet ends in the middle of a field')
  }
}
