// Reads what a session missed from the log, and finds for each message the terms of its subscriptions.
import type { Message } from '../message.ts'
import { parseShare, topicMatches } from '../protocol/topics.ts'
import { arrivalStream, type Gap, privateStream, type StreamPosition } from '../store/store.ts'
import { type Delivery, deliver, mergeTerms, type Terms, termsOf } from './delivery.ts'
import { isFormers, isHandedOver, parseHandedOver } from './handed-over.ts'
import type { DeliveryHouse } from './house.ts'
import { Outgoing } from './outgoing.ts'
import { mayStillGet } from './revoked.ts'
import type { Session } from './session.ts'
import type { Subscription } from './subscription.ts'

export interface Backlog {
  readonly deliveries: readonly Delivery[]
  /** Everything up to here was looked at. */
  readonly upTo: number
  /** Nothing further was there, up to the sequence number that was asked for. */
  readonly end: boolean
  /** Messages that fell off a bounded queue before they could be read, each once, and for each queue. */
  readonly skipped: number
  readonly gaps: readonly Gap[]
}

/** One read brings about this much into memory; the first one of a session is small, because nobody knows its messages. */
const readBytes = 512 * 1024
export const firstReadMessages = 16

/** How many messages the next read asks for, after this one asked for `limit`. */
export function nextReadMessages(limit: number, { deliveries }: Backlog, most: number): number {
  let bytes = 0
  for (const { outgoing } of deliveries) bytes += outgoing.message.payload.length
  if (bytes > readBytes) return Math.max(1, Math.floor((limit * readBytes) / bytes))
  return bytes * 2 > readBytes ? limit : Math.min(limit * 2, most)
}

export interface Range {
  readonly after: number
  readonly upTo: number
  readonly limit: number
  /** Only what another node handed over. */
  readonly isArrived?: boolean
}

/** Reads at most `limit` messages above `after` and not above `upTo`. */
export async function readBacklog(house: DeliveryHouse, session: Session, range: Range): Promise<Backlog> {
  const known = session.outbox.window.knownSequences()
  const read = await house.store.read(positionsOf(session, range), range.limit, known)
  const deliveries: Delivery[] = []
  for (const { sequence, message } of read.entries) {
    if (known.has(sequence)) continue
    const delivery = fromLog(house, session, new Outgoing(message, sequence))
    if (delivery !== undefined && (await mayGetArrived(house, session, delivery))) deliveries.push(delivery)
    else {
      // A turn in a shared group that it may not take any more is another member's.
      if (message.via !== undefined && session.outbox.link !== undefined)
        house.passOnTurn(message, message.via, session)
      session.outbox.pass(sequence)
    }
  }
  const { end, through, skipped, gaps } = read
  return { deliveries, upTo: end ? range.upTo : through, end, skipped, gaps }
}

/** What another node handed over for a subscription that is not here may have lost it for good: then it is asked for. */
export function mayGetArrived(house: DeliveryHouse, session: Session, delivery: Delivery): boolean | Promise<boolean> {
  const { link } = session.outbox
  if (link === undefined || !isHandedOver(delivery.outgoing.message.via)) return true
  return mayStillGet(house, session, link.info, delivery)
}

/** The delivery of a message of the log to this session; undefined when no subscription of it wants the message now. */
export function fromLog(house: DeliveryHouse, session: Session, outgoing: Outgoing): Delivery | undefined {
  const found = wantedInLog(session, outgoing)
  return found && deliver(house, session, outgoing, found.terms, found.share)
}

/** How it reaches the session; undefined: it does not. */
export function wantedInLog(session: Session, outgoing: Outgoing): FoundTerms | undefined {
  if (isFormers(session.cuts, outgoing)) return undefined
  const found = termsInLog(session, outgoing)
  // By QoS 0 it was given to who was connected then.
  if (found?.terms.qos === 0 && outgoing.message.via === undefined && !found.kept) return undefined
  return found
}

