// The latest records of the log in memory: those not yet on disk, and as many as fit, for readers that lag a little.
import type { Message } from '../message.ts'
import { decodeLogMessage } from './records.ts'

/** Above it the oldest that are on disk leave. What lives longer than a moment costs the garbage collector more. */
const bytesMax = 2 * 1_048_576
const overheadBytes = 256

/** Bytes, not messages: few are ever read here, and a message is several objects. */
export class RecentMessages {
  readonly #records = new Map<number, Buffer>()
  #bytes = 0

  get(sequence: number): Message | undefined {
    const record = this.#records.get(sequence)
    return record && decodeLogMessage(record)
  }

  add(sequence: number, record: Buffer): void {
    this.#records.set(sequence, record)
    this.#bytes += record.length + overheadBytes
  }

  delete(sequence: number): void {
    const record = this.#records.get(sequence)
    if (record === undefined) return
    this.#records.delete(sequence)
    this.#bytes -= record.length + overheadBytes
  }

  /** Makes room; what lies above `written` is nowhere else and stays. */
  evict(written: number): void {
    if (this.#bytes <= bytesMax) return
    for (const sequence of this.#records.keys()) {
      if (sequence > written) return
      this.delete(sequence)
      if (this.#bytes <= bytesMax) return
    }
  }
}
