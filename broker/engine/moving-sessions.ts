// Sessions on their way between nodes: what this node gives away, what it takes up, and what is handed over for them.
import { setTimeout as wait } from 'node:timers/promises'
import {
  type LocalSession,
  nodeStream,
  type SentRecord,
  type SessionHouse,
  type SessionMoves,
  type SessionProgress,
  type SessionState,
  type ShadowPlace,
} from '../cluster/cluster.ts'
import { isShadowId } from '../cluster/replication.ts'
import { noteInFlight, offerArrived } from '../delivery/arrived.ts'
import { arrivedClientId, type Cuts, endVia, parseHandedOver } from '../delivery/handed-over.ts'
import type { DeliveryHouse } from '../delivery/house.ts'
import type { Session } from '../delivery/session.ts'
import { readCopies, readUnread } from '../delivery/unread.ts'
import type { Message } from '../message.ts'
import type { Connection } from '../protocol/connection.ts'
import { reauthorize } from '../protocol/reauthorize.ts'
import { arrivalStream, committed, isArrival, type Store } from '../store/store.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { Sessions } from './sessions.ts'
import type { Shadows } from './shadows.ts'
import type { Wills } from './wills.ts'

/** Messages of a session that went on, in one piece. */
const strayMessages = 500
/** While the store cannot write. */
const againMs = 250

export interface MovingParts {
  readonly house: DeliveryHouse
  readonly sessions: Sessions
  readonly shadows: Shadows
  readonly wills: Wills
  readonly dispatcher: Dispatcher
  /** Undefined: the broker is alone. */
  readonly moves: Pick<SessionMoves, 'arrived' | 'strayed'> | undefined
  /** Undefined: the client is not connected. */
  connectionOf(clientId: string): Connection | undefined
  /** Ends its connection, as another one with the same client id does. */
  takeOver(clientId: string): void
}

export class MovingSessions implements SessionHouse {
  readonly #parts: MovingParts
  readonly #store: Store

  #isStopped = false

  constructor(parts: MovingParts) {
    this.#parts = parts
    this.#store = parts.house.store
  }

  /** What a failing store did not take is not tried again. */
  stop(): void {
    this.#isStopped = true
  }

