// The way out of one connection: bytes collect during a tick and leave in one write.
import type { Duplex } from 'node:stream'

/** Outputs that hold bytes in this tick; they are written when all sockets have been read. */
let dirty: Output[] = []
let scheduled = false

/** Up to this many bytes are copied together; above it the chunks go to the kernel as they are. */
const joinBytes = 65_536

export class Output {
  readonly #stream: Duplex
  readonly #lowBytes: number
  readonly #onRoom: () => void
  /** Somebody was told that there is no room. */
  #awaited = false
  #chunks: Buffer[] = []
  #bytes = 0
  #listed = false

  /** `onRoom` is called when there is room again, after `hasRoom` said that there is none. */
  constructor(stream: Duplex, lowBytes: number, onRoom: () => void) {
    this.#stream = stream
    this.#lowBytes = lowBytes
    this.#onRoom = onRoom
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
    this.#chunks.push(bytes)
    this.#bytes += bytes.length
    if (this.#listed) return
    this.#listed = true
    dirty.push(this)
    if (scheduled) return
    scheduled = true
    setImmediate(flushAll)
  }

  /** Writes at once what has collected. */
  flush(): void {
    this.#listed = false
    const chunks = this.#chunks
    if (chunks.length === 0) return
    const bytes = this.#bytes
    this.#chunks = []
    this.#bytes = 0
    const stream = this.#stream
    if (stream.destroyed || stream.writableEnded) return
    if (chunks.length === 1) {
      stream.write(chunks[0], this.#left)
    } else if (bytes <= joinBytes) {
      stream.write(Buffer.concat(chunks, bytes), this.#left)
    } else {
      stream.cork()
      for (const chunk of chunks) stream.write(chunk, this.#left)
      stream.uncork()
    }
  }

  /** The stream's own `drain` would not do: it comes only after writes above the stream's mark, which is not ours. */
  readonly #left = (): void => {
    if (!this.#awaited || this.pendingBytes >= this.#lowBytes) return
    this.#awaited = false
    this.#onRoom()
  }
}

function flushAll(): void {
  scheduled = false
  const outputs = dirty
  dirty = []
  for (const output of outputs) output.flush()
}
