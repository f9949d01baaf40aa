// What is kept for one session alone has no filter by which its shadow would collect it: it gets copies.
import { nodeStream } from '../cluster/cluster.ts'
import type { Replication } from '../cluster/replication.ts'
import { termsOf } from '../delivery/delivery.ts'
import { handOver } from '../delivery/handed-over.ts'
import { Outgoing } from '../delivery/outgoing.ts'
import type { Session } from '../delivery/session.ts'
import type { Message } from '../message.ts'
import type { Store } from '../store/store.ts'
import type { Departure } from './departures.ts'

export class PrivateCopies {
  readonly #replicas: Pick<Replication, 'placeOf'> | undefined
  #appended: Departure[] = []

  /** Undefined: the broker is alone. */
  constructor(replicas: Pick<Replication, 'placeOf'> | undefined) {
    this.#replicas = replicas
  }

  /** `message`: by its `via` it is the session's; it lies in the log under this number. */
  append(message: Message, session: Session, sequence: number, store: Store): void {
    const place = this.#replicas?.placeOf(session.clientId)
    const subscription = session.subscriptions.get(message.via ?? '')
    const terms = place && subscription && termsOf(subscription, message)
    if (place === undefined || terms === undefined) return
    const { qos, retain } = subscription?.share === undefined ? { ...terms, retain: true } : terms
    const copy = handOver({ outgoing: new Outgoing(message, sequence), qos, retain }, place.id, place.storeId)
    this.#appended.push({ sequence: store.append(copy, [nodeStream(place.node)]), nodes: [place.node] })
  }

  /** Those that were appended since it was asked last: they leave after the commit. */
  take(): readonly Departure[] {
    if (this.#appended.length === 0) return none
    const appended = this.#appended
    this.#appended = []
    return appended
  }
}

const none: readonly Departure[] = []
