// SUBSCRIBE and UNSUBSCRIBE: each filter is asked for by itself, and only what is granted is kept (MQTT 3.8 - 3.11).
import { Subscription } from '../delivery/subscription.ts'
import type { QoS } from '../message.ts'
import type { SubscribeDecision } from '../plugin.ts'
import type { Connection } from './connection.ts'
import { encodeSuback, encodeUnsuback } from './encode.ts'
import { sendWhenStored } from './handle-publish.ts'
import type { SubscribePacket, SubscribeRequest, UnsubscribePacket } from './packets.ts'
import { type ReasonCode, reason } from './reason-codes.ts'
import { checkTopicLimits, filterProblem, parseShare } from './topics.ts'

/** What became of one filter: its code for SUBACK, and whether its retained messages follow. */
interface Outcome {
  readonly code: ReasonCode
  readonly retained: boolean
}

export async function handleSubscribe(connection: Connection, packet: SubscribePacket): Promise<void> {
  const outcomes: Outcome[] = []
  for (const [index, request] of packet.requests.entries()) {
    outcomes.push(await subscribeOne(connection, packet, request, index))
    if (connection.closed) return
  }
  const bytes = encodeSuback(
    connection.version,
    packet.packetId,
    outcomes.map((outcome) => outcome.code),
  )
  // All in one go: what the first of them has to wait for shall not make the retained messages of the next ones later ones.
  const sendRetained = (): void => {
    const offered = packet.requests.filter((_, index) => outcomes[index]!.retained)
    connection.session.outbox.offerRetained(offered.map(({ filter }) => filter))
  }
  const settled = connection.host.settled(connection.session)
  if (settled !== undefined) sendWhenSettled(connection, settled, bytes, sendRetained)
  else if (connection.session.persistent) sendWhenStored(connection, bytes, sendRetained)
  else connection.replies.send(bytes, sendRetained)
}

/** After SUBACK what is published to any node arrives. What the client sends meanwhile is taken up. */
function sendWhenSettled(connection: Connection, settled: Promise<unknown>, bytes: Buffer, sent: () => void): void {
  const reply = connection.replies.hold(sent)
  void settled.then(() => {
    if (connection.closed) return
    if (!connection.session.persistent) {
      connection.replies.settle(reply, bytes)
      return
    }
    connection.host.store.commit((error) => {
      if (connection.closed) return
      if (error !== undefined) connection.storageFailed()
      else connection.replies.settle(reply, bytes)
    })
  })
}

export function handleUnsubscribe(connection: Connection, packet: UnsubscribePacket): undefined {
  const { host, session, version } = connection
  const codes = packet.filters.map((filter) => {
    const automatic = session.subscriptions.get(filter)?.record.automatic
    if (automatic !== undefined) return keepAutomatic(connection, filter, automatic)
    if (!host.unsubscribe(session, filter)) return reason.noSubscriptionExisted
    host.counts.unsubscribes += 1
    host.hooks.onUnsubscribed?.(connection.info, filter)
    return reason.success
  })
  const bytes = encodeUnsuback(version, packet.packetId, codes)
  if (session.persistent) sendWhenStored(connection, bytes)
  else connection.replies.send(bytes)
}

/** What the house subscribed the client to is not the client's to end; what it asked for by itself is. */
function keepAutomatic({ host, session }: Connection, filter: string, automatic: 'only' | 'too'): ReasonCode {
  if (automatic === 'too') host.changeSubscription(session, filter, { automatic: 'only' })
  return reason.notAuthorized
}

async function subscribeOne(
  connection: Connection,
  packet: SubscribePacket,
  request: SubscribeRequest,
  index: number,
): Promise<Outcome> {
  const { host, session } = connection
  const parsed = parseShare(request.filter)
  const filter = parsed?.filter ?? request.filter
  const refused = refusalOf(connection, request, filter, index)
  if (refused !== undefined) return refuse(connection, request, refused.code, refused.because)

  const question = { filter, qos: request.qos, share: parsed?.share }
  const decision = await host.hooks.authorizeSubscribe(connection.info, question)
  if (!decision.allow) {
    host.counts.aclDenied.subscribe += 1
    return refuse(connection, request, reason.notAuthorized, decision.because)
  }
  if (connection.closed) return { code: reason.success, retained: false }
  const before = session.subscriptions.get(request.filter)
  const { retainHandling } = request
  const retained = parsed === undefined && (retainHandling === 0 || (retainHandling === 1 && before === undefined))
  const subscription = makeSubscription(connection, packet, request, decision, retained)
  host.subscribe(connection.info, subscription)
  host.counts.subscribes += 1
  host.hooks.onSubscribed?.(connection.info, request.filter, subscription.qos)
  return { code: subscription.qos as ReasonCode, retained }
}

function refusalOf(
  connection: Connection,
  request: SubscribeRequest,
  filter: string,
  index: number,
): { readonly code: ReasonCode; readonly because: string } | undefined {
  const { limits } = connection.host
  const { subscriptions } = connection.session
  const problem = filterProblem(request.filter) ?? checkTopicLimits(filter, limits)
  if (problem !== undefined) return { code: reason.topicFilterInvalid, because: problem }
  if (index >= limits.filtersPerSubscribe) return { code: reason.quotaExceeded, because: 'too many filters at once' }
  if (subscriptions.size >= limits.filtersPerClient && !subscriptions.has(request.filter)) {
    return { code: reason.quotaExceeded, because: 'too many filters of one client' }
  }
  return undefined
}

function refuse(connection: Connection, request: SubscribeRequest, code: ReasonCode, because: string): Outcome {
  connection.host.log.info(
    { audit: 'refusal', clientId: connection.id, filter: request.filter, because },
    'subscribe refused',
  )
  return { code, retained: false }
}

function makeSubscription(
  connection: Connection,
  packet: SubscribePacket,
  request: SubscribeRequest,
  decision: SubscribeDecision,
  retained: boolean,
): Subscription {
  const { session, host } = connection
  const before = session.subscriptions.get(request.filter)
  const qos: QoS = decision.maxQos === undefined || request.qos < decision.maxQos ? request.qos : decision.maxQos
  const queueing = session.persistent && qos > 0
  const parsed = parseShare(request.filter)
  const record = {
    filter: request.filter,
    qos,
    noLocal: request.noLocal,
    retainAsPublished: request.retainAsPublished,
    retainHandling: request.retainHandling,
    subscriptionId: packet.subscriptionId,
    // One that replaces another loses nothing (MQTT-3.8.4-4); what nobody queued for it before, it does not get now.
    since: before !== undefined && (before.queueing || !queueing) ? before.record.since : host.store.lastSequence,
    retainedPending: retained && session.persistent,
    keptUntil: 0,
    ...(before?.record.automatic !== undefined && { automatic: 'too' as const }),
  }
  return new Subscription(
    session,
    record,
    { filter: parsed?.filter ?? request.filter, share: parsed?.share },
    decision.withhold,
  )
}
