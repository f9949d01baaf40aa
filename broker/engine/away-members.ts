// Members of shared groups that are away when rights change: who may have its turns no longer gets none while others may, and
// those that wait for it go to others.
import type { DeliveryHouse } from '../delivery/house.ts'
import type { Session } from '../delivery/session.ts'
import type { Subscription } from '../delivery/subscription.ts'
import type { ClientInfo, SubscribeDecision } from '../plugin.ts'
import { privateStream } from '../store/store.ts'
import { credentialsOf } from './credentials-of.ts'

const readMessages = 100

/** Who it is by now, and what it may have. False: a plugin failed, and nothing is changed. */
export async function askAway(house: DeliveryHouse, session: Session): Promise<boolean> {
  const before = session.lastClient
  if (before === undefined) return true
  const { member } = session
  const left = member && { identity: member.identity, plugin: member.provenBy }
  const proof = house.hooks.proofOf(before.identity) ?? left
  const answer = proof && (await house.hooks.identify(proof, credentialsOf(before)))
  if (session.lastClient !== before) return true
  const isGone = answer !== undefined && 'deny' in answer
  if (isGone && answer.busy === true) return false
  // A new one in any case: who asked before finds that its answers count no more.
  const client = answer === undefined || isGone ? { ...before } : { ...before, identity: answer.identity }
  session.lastClient = client
  const decided: { readonly subscription: Subscription; readonly decision: SubscribeDecision }[] = []
  for (const subscription of sharedOf(session)) {
    const decision = isGone ? gone : await mayHold(house, client, subscription)
    if (session.lastClient !== client) return true
    if (decision.failed === true) return false
    decided.push({ subscription, decision })
  }
  for (const { subscription, decision } of decided) {
    subscription.barred = !decision.allow
    if (decision.allow) subscription.withhold = decision.withhold
  }
  if (decided.some(({ decision }) => !decision.allow)) await passTurnsOn(house, session, client)
  return true
}

const gone: SubscribeDecision = { allow: false, because: 'nobody vouches for it any more' }
const unwished: SubscribeDecision = { allow: false, because: 'the house subscribes to it no longer' }

function mayHold(
  { hooks }: DeliveryHouse,
  client: ClientInfo,
  { filter, share, record }: Subscription,
): SubscribeDecision | Promise<SubscribeDecision> {
  const wishes = client.identity.subscriptions ?? []
  if (record.automatic === 'only' && !wishes.some((wish) => wish.filter === record.filter)) return unwished
  return hooks.authorizeSubscribe(client, { filter, qos: record.qos, share })
}

/** What nobody else takes stays: the right may come back. What was passed on is done here; a crash may repeat it. */
async function passTurnsOn(house: DeliveryHouse, session: Session, client: ClientInfo): Promise<void> {
  const upTo = house.store.lastSequence
  for (let { position: after } = session.outbox.cursor(); ; ) {
    const done = session.outbox.window.knownSequences()
    const read = await house.store.read([{ stream: privateStream(session.clientId), after, upTo }], readMessages, done)
    // Its client is back, and what it may not have is passed on as it reads; or it was asked again.
    if (session.lastClient !== client) return
    for (const { sequence, message } of read.entries) {
      const { via } = message
      if (via === undefined || done.has(sequence) || session.subscriptions.get(via)?.barred !== true) continue
      if (house.passOnTurn(message, via, session)) session.outbox.pass(sequence)
    }
    if (read.end) return
    after = read.through
  }
}

function sharedOf({ subscriptions }: Session): Subscription[] {
  return [...subscriptions.values()].filter(({ share }) => share !== undefined)
}
