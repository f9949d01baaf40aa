// Sessions of other nodes that lie here as shadows: without a connection, known to the router as numbers, in the store under
// a name that no client can have. One becomes a session when its owner is lost.
import type { CutsByStore, SentRecord, SessionState } from '../cluster/cluster.ts'
import { parseShadowId, type Shadow, type ShadowHouse, type ShadowName } from '../cluster/replication.ts'
import { handedOverVia, here, isFormers, parseHandedOver } from '../delivery/handed-over.ts'
import { Outgoing } from '../delivery/outgoing.ts'
import type { Subscription } from '../delivery/subscription.ts'
import { nothing } from '../delivery/unread.ts'
import type { Message } from '../message.ts'
import { parseShare } from '../protocol/topics.ts'
import type { Router } from '../router/router.ts'
import {
  arrivalStream,
  type Cursor,
  committed,
  type Entry,
  type InflightRecord,
  type RecoveredSession,
  type SessionRecord,
  type Store,
  type StreamPosition,
  type SubscriptionRecord,
} from '../store/store.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { Sessions } from './sessions.ts'
import { ShadowSent } from './shadow-sent.ts'

/** Copies of messages that are moved in one piece when a shadow becomes a session. */
const pieceMessages = 500

interface Kept extends Shadow {
  readonly id: string
  readonly name: ShadowName
  record: SessionRecord
  readonly subscriptions: Map<string, SubscriptionRecord>
  inbound: readonly number[]
  position: number
  readonly sent: ShadowSent
  cuts: CutsByStore | undefined
  isComplete: boolean
}

export interface ShadowParts {
  readonly store: Store
  readonly router: Router<Subscription>
  readonly sessions: Sessions
  readonly dispatcher: Dispatcher
}

export class Shadows implements ShadowHouse {
  readonly #store: Store
  readonly #router: Router<Subscription>
  readonly #sessions: Sessions
  readonly #dispatcher: Dispatcher
  /** As many as other nodes ask for: each has its session there. */
  readonly #byId = new Map<string, Kept>()
  readonly #byClientId = new Map<string, Kept[]>()

  constructor({ store, router, sessions, dispatcher }: ShadowParts) {
    this.#store = store
    this.#router = router
    this.#sessions = sessions
    this.#dispatcher = dispatcher
  }

  get size(): number {
    return this.#byId.size
  }

  all(): Iterable<Shadow> {
    return this.#byId.values()
  }

  get(id: string): Shadow | undefined {
    return this.#byId.get(id)
  }

  of(clientId: string): readonly Shadow[] {
    return this.#byClientId.get(clientId) ?? []
  }

  /** As the store has them. */
  *stored(): IterableIterator<RecoveredSession> {
    for (const shadow of this.#byId.values()) {
      const { record: session, subscriptions, inbound } = shadow
      yield { session, subscriptions: [...subscriptions.values()], inbound, cursor: cursorAt(shadow.position) }
    }
  }

  /** One that was not complete is built anew. */
  recover({ session, subscriptions, cursor, inbound }: RecoveredSession): void {
    const id = session.clientId
    const name = parseShadowId(id)
    if (name === undefined || cursor === undefined) {
      this.#store.deleteSession(id)
      return
    }
    const shadow = this.#add(id, name, session)
    shadow.inbound = inbound
    shadow.position = cursor.position
    shadow.isComplete = true
    for (const subscription of subscriptions) this.#enter(shadow, subscription)
  }

  keep(id: string, { session, subscriptions, inbound }: SessionState): void {
    const name = parseShadowId(id)
    if (name === undefined) return
    const shadow = this.#byId.get(id) ?? this.#add(id, name, { ...session, clientId: id })
    shadow.record = { ...session, clientId: id }
    this.#store.putSession(shadow.record)
    for (const packetId of inbound) if (!shadow.inbound.includes(packetId)) this.#store.putInbound(id, packetId)
    for (const packetId of shadow.inbound) if (!inbound.includes(packetId)) this.#store.deleteInbound(id, packetId)
    shadow.inbound = inbound
    const gone = new Set(shadow.subscriptions.keys())
    for (const subscription of subscriptions) {
      gone.delete(subscription.filter)
      this.#change(shadow, subscription)
    }
    for (const filter of gone) {
      this.#leave(shadow, filter)
      this.#store.deleteSubscription(id, filter)
    }
  }