  find(clientId: string): LocalSession | undefined {
    const session = this.#parts.sessions.get(clientId)
    if (session === undefined) return undefined
    return localSession(session, this.#parts.connectionOf(clientId) !== undefined)
  }

  *all(): IterableIterator<LocalSession> {
    const { sessions } = this.#parts
    for (const isConnected of [true, false]) {
      for (const session of sessions.awake()) {
        if ((session.disconnectedAt === undefined) === isConnected) yield localSession(session, isConnected)
      }
    }
    for (const { session } of sessions.asleep()) {
      const { clientId, username, createdAt, expiryS } = session
      yield { clientId, username, createdAt, expiryS, isPersistent: true, isLeaving: false, isConnected: false }
    }
  }

  leave(clientId: string, isClean: boolean): SessionState | undefined {
    const { sessions, wills } = this.#parts
    this.#parts.takeOver(clientId)
    const session = sessions.get(clientId)
    if (session === undefined || session.ended) return undefined
    if (isClean || !session.persistent || (session.expiresAt ?? 0) <= Date.now()) {
      sessions.forget(session)
      wills.fire(clientId)
      return undefined
    }
    wills.disarm(clientId)
    session.isLeaving = true
    return stateOf(session)
  }

  describe(clientId: string): SessionState | undefined {
    const session = this.#parts.sessions.get(clientId)
    if (session === undefined || session.isLeaving || !session.persistent || session.expiryS === 0) return undefined
    return { ...stateOf(session), sent: this.sentOf(clientId) }
  }

  async learnSent(clientId: string): Promise<void> {
    const window = this.#parts.sessions.get(clientId)?.outbox.window
    const unknown = window?.unacknowledged().filter(({ qos, origin }) => qos === 2 && origin === undefined) ?? []
    if (unknown.length === 0) return
    const messages = await this.#store.readExact(unknown.map(({ sequence }) => sequence))
    for (const [index, entry] of unknown.entries()) entry.origin = messages[index] && (messages[index].origin ?? 'here')
  }

  sentOf(clientId: string): SentRecord[] {
    const sent: SentRecord[] = []
    for (const entry of this.#parts.sessions.get(clientId)?.outbox.window.unacknowledged() ?? []) {
      const { packetId, released, origin } = entry
      if (origin === undefined) continue
      const { storeId, sequence } = origin === 'here' ? { storeId: 0, sequence: entry.sequence } : origin
      sent.push({ packetId, storeId, sequence, released })
    }
    return sent
  }

  progressOf(clientId: string): SessionProgress | undefined {
    const session = this.#parts.sessions.get(clientId)
    if (session === undefined || session.isLeaving) return undefined
    const { disconnectedAt, expiryS } = session
    return { position: session.outbox.cursor().position, disconnectedAt, expiryS }
  }

  async copy(clientId: string, { node, id }: ShadowPlace, storeId: number, cuts: Cuts): Promise<number> {
    const { sessions, house } = this.#parts
    const session = sessions.get(clientId)
    if (session === undefined) return 0
    const streams = [nodeStream(node)]
    let last = 0
    for await (const { messages, isLast } of readCopies(house, session, { clientId: id, storeId }, cuts)) {
      if (session.ended || session.isLeaving) return last
      for (const message of messages) last = this.#store.append(message, streams)
      if (isLast) last = this.#store.append(endMessage(id, storeId), streams)
      await committed(this.#store)
    }
    return last
  }

  cover(clientId: string, upTo: number): void {
    const session = this.#parts.sessions.get(clientId)
    if (session !== undefined) session.coveredUpTo = upTo
  }

  stay(clientId: string): void {
    const session = this.#parts.sessions.get(clientId)
    if (session !== undefined) session.isLeaving = false
  }

  adopt(state: SessionState): void {
    this.#parts.sessions.adopt(state)
    // Whoever resumes a session is asked for its filters at CONNECT; here CONNECT was before.
    const connection = this.#parts.connectionOf(state.session.clientId)
    if (connection !== undefined) reauthorize(connection).catch((error: unknown) => connection.failed(error))
  }

  end(clientId: string): void {
    const session = this.#parts.sessions.get(clientId)
    if (session !== undefined) this.#parts.sessions.forget(session)
  }

  await(clientId: string): void {
    this.#parts.sessions.get(clientId)?.outbox.awaitArrivals()
  }

  split(clientId: string, cuts: Cuts): void {
    const session = this.#parts.sessions.get(clientId)
    if (session !== undefined) session.cuts = cuts
  }

  release(clientId: string): void {
    this.#parts.sessions.get(clientId)?.outbox.haveArrived()
  }

  async handOver(clientId: string, node: string, storeId: number, cuts: Cuts, keeps: boolean): Promise<number> {
    const { sessions, house } = this.#parts
    const session = sessions.get(clientId)
    if (session === undefined) return 0
    const streams = [nodeStream(node)]
    let last = 0
    for await (const { messages, upTo, isLast } of readUnread(house, session, storeId, cuts)) {
      if (session.ended || !session.isLeaving) return last
      // It would be forgotten here, and not be on its way.
      if (this.#store.failure !== undefined) throw this.#store.failure
      // In one step with what follows, so that after a crash each message is at one node.
      const append = (): void => {
        for (const message of messages) last = this.#store.append(message, streams)
        if (isLast) last = this.#store.append(endMessage(clientId, storeId), streams)
      }
      append()
      if (isLast && !keeps) sessions.forget(session, 'moved')
      else session.outbox.leaveBehind(upTo)
      await committed(this.#store).catch(() => this.#appendAgain(append))
    }
    return last
  }

  /** The batch failed, and what was forgotten with it is forgotten as soon as the store works again: then this comes, too. */
  async #appendAgain(append: () => void): Promise<void> {
    while (!this.#isStopped) {
      await wait(againMs, undefined, { ref: false })
      if (this.#store.failure !== undefined) continue
      append()
      const isStored = await committed(this.#store).then(
        () => true,
        () => false,
      )
      if (isStored) return
    }
  }

  /** Of another node, for a session: it has its place in the log when the call returns. */
  take(message: Message): Promise<void> {
    const { sessions, shadows, house, dispatcher, moves } = this.#parts
    const via = message.via ?? ''
    const ended = arrivedClientId(via)
    if (ended !== undefined && isShadowId(ended)) shadows.complete(ended)
    if (ended !== undefined) return committed(this.#store).then(() => moves?.arrived(ended))
    const handed = parseHandedOver(via)
    if (handed === undefined) return Promise.resolve()
    const { clientId } = handed
    if (isShadowId(clientId)) {
      shadows.take(clientId, message)
      return committed(this.#store)
    }
    const session = sessions.get(clientId)
    const sequence = this.#store.append(message, [arrivalStream(clientId)])
    if (session !== undefined) noteInFlight(session, handed, sequence)
    return committed(this.#store).then(() => {
      dispatcher.fedSequence = Math.max(dispatcher.fedSequence, sequence)
      const now = sessions.get(clientId)
      if (session === undefined || now !== session) moves?.strayed(clientId)
      else offerArrived(house, session, message, sequence)
    })
  }

  *strays(): IterableIterator<string> {
    for (const stream of this.#store.streams()) {
      const clientId = stream.slice(2)
      if (!isArrival(stream) || isShadowId(clientId)) continue
      if (this.#parts.sessions.get(clientId) === undefined) yield clientId
    }
  }

  async sendOn(clientId: string, node: string | undefined): Promise<number> {
    const stream = arrivalStream(clientId)
    // Where the session is here they go behind the others in the same stream: those are not met again.
    const upTo = this.#store.lastSequence
    let last = 0
    for (let after = 0; ; ) {
      const read = await this.#store.read([{ stream, after, upTo }], strayMessages)
      if (this.#parts.sessions.get(clientId) !== undefined && node !== undefined) return last
      for (const { message } of read.entries) {
        if (node !== undefined) last = this.#store.append(message, [nodeStream(node)])
        else void this.take(message).catch(ignore)
      }
      await committed(this.#store)
      this.#store.trim(stream, Math.min(read.through, upTo))
      if (read.end) return last
      after = read.through
    }
  }

  drop(clientId: string): void {
    this.#store.trim(arrivalStream(clientId), this.#store.lastSequence)
  }
}

function stateOf({ record, subscriptions, inbound }: Session): SessionState {
  return {
    session: record,
    subscriptions: [...subscriptions.values()].map(({ record: subscription }) => subscription),
    inbound: [...(inbound ?? [])],
  }
}

function localSession(session: Session, isConnected: boolean): LocalSession {
  const { clientId, username, expiryS, persistent, isLeaving } = session
  const { createdAt } = session.record
  return { clientId, username, createdAt, expiryS, isPersistent: persistent, isLeaving, isConnected }
}

function endMessage(clientId: string, storeId: number): Message {
  return {
    topic: '',
    payload: Buffer.alloc(0),
    qos: 1,
    retain: false,
    properties: undefined,
    clientId: '',
    username: '',
    publishedAt: Date.now(),
    expiresAt: undefined,
    via: endVia(clientId),
    origin: { storeId, sequence: 0 },
  }
}

function ignore(): void {}
