// Every filter of a session is asked for again: when it is resumed, and when rights or the identity have changed.
import { Subscription } from '../delivery/subscription.ts'
import type { AutomaticSubscription, SubscribeDecision } from '../plugin.ts'
import type { Connection } from './connection.ts'
import { checkTopicLimits, parseShare } from './topics.ts'

/** What came of it. */
export interface Asked {
  asked: number
  ended: number
}

/** What does not change while the loop is left to others. */
export type Pause = () => Promise<void> | undefined

/**
 * What the client holds and may not hold any more ends, with all that waits for it; what the house subscribes it to is
 * made. The connection is opened. `pause` is asked before each filter and awaited where it has an answer.
 */
export async function reauthorize(connection: Connection, pause: Pause = neverPause): Promise<Asked> {
  const done: Asked = { asked: 0, ended: 0 }
  const { session } = connection
  let isNarrower = false
  for (const subscription of [...session.subscriptions.values()]) {
    await pause()
    if (connection.closed) return done
    if (session.subscriptions.get(subscription.record.filter) !== subscription) continue
    if (await askAgain(connection, subscription, done)) isNarrower = true
  }
  for (const wanted of connection.info.identity.subscriptions ?? []) {
    await pause()
    if (connection.closed) return done
    await subscribeAutomatically(connection, wanted, done)
  }
  if (isNarrower && !connection.closed) session.outbox.recheck()
  return done
}

/** True: less is delivered by it than before, or something else. */
async function askAgain(connection: Connection, subscription: Subscription, done: Asked): Promise<boolean> {
  const { host, session, info } = connection
  const { filter, share, record } = subscription
  if (record.automatic !== undefined && wishOf(connection, record.filter) === undefined) {
    if (record.automatic === 'only') return end(connection, subscription, 'the house subscribes to it no longer', done)
    host.changeSubscription(session, record.filter, { automatic: undefined })
  }
  done.asked += 1
  const decision = await host.hooks.authorizeSubscribe(info, { filter, qos: record.qos, share })
  if (connection.closed || session.subscriptions.get(record.filter) !== subscription) return false
  if (!decision.allow) {
    host.counts.aclDenied.subscribe += 1
    return end(connection, subscription, decision.because, done)
  }
  const before = subscription.withhold
  const maxQos = decision.maxQos ?? 2
  if (record.qos <= maxQos) subscription.withhold = decision.withhold
  else {
    const lower = { ...subscription.record, qos: maxQos }
    host.subscribe(connection.info, new Subscription(session, lower, subscription, decision.withhold))
  }
  return record.qos > maxQos || decision.withhold !== undefined || before !== undefined
}

function end(connection: Connection, { record }: Subscription, because: string, done: Asked): true {
  const { host, session, info } = connection
  done.ended += 1
  host.counts.subscriptionsEnded += 1
  host.log.info({ audit: 'rights', clientId: info.id, filter: record.filter, because }, 'subscription ended')
  host.unsubscribe(session, record.filter)
  host.hooks.onUnsubscribed?.(info, record.filter)
  return true
}

async function subscribeAutomatically(connection: Connection, wanted: AutomaticSubscription, done: Asked) {
  const { host, session, info } = connection
  const { filter: written, qos } = wanted
  const held = session.subscriptions.get(written)
  if (held !== undefined) {
    if (held.record.automatic === undefined) host.changeSubscription(session, written, { automatic: 'too' })
    if (held.record.automatic !== 'only' || held.record.qos === qos) return
  }
  const parsed = parseShare(written)
  const split = { filter: parsed?.filter ?? written, share: parsed?.share }
  const problem = checkTopicLimits(split.filter, host.limits) ?? tooMany(connection, written)
  if (problem === undefined) done.asked += 1
  const decision: SubscribeDecision =
    problem === undefined
      ? await host.hooks.authorizeSubscribe(info, { ...split, qos })
      : { allow: false, because: problem }
  if (connection.closed) return
  if (!decision.allow) {
    host.log.warn({ clientId: info.id, filter: written, because: decision.because }, 'automatic subscription refused')
    return
  }
  const granted = decision.maxQos === undefined || qos < decision.maxQos ? qos : decision.maxQos
  if (held !== undefined && held.record.qos === granted) return
  const { persistent } = session
  const record = {
    filter: written,
    qos: granted,
    noLocal: false,
    retainAsPublished: false,
    retainHandling: 1 as const,
    subscriptionId: undefined,
    since: held?.queueing === true ? held.record.since : host.store.lastSequence,
    retainedPending: held === undefined && split.share === undefined && persistent,
    keptUntil: 0,
    automatic: 'only' as const,
  }
  host.subscribe(connection.info, new Subscription(session, record, split, decision.withhold))
  host.counts.subscribes += 1
  host.hooks.onSubscribed?.(info, written, granted)
  if (held === undefined && split.share === undefined) session.outbox.offerRetained([written])
}

function wishOf({ info }: Connection, filter: string): AutomaticSubscription | undefined {
  return info.identity.subscriptions?.find((wanted) => wanted.filter === filter)
}

function tooMany({ session, host }: Connection, filter: string): string | undefined {
  const { subscriptions } = session
  return subscriptions.size >= host.limits.filtersPerClient && !subscriptions.has(filter)
    ? 'too many filters of one client'
    : undefined
}

function neverPause(): undefined {}