  split(id: string, cuts: CutsByStore): void {
    const shadow = this.#byId.get(id)
    if (shadow !== undefined) shadow.cuts = cuts
  }

  /** A copy from its owner: it has its place in the log when the call returns. */
  take(id: string, message: Message): void {
    if (this.#byId.has(id)) this.#store.append(message, [arrivalStream(id)])
  }

  complete(id: string): void {
    const shadow = this.#byId.get(id)
    if (shadow === undefined || shadow.isComplete) return
    shadow.isComplete = true
    this.#store.putCursor(id, cursorAt(shadow.position))
    for (const other of [...this.of(shadow.name.clientId)]) if (other !== shadow) this.drop(other.id)
  }

  passed(id: string, position: number, isHere: (message: Pick<SentRecord, 'storeId' | 'sequence'>) => boolean): void {
    const shadow = this.#byId.get(id)
    if (shadow === undefined || position <= shadow.position) return
    shadow.position = position
    if (!shadow.isComplete) return
    this.#store.putCursor(id, cursorAt(position))
    shadow.sent.passed(position, this.#store.lastSequence, isHere)
  }

  noteSent(id: string, sent: readonly SentRecord[]): void {
    this.#byId.get(id)?.sent.note(sent)
  }

  left(id: string, disconnectedAt: number | undefined, expiryS: number): void {
    const shadow = this.#byId.get(id)
    if (shadow === undefined) return
    if (shadow.record.disconnectedAt === disconnectedAt && shadow.record.expiryS === expiryS) return
    shadow.record = { ...shadow.record, disconnectedAt, expiryS }
    this.#store.putSession(shadow.record)
  }

  drop(id: string): void {
    const shadow = this.#byId.get(id)
    if (shadow === undefined) return
    for (const filter of [...shadow.subscriptions.keys()]) this.#leave(shadow, filter)
    this.#remove(shadow)
  }

  async promote(id: string): Promise<boolean> {
    const shadow = this.#byId.get(id)
    if (shadow === undefined) return false
    const { clientId } = shadow.name
    // It may have been this node's once, and still wait here for a node that is away: the shadow has what it has.
    const left = this.#sessions.get(clientId)
    if (left?.isLeaving === true) this.#sessions.forget(left, 'moved')
    const last = await this.#moveCopies(shadow)
    const cursor = await this.#cursorOf(shadow)
    if (this.#byId.get(id) !== shadow || this.#sessions.get(clientId) !== undefined) {
      if (last > 0) this.#store.trim(arrivalStream(clientId), last)
      return false
    }
    const { record, subscriptions, inbound } = shadow
    const session = { ...record, clientId, disconnectedAt: record.disconnectedAt ?? Date.now() }
    // What it collected stays where it is, and so do its numbers in the router: they are the session's now.
    this.#remove(shadow)
    const found = { session, subscriptions: [...subscriptions.values()], inbound, cursor }
    this.#sessions.takeUp(found).cuts = shadow.cuts
    return true
  }

  /** Under the name of the session. The last number; 0: there were none. */
  async #moveCopies({ id, name, position }: Kept): Promise<number> {
    let last = 0
    for (let after = position; ; ) {
      const read = await this.#store.read([{ stream: arrivalStream(id), after }], pieceMessages)
      for (const { message } of read.entries) {
        const handed = parseHandedOver(message.via ?? '')
        if (handed === undefined) continue
        const via = handedOverVia({ ...handed, clientId: name.clientId })
        last = this.#store.append({ ...message, via }, [arrivalStream(name.clientId)])
      }
      await committed(this.#store)
      this.#dispatcher.fedSequence = Math.max(this.#dispatcher.fedSequence, last)
      if (read.end) return last
      after = read.through
    }
  }

  /** With what was delivered, or is in flight, under QoS 2. */
  async #cursorOf(shadow: Kept): Promise<Cursor> {
    const { position, sent, name } = shadow
    const done: number[] = []
    const inflight: InflightRecord[] = []
    const found = new Set<SentRecord>()
    const look = ({ message, sequence }: Entry): void => {
      const identity = message.origin ?? { storeId: here, sequence }
      const record = sent.inFlight(identity)
      if (sent.wasDelivered(identity) || (record !== undefined && found.has(record))) done.push(sequence)
      else if (record !== undefined && !isFormers(shadow.cuts, new Outgoing(message, sequence))) {
        found.add(record)
        inflight.push({ packetId: record.packetId, sequence, qos: 2, released: record.released })
      }
    }
    if (!sent.isEmpty) {
      await this.#eachOf([{ stream: arrivalStream(name.clientId), after: position }], look)
      await this.#eachOf(this.#positionsOf(shadow), look)
    }
    for (const record of sent.allInFlight()) {
      if (!found.has(record)) inflight.push(this.#releaseOnly(name.clientId, record.packetId))
    }
    return { position, done, inflight }
  }

  async #eachOf(positions: readonly StreamPosition[], look: (entry: Entry) => void): Promise<void> {
    for (let at = positions; at.length > 0; ) {
      const read = await this.#store.read(at, pieceMessages)
      for (const entry of read.entries) look(entry)
      if (read.end) return
      at = at.map(({ stream, after }) => ({ stream, after: Math.max(after, read.through) }))
    }
  }

  #positionsOf({ subscriptions, position }: Kept): StreamPosition[] {
    return [...subscriptions.values()]
      .filter(isCollected)
      .map(({ filter, since }) => ({ stream: filter, after: Math.max(position, since) }))
  }

