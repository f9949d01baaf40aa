// What one session missed and what it was told of that: nothing is kept before the first gap, and nothing when all is told.
import type { Backlog } from './backlog.ts'
import type { Delivery } from './delivery.ts'
import { Gaps } from './gaps.ts'
import type { DeliveryHouse } from './house.ts'
import type { Link } from './link.ts'
import type { Session } from './session.ts'
import type { Inflight, Window } from './window.ts'

export class Missed {
  readonly #house: DeliveryHouse
  readonly #session: Session
  /** What fell off the session's queues and the client was not told. */
  #gaps: Gaps | undefined
  /** What was found missing up to here is counted. */
  #countedUpTo = 0

  constructor(house: DeliveryHouse, session: Session) {
    this.#house = house
    this.#session = session
  }

  get isNothing(): boolean {
    return this.#gaps === undefined
  }

  /** The cursor stays at or below this place. */
  heldAt(link: Link | undefined): number {
    return this.#gaps?.heldAt(link) ?? Number.POSITIVE_INFINITY
  }

  /** Counted once, also if the client was not told before it left and they are found again. */
  found({ skipped, gaps, upTo }: Backlog, after: number): void {
    if (skipped === 0) return
    this.#gaps ??= new Gaps(this.#session)
    this.#gaps.found(skipped, gaps, after)
    if (after >= this.#countedUpTo) this.#house.tellSkipped(this.#session, skipped)
    this.#countedUpTo = Math.max(this.#countedUpTo, upTo)
  }

  /** By the event, to who subscribed to it. */
  tell(link: Link): void {
    if (this.#gaps === undefined) return
    const event = this.#gaps.sendEvent(this.#house, link)
    if (event !== undefined) this.#house.countDelivered(event, link)
    // Sending may have ended the connection, and `forget` was called.
    if (this.#gaps?.isOver === true) this.#gaps = undefined
  }

  /** Sends a message, with the marker if there is something to tell and it has room; false as of `Link`. */
  send(link: Link, delivery: Delivery, packetId: number, window: Window): boolean {
    if (this.#gaps?.isPending === true) return this.#gaps.send(link, delivery, window.get(packetId))
    const { outgoing, qos, retain, subscriptionIds } = delivery
    return link.sendPublish(outgoing, qos, retain, false, packetId, subscriptionIds)
  }

  /** The client has what this entry stood for. */
  confirmed(entry: Inflight): void {
    this.#gaps?.confirmed(entry)
  }

  /** The client is gone: who was not told finds it missing again. */
  forget(): void {
    this.#gaps = undefined
  }
}
