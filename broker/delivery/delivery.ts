// One message for one receiver, and the question which of its subscriptions let it through and how.
import type { Message, QoS } from '../message.ts'
import type { DeliveryHouse } from './house.ts'
import { Outgoing } from './outgoing.ts'
import type { Session } from './session.ts'
import type { Subscription } from './subscription.ts'

export interface Delivery {
  readonly outgoing: Outgoing
  readonly qos: QoS
  readonly retain: boolean
  readonly subscriptionIds: readonly number[] | undefined
  /** Set when it came by a shared subscription: if this client leaves without an acknowledgement, another gets it. */
  readonly share: Subscription | undefined
}

/** How a message reaches a session through one or several of its subscriptions. */
export interface Terms {
  readonly qos: QoS
  readonly retain: boolean
  readonly subscriptionIds: readonly number[] | undefined
}

/** Undefined: this subscription does not let the message through. */
export function termsOf(subscription: Subscription, message: Message): Terms | undefined {
  const { record } = subscription
  if (record.noLocal && message.clientId === subscription.session.clientId) return undefined
  if (subscription.withhold?.(message.topic) === true) return undefined
  return {
    qos: lower(message.qos, record.qos),
    retain: message.retain && record.retainAsPublished,
    subscriptionIds: record.subscriptionId === undefined ? undefined : [record.subscriptionId],
  }
}

/** Overlapping subscriptions: one delivery, the highest QoS, all identifiers (MQTT-3.3.4-2, -3, MQTT-3.3.5-1). */
export function mergeTerms(a: Terms | undefined, b: Terms | undefined): Terms | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return {
    qos: higher(a.qos, b.qos),
    retain: a.retain || b.retain,
    subscriptionIds:
      a.subscriptionIds === undefined || b.subscriptionIds === undefined
        ? (a.subscriptionIds ?? b.subscriptionIds)
        : [...a.subscriptionIds, ...b.subscriptionIds],
  }
}

function higher(a: QoS, b: QoS): QoS {
  return a < b ? b : a
}

export function lower(a: QoS, b: QoS): QoS {
  return a < b ? a : b
}

/** The delivery, after the plugins had their word; undefined when one of them dropped it. */
export function deliver(
  house: DeliveryHouse,
  session: Session,
  outgoing: Outgoing,
  terms: Terms,
  share: Subscription | undefined,
): Delivery | undefined {
  const { qos, retain, subscriptionIds } = terms
  const delivery: Delivery = { outgoing, qos, retain, subscriptionIds, share }
  const { onDeliver } = house.hooks
  const info = session.outbox.link?.info
  if (onDeliver === undefined || info === undefined) return delivery
  const message = onDeliver(outgoing.message, info)
  if (message === null) {
    house.countDrop('plugin', delivery, session)
    return undefined
  }
  return message === outgoing.message ? delivery : { ...delivery, outgoing: new Outgoing(message, outgoing.sequence) }
}
