// The answers of one connection leave in the order of the questions (MQTT-4.6.0-2 … -4), also when a later one is
// ready first: acknowledgements wait for the disk, and what comes after them waits with them.
import { Fifo } from '../delivery/fifo.ts'

export interface Reply {
  /** Undefined until it is known. */
  bytes: Buffer | undefined
  /** Called when it left. */
  readonly sent: (() => void) | undefined
}

export interface Answerer {
  answer(bytes: Buffer): void
}

export class Replies {
  /** Undefined while nobody has waited yet. */
  #waiting: Fifo<Reply> | undefined = undefined
  readonly #answerer: Answerer

  constructor(answerer: Answerer) {
    this.#answerer = answerer
  }

  get length(): number {
    return this.#waiting?.length ?? 0
  }

  /** Answers now, or after all that wait. */
  send(bytes: Buffer, sent?: () => void): void {
    if (this.#waiting !== undefined && this.#waiting.length > 0) {
      this.#waiting.push({ bytes, sent })
      return
    }
    this.#answerer.answer(bytes)
    sent?.()
  }

  /** Takes a place for an answer that is not known yet. */
  hold(sent?: () => void): Reply {
    const reply: Reply = { bytes: undefined, sent }
    this.#waiting ??= new Fifo()
    this.#waiting.push(reply)
    return reply
  }

  settle(reply: Reply, bytes: Buffer): void {
    reply.bytes = bytes
    const waiting = this.#waiting
    let next = waiting?.peek()
    while (next?.bytes !== undefined) {
      waiting?.shift()
      this.#answerer.answer(next.bytes)
      next.sent?.()
      next = waiting?.peek()
    }
  }

  clear(): void {
    this.#waiting?.clear()
  }
}
