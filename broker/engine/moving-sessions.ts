// Sessions on their way between nodes: what this node gives away, what it takes up, and what is handed over for them.
import { type LocalSession, nodeStream, type SessionHouse, type SessionState } from '../cluster/cluster.ts'
import { noteInFlight, offerArrived } from '../delivery/arrived.ts'
import { arrivedClientId, type Cuts, endVia, parseHandedOver } from '../delivery/handed-over.ts'
import type { DeliveryHouse } from '../delivery/house.ts'
import type { Session } from '../delivery/session.ts'
import { readUnread } from '../delivery/unread.ts'
import type { Message } from '../message.ts'
import { arrivalStream, isArrival, type Store } from '../store/store.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { Sessions } from './sessions.ts'
import type { Wills } from './wills.ts'

/** Messages of a session that went on, in one piece. */
const strayMessages = 500

export interface MovingParts {
  readonly house: DeliveryHouse
  readonly sessions: Sessions
  readonly wills: Wills
  readonly dispatcher: Dispatcher
  isConnected(clientId: string): boolean
  /** Ends its connection, as another one with the same client id does. */
  takeOver(clientId: string): void
}

export class MovingSessions implements SessionHouse {
  readonly #parts: MovingParts
  readonly #store: Store

  constructor(parts: MovingParts) {
    this.#parts = parts
    this.#store = parts.house.store
  }

  find(clientId: string): LocalSession | undefined {
    const session = this.#parts.sessions.get(clientId)
    if (session === undefined) return undefined
    return localSession(session, this.#parts.isConnected(clientId))
  }

  *all(): IterableIterator<LocalSession> {
    const { sessions } = this.#parts
    for (const isConnected of [true, false]) {
      for (const session of sessions.awake()) {
        if ((session.disconnectedAt === undefined) === isConnected) yield localSession(session, isConnected)
      }
    }
    for (const { session } of sessions.asleep()) {
      const { clientId, username, expiryS } = session
      yield { clientId, username, expiryS, isPersistent: true, isLeaving: false, isConnected: false }
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
    return {
      session: session.record,
      subscriptions: [...session.subscriptions.values()].map(({ record }) => record),
      inbound: [...(session.inbound ?? [])],
    }
  }

  stay(clientId: string): void {
    const session = this.#parts.sessions.get(clientId)
    if (session !== undefined) session.isLeaving = false
  }

  adopt(state: SessionState): void {
    this.#parts.sessions.adopt(state)
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
      // In one step with what follows, so that after a crash each message is at one node.
      for (const message of messages) last = this.#store.append(message, streams)
      if (isLast) last = this.#store.append(endMessage(clientId, storeId), streams)
      if (isLast && !keeps) sessions.forget(session)
      else session.outbox.leaveBehind(upTo)
      await this.#committed()
    }
    return last
  }

  /** Of another node, for a session: it has its place in the log when the call returns. */
  take(message: Message, arrived: (clientId: string) => void, strayed: (clientId: string) => void): Promise<void> {
    const { sessions, house, dispatcher } = this.#parts
    const via = message.via ?? ''
    const ended = arrivedClientId(via)
    if (ended !== undefined) return this.#committed().then(() => arrived(ended))
    const handed = parseHandedOver(via)
    if (handed === undefined) return Promise.resolve()
    const { clientId } = handed
    const session = sessions.get(clientId)
    const sequence = this.#store.append(message, [arrivalStream(clientId)])
    if (session !== undefined) noteInFlight(session, handed, sequence)
    return this.#committed().then(() => {
      dispatcher.fedSequence = Math.max(dispatcher.fedSequence, sequence)
      const now = sessions.get(clientId)
      if (session === undefined || now !== session) strayed(clientId)
      else offerArrived(house, session, message, sequence)
    })
  }

  *strays(): IterableIterator<string> {
    for (const stream of this.#store.streams()) {
      if (isArrival(stream) && this.#parts.sessions.get(stream.slice(2)) === undefined) yield stream.slice(2)
    }
  }

  async sendOn(clientId: string, node: string | undefined): Promise<number> {
    const stream = arrivalStream(clientId)
    let last = 0
    for (let after = 0; ; ) {
      const read = await this.#store.read([{ stream, after }], strayMessages)
      if (this.#parts.sessions.get(clientId) !== undefined && node !== undefined) return last
      for (const { message } of read.entries) {
        if (node !== undefined) last = this.#store.append(message, [nodeStream(node)])
        else void this.take(message, ignore, ignore).catch(ignore)
      }
      this.#store.trim(stream, read.through)
      await this.#committed()
      if (read.end) return last
      after = read.through
    }
  }

  drop(clientId: string): void {
    this.#store.trim(arrivalStream(clientId), this.#store.lastSequence)
  }

  #committed(): Promise<void> {
    return new Promise((resolve, reject) =>
      this.#store.commit((error) => (error === undefined ? resolve() : reject(error))),
    )
  }
}

function localSession(session: Session, isConnected: boolean): LocalSession {
  const { clientId, username, expiryS, persistent, isLeaving } = session
  return { clientId, username, expiryS, isPersistent: persistent, isLeaving, isConnected }
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
