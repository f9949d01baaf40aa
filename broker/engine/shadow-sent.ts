// What the owner of a shadow has in flight with QoS 2, and what it delivered lately: so that it comes once, whichever node
// delivers it (MQTT-4.3.3-1, -2).
import type { SentRecord } from '../cluster/cluster.ts'

/** Delivered, and not known to lie below the place that the owner told; over it the oldest may come twice. */
const deliveredMax = 10_000

type Identity = Pick<SentRecord, 'storeId' | 'sequence'>

export class ShadowSent {
  /** By identity. */
  #inFlight = new Map<string, SentRecord>()
  /** By identity, with a place in the log below which it lies; undefined: it is not here yet. */
  readonly #delivered = new Map<string, { readonly identity: Identity; bound: number | undefined }>()

  get isEmpty(): boolean {
    return this.#inFlight.size === 0 && this.#delivered.size === 0
  }

  /** All that is in flight now: what was before, and is not any more, is delivered. */
  note(sent: readonly SentRecord[]): void {
    if (sent.length === 0 && this.#inFlight.size === 0) return
    const now = new Map(sent.map((record) => [keyOf(record), record]))
    for (const [key, identity] of this.#inFlight) {
      if (!now.has(key)) this.#delivered.set(key, { identity, bound: undefined })
    }
    this.#inFlight = now
    for (const key of this.#delivered.keys()) {
      if (this.#delivered.size <= deliveredMax) break
      this.#delivered.delete(key)
    }
  }

  /** The owner has passed `position`; the log ends at `newest`. `isHere`: whether it has come. */
  passed(position: number, newest: number, isHere: (message: Identity) => boolean): void {
    for (const [key, delivered] of this.#delivered) {
      if (delivered.bound === undefined && isHere(delivered.identity)) delivered.bound = newest
      if (delivered.bound !== undefined && delivered.bound <= position) this.#delivered.delete(key)
    }
  }

  wasDelivered(message: Identity): boolean {
    return this.#delivered.has(keyOf(message))
  }

  inFlight(message: Identity): SentRecord | undefined {
    return this.#inFlight.get(keyOf(message))
  }

  allInFlight(): Iterable<SentRecord> {
    return this.#inFlight.values()
  }
}

function keyOf({ storeId, sequence }: Identity): string {
  return `${storeId} ${sequence}`
}
