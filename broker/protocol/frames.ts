// Cuts a byte stream into MQTT packets: fixed header and body, before anything in them is understood.
import { ProtocolViolation } from './packets.ts'
import { reason } from './reason-codes.ts'

/** One whole control packet. */
export interface Frame {
  /** The first byte: packet type and flags. */
  readonly header: number
  /**
   * Everything after the Remaining Length. It is a view on the chunk of the socket when the packet came in one piece:
   * who keeps any part of it beyond the packet copies that part, or a few bytes hold a whole chunk of 64 KiB.
   */
  readonly body: Buffer
}

const nothing = Buffer.alloc(0)
const firstAssemblyBytes = 512

/**
 * Push what the socket read, then take frames with `next` until it answers undefined. Bytes are consumed only by
 * `next`, so a connection may leave frames untaken while it waits, and takes them later; it must then stop reading.
 *
 * Memory: a packet that comes in pieces is collected in one buffer that doubles as bytes arrive, never more than
 * twice what was received and never more than the packet. An announced length alone costs nothing. An idle reader
 * holds no buffer.
 */
export class FrameReader {
  /** Of a whole packet, fixed header included. It may change between packets (it grows when CONNECT is accepted). */
  maxBytes: number

  #chunk: Buffer = nothing
  #position = 0
  #untaken: Buffer[] | undefined = undefined
  // The packet that has begun: -1 and 0 while there is none.
  #header = -1
  #lengthBytes = 0
  #length = 0
  #lengthKnown = false
  #assembly: Buffer | undefined = undefined
  #filled = 0

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
  }

  /** True: nothing is held, not even the beginning of a packet. */
  get idle(): boolean {
    return this.#header < 0 && this.#position >= this.#chunk.length && (this.#untaken?.length ?? 0) === 0
  }

  /** The first byte of the next packet as soon as it is there: garbage can be refused before it is complete. */
  get nextHeader(): number | undefined {
    if (this.#header >= 0) return this.#header
    return this.#position < this.#chunk.length ? this.#chunk[this.#position] : this.#untaken?.[0]?.[0]
  }

  push(chunk: Buffer): void {
    if (chunk.length === 0) return
    if (this.#position < this.#chunk.length) {
      this.#untaken ??= []
      this.#untaken.push(chunk)
      return
    }
    this.#chunk = chunk
    this.#position = 0
  }

  /**
   * The next whole packet, or undefined when more bytes are needed.
   * Throws ProtocolViolation 0x81 for a wrong Remaining Length [MQTT-1.5.5-1] and 0x95 for a packet over `maxBytes`;
   * the stream is of no use after that.
   */
  next(): Frame | undefined {
    for (;;) {
      if (this.#position >= this.#chunk.length && !this.#takeChunk()) return undefined
      if (!this.#lengthKnown && !this.#readFixedHeader()) continue
      const frame = this.#readBody()
      if (frame !== undefined) return frame
    }
  }

  /** Forgets everything that is held. */
  clear(): void {
    this.#chunk = nothing
    this.#position = 0
    this.#untaken = undefined
    this.#endPacket()
  }

  #takeChunk(): boolean {
    const chunk = this.#untaken?.shift()
    this.#chunk = chunk ?? nothing
    this.#position = 0
    return chunk !== undefined
  }

  /** True once the Remaining Length is complete. */
  #readFixedHeader(): boolean {
    const chunk = this.#chunk
    let position = this.#position
    if (this.#header < 0) this.#header = chunk[position++]!
    while (position < chunk.length) {
      const byte = chunk[position++]!
      this.#length += (byte & 0x7f) << (7 * this.#lengthBytes++)
      if (byte < 0x80) {
        if (byte === 0 && this.#lengthBytes > 1) throw malformed('the remaining length is not in its shortest form')
        this.#lengthKnown = true
        break
      }
      if (this.#lengthBytes === 4) throw malformed('the remaining length has more than four bytes')
    }
    this.#position = position
    if (!this.#lengthKnown) return false
    if (1 + this.#lengthBytes + this.#length > this.maxBytes) {
      throw new ProtocolViolation(reason.packetTooLarge, `the packet is larger than ${this.maxBytes} bytes`)
    }
    return true
  }

  #readBody(): Frame | undefined {
    const chunk = this.#chunk
    const start = this.#position
    const available = chunk.length - start
    if (this.#assembly === undefined && available >= this.#length) {
      this.#position = start + this.#length
      return this.#complete(this.#length === 0 ? nothing : chunk.subarray(start, this.#position))
    }
    const taken = Math.min(available, this.#length - this.#filled)
    const assembly = this.#room(this.#filled + taken)
    chunk.copy(assembly, this.#filled, start, start + taken)
    this.#filled += taken
    this.#position = start + taken
    return this.#filled === this.#length ? this.#complete(assembly.subarray(0, this.#length)) : undefined
  }

  /** Doubling keeps the copying linear, also when a megabyte comes byte by byte. */
  #room(bytes: number): Buffer {
    const before = this.#assembly
    if (before !== undefined && before.length >= bytes) return before
    const wanted = Math.max(bytes, firstAssemblyBytes, 2 * (before?.length ?? 0))
    const after = Buffer.allocUnsafeSlow(Math.min(wanted, this.#length))
    before?.copy(after, 0, 0, this.#filled)
    this.#assembly = after
    return after
  }

  #complete(body: Buffer): Frame {
    const frame = { header: this.#header, body }
    this.#endPacket()
    if (this.#position >= this.#chunk.length) {
      this.#chunk = nothing
      this.#position = 0
    }
    return frame
  }

  #endPacket(): void {
    this.#header = -1
    this.#length = 0
    this.#lengthBytes = 0
    this.#lengthKnown = false
    this.#assembly = undefined
    this.#filled = 0
  }
}

function malformed(message: string): ProtocolViolation {
  return new ProtocolViolation(reason.malformedPacket, message)
}
