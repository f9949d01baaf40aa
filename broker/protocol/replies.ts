// The answers of one connection leave in the order of the questions (MQTT-4.6.0-2 … -4), also when a later one is
// ready first: acknowledgements wait for the disk, and what comes after them waits with them.
import { Fifo } from '../delivery/fifo.ts'

export interface Reply {
  /** Undefined until it is known. */
  bytes: Buffer | undefined
  /** Called when it left. */
  readonly sent: (() => void) | undefined
}

export class Replies {
  readonly #waiting = new Fifo<Reply>()
  readonly #write: (bytes: Buffer) => void

  constructor(write: (bytes: Buffer) => void) {
    this.#write = write
  }

  get length(): number {
    return this.#waiting.length
  }

  /** Answers now, or after all that wait. */
  send(bytes: Buffer, sent?: () => void): void {
    if (this.#waiting.length > 0) {
      this.#waiting.push({ bytes, sent })
      return
    }
    this.#write(bytes)
    sent?.()
  }

  /** Takes a place for an answer that is not known yet. */
  hold(sent?: () => void): Reply {
    const reply: Reply = { bytes: undefined, sent }
    this.#waiting.push(reply)
    return reply
  }

  settle(reply: Reply, bytes: Buffer): void {
    reply.bytes = bytes
    let next = this.#waiting.peek()
    while (next?.bytes !== undefined) {
      this.#waiting.shift()
      this.#write(next.bytes)
      next.sent?.()
      next = this.#waiting.peek()
    }
  }

  clear(): void {
    this.#waiting.clear()
  }
}
