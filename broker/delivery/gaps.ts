// What a session is told of messages that fell off its queues: by an event if it subscribed to that, else by MQTT 5 properties.
import type { Message } from '../message.ts'
import { topicMatches } from '../protocol/topics.ts'
import type { Gap } from '../store/store.ts'
import { type Delivery, deliver, mergeTerms, type Terms, termsOf } from './delivery.ts'
import type { DeliveryHouse } from './house.ts'
import type { Link } from './link.ts'
import { Outgoing } from './outgoing.ts'
import type { Session } from './session.ts'
import type { Inflight } from './window.ts'

/** Nobody but the broker publishes here, and each session hears of its own gaps only. */
export const gapTopic = '$oriole/gap'
/** User properties of the next message. The first has the number; each of the others a number and its filter. */
const skippedProperty = 'oriole-gap'
const filterProperty = 'oriole-gap-filter'

/** Filters that are named, those with most messages first; the number for all is exact whatever is left out. */
const namedFilters = 20
/**
 * After so many messages that had no room for the marker the session goes on without having been told, because its
 * cursor waits for that. It is still told when there is room.
 */
const triesBeforeMovingOn = 1_000

type Marks = readonly (readonly [name: string, value: string])[]

/** Nothing that a client should be told is passed by its cursor before: after a crash it is counted, and told, again. */
export class Gaps {
  readonly #session: Session
  #skipped = 0
  #byStream = new Map<string, number>()
  /** Where the reader stood when it found the first that is not told. */
  #after = Number.POSITIVE_INFINITY
  #tries = 0
  /** Told with these messages, which the client has not acknowledged. */
  #carried: { readonly entry: Inflight; readonly after: number }[] = []

  constructor(session: Session) {
    this.#session = session
  }

  get isPending(): boolean {
    return this.#skipped > 0
  }

  /** All was told, and the client has it. */
  get isOver(): boolean {
    return !this.isPending && this.#carried.length === 0
  }

  /** The cursor stays at or below this place. */
  heldAt(link: Link | undefined): number {
    let held = Number.POSITIVE_INFINITY
    for (const { after } of this.#carried) held = Math.min(held, after)
    if (!this.isPending || this.#tries >= triesBeforeMovingOn || link === undefined) return held
    return this.#mayTell(link) ? Math.min(held, this.#after) : held
  }

  /** The reader, which had come to `after`, found these missing. */
  found(skipped: number, gaps: readonly Gap[], after: number): void {
    this.#skipped += skipped
    for (const { stream, messages } of gaps) this.#byStream.set(stream, (this.#byStream.get(stream) ?? 0) + messages)
    this.#after = Math.min(this.#after, after)
  }

  /** The event, if the session holds a subscription for it and it fits; undefined: nothing was sent. */
  sendEvent(house: DeliveryHouse, link: Link): Delivery | undefined {
    if (!this.isPending || !link.hasRoom) return undefined
    for (const named of [namedFilters, 0]) {
      const message = eventOf(this.#skipped, this.#named(named))
      const terms = this.#eventTerms(message)
      if (terms === undefined) return undefined
      const delivery = deliver(house, this.#session, new Outgoing(message, 0), terms, undefined)
      if (delivery === undefined) return undefined
      const { outgoing, retain, subscriptionIds } = delivery
      if (!link.sendPublish(outgoing, 0, retain, false, 0, subscriptionIds)) continue
      this.#told()
      return delivery
    }
    return undefined
  }

  /** Sends a message with the marker if the client and the message have room for it, else without; false as of `Link`. */
  send(link: Link, { outgoing, qos, retain, subscriptionIds }: Delivery, entry: Inflight | undefined): boolean {
    const packetId = entry?.packetId ?? 0
    const send = (marks?: Marks): boolean =>
      link.sendPublish(outgoing, qos, retain, false, packetId, subscriptionIds, marks)
    if (link.info.protocolVersion < 5) return send()
    for (const named of [namedFilters, 0]) {
      if (!send(this.#marks(named))) continue
      if (entry !== undefined) this.#carried.push({ entry, after: this.#after })
      this.#told()
      return true
    }
    this.#tries += 1
    return send()
  }

  /** The client has what this entry stood for. */
  confirmed(entry: Inflight): void {
    if (this.#carried.length > 0) this.#carried = this.#carried.filter((carried) => carried.entry !== entry)
  }

  #told(): void {
    this.#skipped = 0
    this.#byStream = new Map()
    this.#after = Number.POSITIVE_INFINITY
    this.#tries = 0
  }

  #mayTell(link: Link): boolean {
    return link.info.protocolVersion === 5 || this.#eventTerms(eventOf(0, [])) !== undefined
  }

  /** A withheld topic is withheld here too. */
  #eventTerms(message: Message): Terms | undefined {
    let terms: Terms | undefined
    for (const subscription of this.#session.subscriptions.values()) {
      if (subscription.share !== undefined || !topicMatches(subscription.filter, gapTopic)) continue
      terms = mergeTerms(terms, termsOf(subscription, message))
    }
    return terms
  }

  #marks(named: number): Marks {
    const byFilter = this.#named(named).map(
      ({ filter, skipped }) => [filterProperty, `${skipped} ${filter ?? ''}`.trimEnd()] as const,
    )
    return [[skippedProperty, String(this.#skipped)], ...byFilter]
  }

  #named(most: number): NamedGap[] {
    const largestFirst = [...this.#byStream].sort(([, one], [, other]) => other - one)
    return largestFirst.slice(0, most).map(([stream, skipped]) => ({
      // The private stream: turns in shared groups, retained messages of new subscriptions.
      filter: stream.startsWith('\u0000') ? null : stream,
      skipped,
    }))
  }
}

interface NamedGap {
  readonly filter: string | null
  readonly skipped: number
}

function eventOf(skipped: number, filters: readonly NamedGap[]): Message {
  return {
    topic: gapTopic,
    payload: Buffer.from(JSON.stringify({ skipped, filters })),
    qos: 0,
    retain: false,
    properties: { payloadFormat: 1, contentType: 'application/json' },
    clientId: '',
    username: '',
    publishedAt: Date.now(),
    expiresAt: undefined,
  }
}
