// By which subscriptions, and how, a message reaches a session (MQTT 4.7, 3.3.4).
import type { ModelSession, Owed, SharedOwed, WalkMessage, WalkSubscription, Way } from './owed.ts'
import type { WalkQoS } from './steps.ts'

/** One delivery for all that match: the highest QoS, all identifiers (MQTT-3.3.4-2 … -4). */
export function wayOf(session: ModelSession, message: WalkMessage, only?: readonly string[]): Way | undefined {
  const ways = session.subscriptions
    .filter(({ filter }) => only === undefined || only.includes(filter))
    .filter(({ filter }) => shareOf(filter) === undefined && filterMatches(filter, message.topic))
    .map((subscription) => ownWay(session, subscription, message))
    .filter((way) => way !== undefined)
  if (ways.length === 0) return undefined
  return {
    qos: Math.max(...ways.map(({ qos }) => qos)) as WalkQoS,
    retain: ways.some(({ retain }) => retain),
    ids: ways.flatMap(({ ids }) => ids).sort((a, b) => a - b),
  }
}

/** By all subscriptions of now, or only by those whose filters were there when it was published. */
export function waysNow(session: ModelSession, owed: Owed, message: WalkMessage): Way[] {
  const own = session.subscriptions.find(({ filter }) => filter === owed.filter)
  const ways =
    owed.kind === 'live'
      ? [wayOf(session, message), wayOf(session, message, owed.filters)]
      : [own && (owed.kind === 'retained' ? retainedWay : ownWay)(session, own, message)]
  return ways.filter((way) => way !== undefined)
}

/** Read from the log again: one that was raised from QoS 0 since has no part in it, and one may be left. */
export function waysFromLog(session: ModelSession, owed: Owed, message: WalkMessage): Way[] {
  const now = waysNow(session, owed, message)
  if (owed.kind !== 'live') return now
  const single = session.subscriptions.map(({ filter }) => wayOf(session, message, [filter]))
  return [...now, ...single.filter((way) => way !== undefined)]
}

export function sharedWay(
  session: ModelSession,
  owed: { readonly group: string; readonly message: WalkMessage },
): Way | undefined {
  const subscription = session.subscriptions.find(({ filter }) => filter === owed.group)
  return subscription && ownWay(session, subscription, owed.message)
}

export function sharedWays(session: ModelSession, owed: SharedOwed): Way[] {
  const then = owed.ways.get(session.id)
  const now = sharedWay(session, owed)
  // What was not kept, because it was for QoS 0, may stay at QoS 0.
  const lowered = now !== undefined && then?.qos === 0 ? { ...now, qos: 0 as const } : undefined
  return [then, now, lowered].filter((way) => way !== undefined)
}

export function ownWay({ id }: ModelSession, subscription: WalkSubscription, message: WalkMessage): Way | undefined {
  if (subscription.noLocal && message.from === id) return undefined
  return {
    qos: Math.min(subscription.qos, message.qos) as WalkQoS,
    retain: message.retain && subscription.retainAsPublished,
    ids: subscription.id === undefined ? [] : [subscription.id],
  }
}

export function retainedWay(
  session: ModelSession,
  subscription: WalkSubscription,
  message: WalkMessage,
): Way | undefined {
  const way = ownWay(session, subscription, message)
  return way && { ...way, retain: true }
}

/** MQTT 4.7, level by level. */
export function filterMatches(filter: string, topic: string): boolean {
  if (topic.startsWith('$') && (filter.startsWith('+') || filter.startsWith('#'))) return false
  return levelsMatch(filter.split('/'), topic.split('/'))
}

function levelsMatch(filter: readonly string[], topic: readonly string[]): boolean {
  if (filter.length === 0) return topic.length === 0
  if (filter[0] === '#') return true
  if (topic.length === 0) return false
  return (filter[0] === '+' || filter[0] === topic[0]) && levelsMatchOrParent(filter.slice(1), topic.slice(1))
}

function levelsMatchOrParent(filter: readonly string[], topic: readonly string[]): boolean {
  return (filter[0] === '#' && topic.length === 0) || levelsMatch(filter, topic)
}

export function shareOf(filter: string): string | undefined {
  return filter.startsWith('$share/') ? filter.split('/')[1] : undefined
}

export function plain(filter: string): string {
  return shareOf(filter) === undefined ? filter : filter.split('/').slice(2).join('/')
}

export function filtersOf({ subscriptions }: ModelSession): string[] {
  return subscriptions.map(({ filter }) => filter)
}
