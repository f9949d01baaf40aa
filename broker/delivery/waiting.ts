// Deliveries that wait in an outbox: how much memory they hold, and where in the log they begin.
import type { Delivery } from './delivery.ts'

/** Beside its payload, a queued message costs about this much. It bounds the number of small ones. */
const queuedOverheadBytes = 200

export function sizeOf(delivery: Delivery): number {
  return delivery.outgoing.message.payload.length + queuedOverheadBytes
}

/** Of the log, among those that wait; they are in its order. Infinity: none of them is in the log. */
export function firstSequence(waiting: Iterable<Delivery>): number {
  for (const { outgoing } of waiting) if (outgoing.sequence > 0) return outgoing.sequence
  return Number.POSITIVE_INFINITY
}
