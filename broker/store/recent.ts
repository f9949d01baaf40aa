// The latest messages of the log in memory: those not yet on disk, and as many as fit, for readers that lag a little.
import type { Message } from '../message.ts'
import { decodeLogMessage } from './records.ts'

/** Above it the oldest that are on disk leave. */
const bytesMax = 16 * 1_048_576

export class RecentMessages {
  readonly #messages = new Map<number, Message>()
  #bytes = 0

  get(sequence: number): Message | undefined {
    return this.#messages.get(sequence)
  }

  add(sequence: number, message: Message): void {
    this.#messages.set(sequence, message)
    this.#bytes += costOf(message)
  }

  delete(sequence: number): void {
    const message = this.#messages.get(sequence)
    if (message === undefined) return
    this.#messages.delete(sequence)
    this.#bytes -= costOf(message)
  }

  /** Makes room; what lies above `written` is nowhere else and stays. */
  evict(written: number): void {
    if (this.#bytes <= bytesMax) return
    for (const sequence of this.#messages.keys()) {
      if (sequence > written) return
      this.delete(sequence)
      if (this.#bytes <= bytesMax) return
    }
  }
}

function costOf(message: Message): number {
  return message.payload.length + message.topic.length + 256
}

/** A message whose bytes are those of its record: the payload that came may be a part of a socket's buffer. */
export function detached(message: Message, record: Buffer): Message {
  if (message.properties?.correlationData !== undefined) return decodeLogMessage(record)
  return { ...message, payload: record.subarray(record.length - message.payload.length) }
}