  /** Its message is not here: what is left to do is to free the packet identifier at the client. */
  #releaseOnly(clientId: string, packetId: number): InflightRecord {
    const handed = { clientId, qos: 2, retain: false, packetId, released: true, via: undefined } as const
    const message = { ...nothing, via: handedOverVia(handed), origin: { storeId: here, sequence: 0 } }
    const sequence = this.#store.append(message, [arrivalStream(clientId)])
    return { packetId, sequence, qos: 2, released: true }
  }

  #add(id: string, name: ShadowName, record: SessionRecord): Kept {
    const shadow: Kept = {
      id,
      name,
      record,
      subscriptions: new Map(),
      inbound: [],
      position: 0,
      sent: new ShadowSent(),
      cuts: undefined,
      isComplete: false,
      get expiryS() {
        return shadow.record.expiryS
      },
      get disconnectedAt() {
        return shadow.record.disconnectedAt
      },
    }
    this.#byId.set(id, shadow)
    this.#byClientId.set(name.clientId, [...(this.#byClientId.get(name.clientId) ?? []), shadow])
    return shadow
  }

  #remove(shadow: Kept): void {
    const { clientId } = shadow.name
    this.#byId.delete(shadow.id)
    const others = (this.#byClientId.get(clientId) ?? []).filter((other) => other !== shadow)
    if (others.length === 0) this.#byClientId.delete(clientId)
    else this.#byClientId.set(clientId, others)
    this.#store.deleteSession(shadow.id)
  }

  /** As Sessions does it for a session that is here (MQTT-3.8.4-3, -4). */
  #change(shadow: Kept, given: SubscriptionRecord): void {
    const before = shadow.subscriptions.get(given.filter)
    const wasCollected = before !== undefined && isCollected(before)
    const newest = this.#store.lastSequence
    const since = before !== undefined && (wasCollected || !isCollected(given)) ? before.since : newest
    const keptUntil = isCollected(given) ? 0 : wasCollected ? newest : (before?.keptUntil ?? 0)
    const record = { ...given, since, keptUntil }
    if (before !== undefined && JSON.stringify(before) === JSON.stringify(record)) return
    this.#enter(shadow, record)
    // Only now, so that the route stays: messages on their way through the commit hold on to it.
    if (wasCollected) this.#router.removeUnmade(before.filter, true)
    this.#store.putSubscription(shadow.id, record)
  }

  #enter(shadow: Kept, record: SubscriptionRecord): void {
    shadow.subscriptions.set(record.filter, record)
    if (isCollected(record)) this.#router.addUnmade(record.filter, true)
  }

  #leave(shadow: Kept, filter: string): void {
    const record = shadow.subscriptions.get(filter)
    shadow.subscriptions.delete(filter)
    if (record !== undefined && isCollected(record)) this.#router.removeUnmade(filter, true)
  }
}

/**
 * Messages with QoS 0 are not kept for anybody who is away, and in a group a shadow is no member: its turn is its
 * owner's.
 */
function isCollected({ filter, qos }: SubscriptionRecord): boolean {
  return qos > 0 && parseShare(filter) === undefined
}

function cursorAt(position: number): Cursor {
  return { position, done: [], inflight: [] }
}
