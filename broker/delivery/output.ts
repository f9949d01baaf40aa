// The way out of one connection: bytes collect during a tick and leave in one write.
import type { Duplex } from 'node:stream'

/** Outputs that hold bytes in this tick; they are written when all sockets have been read. */
let dirty: Output[] = []
let scheduled = false

/** Up to this many bytes are copied together; above it the chunks go to the kernel as they are. */
const joinBytes = 65_536

/** Of every output that holds nothing: an idle connection pays for no array. Nobody writes into it. */
const nothing: Buffer[] = []

export interface OutputOwner {
  /** There is room again, after `hasRoom` said that there is none. */
  roomCameBack(): void
}

export class Output {
  readonly #stream: Duplex
  readonly #lowBytes: number
  readonly #owner: OutputOwner
  /** Somebody was told that there is no room. */
  #awaited = false
  #chunks = nothing
  #bytes = 0
  /** For each chunk that leaves with a packet identifier of its own: its index, where the identifier stands, what it is. */
  #numbers: number[] | undefined

  constructor(stream: Duplex, lowBytes: number, owner: OutputOwner) {
    this.#stream = stream
    this.#lowBytes = lowBytes
    this.#owner = owner
  }

  /** Below the low mark. */
  get hasRoom(): boolean {
    if (this.pendingBytes < this.#lowBytes) return true
    this.#awaited = true
    return false
  }

  /** Bytes that have not left the process. */
  get pendingBytes(): number {
    return this.#bytes + this.#stream.writableLength
  }

  /** The bytes are shared with other receivers: nobody changes them. */
  write(bytes: Buffer): void {
    this.#bytes += bytes.length
    if (this.#chunks !== nothing) {
      this.#chunks.push(bytes)
      return
    }
    this.#chunks = [bytes]
    dirty.push(this)
    if (scheduled) return
    scheduled = true
    setImmediate(flushAll)
  }

  /**
   * The same, with this packet identifier: it is set in the copy that leaves, so that a delivery by QoS 1 costs no buffer
   * of its own. `packetIdAt` is where its two bytes stand.
   */
  writeNumbered(bytes: Buffer, packetIdAt: number, packetId: number): void {
    this.#numbers ??= []
    this.#numbers.push(this.#chunks.length, packetIdAt, packetId)
    this.write(bytes)
  }

  /** Writes at once what has collected. */
  flush(): void {
    const chunks = this.#chunks
    if (chunks === nothing) return
    const bytes = this.#bytes
    const numbers = this.#numbers
    this.#chunks = nothing
    this.#bytes = 0
    this.#numbers = undefined
    const stream = this.#stream
    if (stream.destroyed || stream.writableEnded) return
    const left = this.#whenLeft(bytes)
    if (bytes <= joinBytes && (chunks.length > 1 || numbers !== undefined)) {
      stream.write(joined(chunks, bytes, numbers), left)
    } else if (chunks.length === 1) {
      stream.write(numberedAlone(chunks, numbers)[0], left)
    } else {
      numberedAlone(chunks, numbers)
      stream.cork()
      const last = chunks.length - 1
      for (let index = 0; index < last; index += 1) stream.write(chunks[index])
      stream.write(chunks[last], left)
      stream.uncork()
    }
  }

  /**
   * Asked for only where somebody waits or may come to wait while the bytes leave. The stream's own `drain` would not
   * do: it comes only after writes above the stream's mark, which is not ours.
   */
  #whenLeft(bytes: number): (() => void) | undefined {
    if (!this.#awaited && bytes + this.#stream.writableLength < this.#lowBytes) return undefined
    return () => {
      if (!this.#awaited || this.pendingBytes >= this.#lowBytes) return
      this.#awaited = false
      this.#owner.roomCameBack()
    }
  }
}

function joined(chunks: readonly Buffer[], bytes: number, numbers: readonly number[] | undefined): Buffer {
  const whole = Buffer.allocUnsafe(bytes)
  let at = 0
  let next = 0
  for (let index = 0; index < chunks.length; index += 1) {
    const chunk = chunks[index]!
    whole.set(chunk, at)
    if (numbers !== undefined && numbers[next] === index) {
      whole.writeUInt16BE(numbers[next + 2]!, at + numbers[next + 1]!)
      next += 3
    }
    at += chunk.length
  }
  return whole
}

/** Chunks with a packet identifier of their own become copies. */
function numberedAlone(chunks: Buffer[], numbers: readonly number[] | undefined): Buffer[] {
  if (numbers === undefined) return chunks
  for (let next = 0; next < numbers.length; next += 3) {
    const copy = Buffer.from(chunks[numbers[next]!]!)
    copy.writeUInt16BE(numbers[next + 2]!, numbers[next + 1]!)
    chunks[numbers[next]!] = copy
  }
  return chunks
}

function flushAll(): void {
  scheduled = false
  const outputs = dirty
  dirty = []
  for (const output of outputs) output.flush()
}
