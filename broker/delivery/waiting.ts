// Deliveries that wait in an outbox: how much memory they hold, and where in the log they begin.
import type { Delivery } from './delivery.ts'
import { Fifo } from './fifo.ts'

/** Beside its payload, a queued message costs about this much. It bounds the number of small ones. */
const queuedOverheadBytes = 200

export class Waiting extends Fifo<Delivery> {
  bytes = 0

  override push(delivery: Delivery): void {
    super.push(delivery)
    this.bytes += sizeOf(delivery)
  }

  override shift(): Delivery | undefined {
    const delivery = super.shift()
    // The last one has cleared it.
    if (delivery !== undefined && this.length > 0) this.bytes -= sizeOf(delivery)
    return delivery
  }

  override clear(): void {
    super.clear()
    this.bytes = 0
  }

  /** Each as `look` answers, in the same order; undefined: it waits no longer. */
  lookAgain(look: (delivery: Delivery) => Delivery | undefined): void {
    const before = [...this]
    this.clear()
    for (const delivery of before) {
      const now = look(delivery)
      if (now !== undefined) this.push(now)
    }
  }

  /** Of the log, among those that wait; they are in its order. Infinity: none of them is in the log. */
  get firstSequence(): number {
    for (const { outgoing } of this) if (outgoing.sequence > 0) return outgoing.sequence
    return Number.POSITIVE_INFINITY
  }
}

function sizeOf(delivery: Delivery): number {
  return delivery.outgoing.message.payload.length + queuedOverheadBytes
}