/**
 * A message that was in flight at a restart: it is owed to the client, also if the subscription is gone since, or is
 * for QoS 0 now.
 */
export function owed(house: DeliveryHouse, session: Session, message: Message, sequence: number, qos: 1 | 2): Delivery {
  const outgoing = new Outgoing(message, sequence)
  // Sent it was, also if its only subscription replaced another after it was published.
  const found = termsInLog(session, outgoing) ?? termsInLog(session, outgoing, true)
  const isRetained = message.via !== undefined && !isHandedOver(message.via) && parseShare(message.via) === undefined
  const terms = { retain: isRetained, subscriptionIds: undefined, ...found?.terms, qos }
  const delivery = { outgoing, ...terms, share: found?.share }
  return deliver(house, session, outgoing, terms, found?.share) ?? delivery
}

export interface FoundTerms {
  readonly terms: Terms
  readonly share: Subscription | undefined
  /** It was queued before its subscription was lowered to QoS 0. */
  readonly kept: boolean
}

function termsInLog(session: Session, { message, sequence }: Outgoing, wasSent = false): FoundTerms | undefined {
  if (isHandedOver(message.via)) return handedOverTerms(session, message, message.via)
  if (message.via !== undefined) return privateTerms(session, message, message.via)
  let terms: Terms | undefined
  let kept = false
  for (const subscription of session.subscriptions.values()) {
    if (subscription.share !== undefined || (!wasSent && subscription.record.since >= sequence)) continue
    if (!topicMatches(subscription.filter, message.topic)) continue
    terms = mergeTerms(terms, termsOf(subscription, message))
    if (sequence <= subscription.record.keptUntil) kept = true
  }
  return terms && { terms, share: undefined, kept }
}

/** What is in the log for this session alone comes by one subscription, whatever others would let it through. */
function privateTerms(session: Session, message: Message, via: string): FoundTerms | undefined {
  const subscription = session.subscriptions.get(via)
  const terms = subscription && termsOf(subscription, message)
  if (subscription === undefined || terms === undefined) return undefined
  if (subscription.share !== undefined) return { terms, share: subscription, kept: false }
  return { terms: { ...terms, retain: true }, share: undefined, kept: false }
}

/**
 * It was granted where it came from, also if the client has not subscribed here. What is withheld from all of its
 * subscriptions now is withheld.
 */
function handedOverTerms(session: Session, message: Message, via: string): FoundTerms | undefined {
  const handed = parseHandedOver(via)
  if (handed === undefined) return undefined
  const own = handed.via === undefined ? undefined : session.subscriptions.get(handed.via)
  const matching = own === undefined ? session.subscriptions.values() : [own]
  let isMatched = false
  let terms: Terms | undefined
  for (const subscription of matching) {
    if (own === undefined && subscription.share !== undefined) continue
    if (!topicMatches(subscription.filter, message.topic)) continue
    isMatched = true
    terms = mergeTerms(terms, termsOf(subscription, message))
  }
  if (isMatched && terms === undefined) return undefined
  const { qos, retain } = handed
  const share = own?.share === undefined ? undefined : own
  return { terms: { qos, retain, subscriptionIds: terms?.subscriptionIds }, share, kept: true }
}

export function positionsOf(session: Session, { after, upTo, isArrived }: Range): StreamPosition[] {
  const arrived = { stream: arrivalStream(session.clientId), after, upTo }
  if (isArrived === true) return [arrived]
  const positions: StreamPosition[] = [arrived, { stream: privateStream(session.clientId), after, upTo }]
  for (const subscription of session.subscriptions.values()) {
    if (!subscription.readsAfter(after)) continue
    const { filter, queueing, record } = subscription
    // Lowered to QoS 0, it is owed only what was queued before.
    const last = queueing ? upTo : Math.min(upTo, record.keptUntil)
    positions.push({ stream: filter, after: Math.max(after, record.since), upTo: last })
  }
  return positions
}
