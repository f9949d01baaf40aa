// What a session that leaves for another node still has to get, in the order in which its client would get it.
import type { Message } from '../message.ts'
import { firstReadMessages, nextReadMessages, owed, positionsOf, readBacklog, wantedInLog } from './backlog.ts'
import { type Cuts, handOver, sideOf } from './handed-over.ts'
import type { DeliveryHouse } from './house.ts'
import { Outgoing } from './outgoing.ts'
import type { Session } from './session.ts'

/** At most so many in one piece. */
const readMessages = 500

export interface Unread {
  /** As the other node gets them. */
  readonly messages: readonly Message[]
  /** They are all up to here. */
  readonly upTo: number
  readonly isLast: boolean
}

/**
 * Nobody is connected to the session. After each piece the reader stores it and calls `session.outbox.leaveBehind`.
 * What the new node has by itself is left out.
 */
export async function* readUnread(
  house: DeliveryHouse,
  session: Session,
  storeId: number,
  cuts: Cuts,
): AsyncGenerator<Unread, void, void> {
  const upTo = house.store.lastSequence
  let { position: after } = session.outbox.cursor()
  let messages = session.coveredUpTo === undefined ? await inFlight(house, session, storeId) : []
  let limit = firstReadMessages
  for (;;) {
    const read = await readBacklog(house, session, { after, upTo, limit })
    for (const delivery of read.deliveries) {
      const { message, sequence } = delivery.outgoing
      if (isCovered(session, delivery.outgoing)) continue
      if (sideOf(cuts, message, sequence) !== 'here') messages.push(handOver(delivery, session.clientId, storeId))
    }
    if (read.skipped > 0) house.tellSkipped(session, read.skipped)
    yield { messages, upTo: read.upTo, isLast: read.end }
    if (read.end) return
    messages = []
    after = read.upTo
    limit = nextReadMessages(limit, read, readMessages)
  }
}

/**
 * The same for the shadow of a session that stays, connected or not; what is in flight is among the rest. `to`: the
 * shadow's name, and the store that copies.
 */
export async function* readCopies(
  { store }: DeliveryHouse,
  session: Session,
  to: { readonly clientId: string; readonly storeId: number },
  cuts: Cuts,
): AsyncGenerator<Unread, void, void> {
  const upTo = store.lastSequence
  const cursor = session.outbox.cursor()
  const done = new Set(cursor.done)
  for (let after = cursor.position; ; ) {
    const read = await store.read(positionsOf(session, { after, upTo, limit: readMessages }), readMessages)
    const messages: Message[] = []
    for (const { sequence, message } of read.entries) {
      const outgoing = new Outgoing(message, sequence)
      const found = done.has(sequence) ? undefined : wantedInLog(session, outgoing)
      if (found === undefined || sideOf(cuts, message, sequence) === 'here') continue
      messages.push(handOver({ outgoing, ...found.terms }, to.clientId, to.storeId))
    }
    yield { messages, upTo: read.end ? upTo : read.through, isLast: read.end }
    if (read.end) return
    after = read.through
  }
}

/** The shadow of the session had it, and has become the session elsewhere. */
function isCovered({ coveredUpTo }: Session, { message, sequence }: Outgoing): boolean {
  if (coveredUpTo === undefined) return false
  return message.origin !== undefined || message.via !== undefined || sequence <= coveredUpTo
}

/** In the order of sending. */
async function inFlight(house: DeliveryHouse, session: Session, storeId: number): Promise<Message[]> {
  const entries = session.outbox.window.unacknowledged().filter(({ sequence }) => sequence > 0)
  const found = await house.store.readExact(entries.map(({ sequence }) => sequence))
  const messages: Message[] = []
  for (const [index, { packetId, sequence, qos, released }] of entries.entries()) {
    const message = found[index] ?? (released ? nothing : undefined)
    if (message === undefined) continue
    const delivery = owed(house, session, message, sequence, qos)
    messages.push(handOver(delivery, session.clientId, storeId, { packetId, released }))
  }
  return messages
}

/** PUBREL needs no message. */
export const nothing: Message = {
  topic: '',
  payload: Buffer.alloc(0),
  qos: 2,
  retain: false,
  properties: undefined,
  clientId: '',
  username: '',
  publishedAt: 0,
  expiresAt: undefined,
}
