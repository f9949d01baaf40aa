// Reads what a session missed from the log, and finds for each message the terms of its subscriptions.
import type { Message } from '../message.ts'
import { topicMatches } from '../protocol/topics.ts'
import { privateStream, type StreamPosition } from '../store/store.ts'
import { type Delivery, deliver, mergeTerms, type Terms, termsOf } from './delivery.ts'
import type { DeliveryHouse } from './house.ts'
import { Outgoing } from './outgoing.ts'
import type { Session } from './session.ts'
import type { Subscription } from './subscription.ts'

export interface Backlog {
  readonly deliveries: readonly Delivery[]
  /** Everything up to here was looked at. */
  readonly upTo: number
  /** Nothing further was there, up to the sequence number that was asked for. */
  readonly end: boolean
  /** Messages that fell off a bounded queue before they could be read. */
  readonly skipped: number
}

/** Reads at most `limit` messages above `after` and not above `upTo`. */
export async function readBacklog(
  house: DeliveryHouse,
  session: Session,
  range: { readonly after: number; readonly upTo: number; readonly limit: number },
): Promise<Backlog> {
  const result = await house.store.read(positionsOf(session, range.after), range.limit)
  const known = session.outbox.window.knownSequences()
  const deliveries: Delivery[] = []
  let upTo = range.after
  for (const { sequence, message } of result.entries) {
    if (sequence > range.upTo) return { deliveries, upTo: range.upTo, end: true, skipped: result.skipped }
    upTo = sequence
    if (known.has(sequence)) continue
    const delivery = fromLog(house, session, new Outgoing(message, sequence))
    if (delivery !== undefined) deliveries.push(delivery)
  }
  return { deliveries, upTo: result.end ? range.upTo : upTo, end: result.end, skipped: result.skipped }
}

/** The delivery of a message of the log to this session; undefined when no subscription of it wants the message now. */
export function fromLog(house: DeliveryHouse, session: Session, outgoing: Outgoing): Delivery | undefined {
  const { message, sequence } = outgoing
  let terms: Terms | undefined
  let shared: Subscription | undefined
  for (const subscription of session.subscriptions.values()) {
    if (!topicMatches(subscription.filter, message.topic)) continue
    if (subscription.share !== undefined) shared = subscription
    else if (subscription.record.since < sequence) terms = mergeTerms(terms, termsOf(subscription, message))
  }
  if (terms !== undefined && terms.qos > 0) return deliver(house, session, outgoing, terms, undefined)
  if (shared === undefined) return undefined
  const sharedTerms = termsOf(shared, message)
  return sharedTerms === undefined ? undefined : deliver(house, session, outgoing, sharedTerms, shared)
}

/** A message that was in flight at a restart: it is owed to the client, also if the subscription is gone since. */
export function owed(house: DeliveryHouse, session: Session, message: Message, sequence: number, qos: 1 | 2): Delivery {
  const outgoing = new Outgoing(message, sequence)
  const found = fromLog(house, session, outgoing)
  return { outgoing, retain: false, subscriptionIds: undefined, share: undefined, ...found, qos }
}

function positionsOf(session: Session, after: number): StreamPosition[] {
  const positions: StreamPosition[] = [{ stream: privateStream(session.clientId), after }]
  for (const { share, queueing, filter, record } of session.subscriptions.values()) {
    if (share === undefined && queueing) positions.push({ stream: filter, after: Math.max(after, record.since) })
  }
  return positions
}
