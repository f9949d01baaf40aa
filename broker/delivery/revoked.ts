// What waits for a client although the right to it is gone: it is found, and let go.
import type { ClientInfo } from '../plugin.ts'
import { parseShare, topicMatches } from '../protocol/topics.ts'
import { type Delivery, lower, mergeTerms, type Terms, termsOf } from './delivery.ts'
import { isHandedOver, parseHandedOver } from './handed-over.ts'
import type { DeliveryHouse } from './house.ts'
import type { Session } from './session.ts'
import type { Subscription } from './subscription.ts'
import type { Waiting } from './waiting.ts'
import type { Window } from './window.ts'

/**
 * Does a subscription of now let this message through? False: all that match withhold it. Undefined: none matches, because
 * it was given up or ended after the message had its place.
 */
export function isCovered(session: Session, delivery: Delivery): boolean | undefined {
  const { message } = delivery.outgoing
  let covered: boolean | undefined
  for (const subscription of candidates(session, delivery)) {
    if (!topicMatches(subscription.filter, message.topic)) continue
    if (subscription.withhold?.(message.topic) !== true) return true
    covered = false
  }
  return covered
}

/**
 * May a message that was sent once be sent again? A client that gave up its subscription is still owed it
 * (MQTT-3.10.4-3), unless it may not have it any more: then the topic itself is what is asked for.
 */
export function mayStillGet(
  house: DeliveryHouse,
  session: Session,
  client: ClientInfo,
  delivery: Delivery,
): boolean | Promise<boolean> {
  const covered = isCovered(session, delivery)
  if (covered !== undefined) return covered
  const { topic } = delivery.outgoing.message
  const answer = house.hooks.authorizeSubscribe(client, { filter: topic, qos: delivery.qos, share: shareOf(delivery) })
  if (answer instanceof Promise) return answer.then(({ allow, withhold }) => allow && withhold?.(topic) !== true)
  return answer.allow && answer.withhold?.(topic) !== true
}

/** What waits, by the subscriptions of now. A turn in a shared group goes to another member, if there is one. */
export function letGoOfRevoked(
  house: DeliveryHouse,
  session: Session,
  window: Window,
  queues: readonly Waiting[],
): void {
  for (const queue of queues) {
    queue.lookAgain((delivery) => {
      const terms = termsNow(session, delivery)
      if (terms !== undefined) return { ...delivery, ...terms, qos: lower(delivery.qos, terms.qos) }
      window.markDone(delivery.outgoing.sequence)
      house.passOn(delivery, session)
      house.countDrop('revoked', delivery, session)
      return undefined
    })
  }
}

/** The retain flag stays: a retained message of a new subscription has it whatever the options say. */
function termsNow(session: Session, delivery: Delivery): Omit<Terms, 'retain'> | undefined {
  const { message } = delivery.outgoing
  let terms: Terms | undefined
  for (const subscription of candidates(session, delivery)) {
    if (topicMatches(subscription.filter, message.topic)) terms = mergeTerms(terms, termsOf(subscription, message))
  }
  return terms && { qos: terms.qos, subscriptionIds: terms.subscriptionIds }
}

/** A turn in a shared group comes by that subscription alone, everything else by those outside of groups. */
function candidates(session: Session, delivery: Delivery): Iterable<Subscription> {
  const share = viaOf(delivery)
  if (share !== undefined) {
    const own = session.subscriptions.get(share)
    return own === undefined ? [] : [own]
  }
  return [...session.subscriptions.values()].filter((subscription) => subscription.share === undefined)
}

function shareOf(delivery: Delivery): string | undefined {
  const via = viaOf(delivery)
  return via === undefined ? undefined : parseShare(via)?.share
}

/** `$share/NAME/filter`, if it came by one. */
function viaOf({ share, outgoing }: Delivery): string | undefined {
  if (share !== undefined) return share.record.filter
  const { via } = outgoing.message
  const own = isHandedOver(via) ? parseHandedOver(via)?.via : via
  return own !== undefined && parseShare(own) !== undefined ? own : undefined
}
