// Members of shared groups that are away when rights change: who may have its turns no longer gets none while others may, and
// those that wait for it go to others.
import type { DeliveryHouse } from '../delivery/house.ts'
import type { Session } from '../delivery/session.ts'
import type { Subscription } from '../delivery/subscription.ts'
import type { ClientInfo } from '../plugin.ts'
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
  if (answer !== undefined && 'deny' in answer && answer.busy === true) return false
  const isGone = answer !== undefined && 'deny' in answer
  const client = answer === undefined || isGone ? before : { ...before, identity: answer.identity }
  session.lastClient = client
  let isBarred = false
  for (const subscription of sharedOf(session)) {
    const may = !isGone && (await mayHold(house, client, subscription))
    if (session.lastClient !== client) return true
    subscription.barred = !may
    isBarred ||= !may
  }
  if (isBarred) await passTurnsOn(house, session)
  return true
}

async function mayHold({ hooks }: DeliveryHouse, client: ClientInfo, subscription: Subscription): Promise<boolean> {
  const { filter, share, record } = subscription
  const wishes = client.identity.subscriptions ?? []
  if (record.automatic === 'only' && !wishes.some((wish) => wish.filter === record.filter)) return false
  const decision = await hooks.authorizeSubscribe(client, { filter, qos: record.qos, share })
  if (decision.allow) subscription.withhold = decision.withhold
  return decision.allow
}

/** What nobody else takes stays: the right may come back. What was passed on is done here; a crash may repeat it. */
async function passTurnsOn(house: DeliveryHouse, session: Session): Promise<void> {
  const upTo = house.store.lastSequence
  for (let { position: after } = session.outbox.cursor(); ; ) {
    const known = session.outbox.window.knownSequences()
    const read = await house.store.read([{ stream: privateStream(session.clientId), after, upTo }], readMessages, known)
    for (const { sequence, message } of read.entries) {
      // Its client is back, and what it may not have is passed on as it reads.
      if (session.lastClient === undefined) return
      const { via } = message
      if (via === undefined || known.has(sequence) || session.subscriptions.get(via)?.barred !== true) continue
      if (house.passOnTurn(message, via, session)) session.outbox.pass(sequence)
    }
    if (read.end) return
    after = read.through
  }
}

function sharedOf({ subscriptions }: Session): Subscription[] {
  return [...subscriptions.values()].filter(({ share }) => share !== undefined)
}
