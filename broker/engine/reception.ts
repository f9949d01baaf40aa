// Where connections arrive and leave: admission, takeover, sessions and wills; the house that they live in.

import type { Cluster } from '../cluster/cluster.ts'
import type { Delivery } from '../delivery/delivery.ts'
import type { DeliveryHouse } from '../delivery/house.ts'
import type { Link } from '../delivery/link.ts'
import type { Session } from '../delivery/session.ts'
import type { Subscription } from '../delivery/subscription.ts'
import type { IncomingConnection } from '../listeners/listener.ts'
import type { Message } from '../message.ts'
import type { ClientInfo } from '../plugin.ts'
import { Connection } from '../protocol/connection.ts'
import type { ConnectionHost, Ending, Opened, Origin, Refusal, SessionWish } from '../protocol/host.ts'
import { reason } from '../protocol/reason-codes.ts'
import type { Router } from '../router/router.ts'
import type { Recovered, SubscriptionRecord } from '../store/store.ts'
import { Admission } from './admission.ts'
import type { BrokerParts } from './broker.ts'
import { Deadlines } from './deadlines.ts'
import type { Dispatcher, Published } from './dispatcher.ts'
import { MovingSessions } from './moving-sessions.ts'
import { Paces } from './paces.ts'
import { Rights } from './rights.ts'
import { commitSent, settledElsewhere } from './second-copy.ts'
import { sendAway } from './sending-away.ts'
import { ofAnotherUser, Sessions } from './sessions.ts'
import { Shadows } from './shadows.ts'
import { Wills } from './wills.ts'

/** Credentials end to this precision. */
export const expiryStepMs = 100

export type ClientEvent = 'client' | 'clientReady' | 'clientDisconnect' | 'ping' | 'connackSent'

/** What the broker wants to hear. */
export interface Audience {
  /** False: nobody wants to be told of messages. */
  readonly listens: boolean
  told(message: Message, client: ClientInfo | undefined): void
  emitEvent(event: ClientEvent, connection: Connection): void
  /** How many clients are connected now. */
  changed(connected: number): void
}

const supersededElsewhere: Refusal = {
  refused: reason.serverUnavailable,
  because: 'a later connection came to another node',
}

const beingDrained: Refusal = { refused: reason.useAnotherServer, because: 'this node is being drained' }

export class Reception implements ConnectionHost, DeliveryHouse {
  readonly limits
  readonly hooks
  readonly counts
  readonly store
  readonly log
  readonly #cluster
  readonly sessions: Sessions
  readonly shadows: Shadows
  readonly wills: Wills
  readonly moving: MovingSessions
  readonly mayArrive: boolean
  readonly #dispatcher: Dispatcher
  readonly #admission: Admission
  readonly #paces: Paces
  /** All that were accepted, with CONNECT or without. */
  readonly #connections = new Set<Connection>()
  readonly #byClientId = new Map<string, Connection>()
  /** It is known who they are, and they have no session yet. */
  readonly #entering = new Set<Connection>()
  /** When their credentials end. */
  readonly #expiries = new Deadlines<Connection>(expiryStepMs)
  readonly rights: Rights
  /** Sessions whose cursor moved since the last checkpoint. */
  #moved = new Set<Session>()
  #audience!: Audience
  #closing = false
  /** While clients are sent away: where to. */
  #elsewhere: (() => string | undefined) | undefined

  constructor(parts: BrokerParts, dispatcher: Dispatcher, router: Router<Subscription>) {
    this.limits = parts.limits
    this.hooks = parts.hooks
    this.counts = parts.counts
    this.store = parts.store
    this.log = parts.log
    this.#cluster = parts.cluster
    this.#dispatcher = dispatcher
    this.#admission = new Admission(parts.limits, parts.bans, parts.counts)
    this.#paces = new Paces(parts.limits)
    this.mayArrive = parts.cluster !== undefined
    this.rights = new Rights(this)
    this.sessions = new Sessions(this, router, parts.cluster)
    this.shadows = new Shadows({ store: parts.store, router, sessions: this.sessions, dispatcher })
    const publish = (message: Message): void => this.publish(message, undefined, ignore)
    this.wills = new Wills({ ...parts, cluster: parts.cluster?.wills, publish })
    this.moving = new MovingSessions({
      house: this,
      sessions: this.sessions,
      shadows: this.shadows,
      wills: this.wills,
      dispatcher,
      moves: parts.cluster?.moves,
      connectionOf: (clientId) => this.#byClientId.get(clientId),
      takeOver: (clientId) => this.#takeOver(clientId),
    })
  }

  enter(audience: Audience): void {
    this.#audience = audience
  }

  get fedSequence(): number {
    return this.#dispatcher.fedSequence
  }

  get connected(): number {
    return this.#byClientId.size
  }

  /** With and without CONNECT. */
  get accepted(): number {
    return this.#connections.size
  }

  connections(): IterableIterator<Connection> {
    return this.#byClientId.values()
  }

  connectionOf(clientId: string): Connection | undefined {
    return this.#byClientId.get(clientId)
  }

  /** Those of whom it is known who they are, also if they have no session yet. */
  *identifiedAs(clientId: string): IterableIterator<Connection> {
    const connected = this.#byClientId.get(clientId)
    if (connected !== undefined) yield connected
    for (const connection of this.#entering) if (connection.id === clientId) yield connection
  }

  *known(): IterableIterator<Connection> {
    yield* this.#byClientId.values()
    yield* this.#entering
  }

  recover({ sessions, wills }: Recovered): void {
    this.#dispatcher.enter(this)
    this.sessions.recover(sessions, (found) => this.shadows.recover(found))
    this.wills.recover(wills, (clientId) => this.sessions.get(clientId)?.expiryS ?? 0)
  }

  get isDraining(): boolean {
    return this.#elsewhere !== undefined
  }

  /**
   * Clients go elsewhere, `perS` a second, and whoever comes meanwhile is sent on; each is told one of the places in its
   * turn. Resolves with how many went, early when the signal says stop. It stays so until `stay`.
   */
  sendAway(perS: number, places: () => readonly string[], signal: AbortSignal): Promise<number> {
    let turn = 0
    const elsewhere = (): string | undefined => {
      turn += 1
      return places()[turn % Math.max(1, places().length)]
    }
    this.#elsewhere = elsewhere
    const leaving = {
      connections: () => this.#byClientId.values(),
      open: () => this.#connections.size,
      sendOne: (connection: Connection) => connection.sendElsewhere('this node is being drained', elsewhere()),
    }
    return sendAway(leaving, perS, signal)
  }

  /** Nobody is sent away any more. */
  stay(): void {
    this.#elsewhere = undefined
  }

  accept(incoming: IncomingConnection): Connection {
    const connection = new Connection(this, incoming)
    this.#connections.add(connection)
    return connection
  }

  /** The certificate with which they came in proves nothing any more. */
  revoked(incoming: ReadonlySet<IncomingConnection>): void {
    for (const connection of this.#connections) {
      if (incoming.has(connection.peer)) connection.end(reason.notAuthorized, 'the client certificate was revoked')
    }
  }

  identified(connection: Connection): void {
    if (!connection.connected) this.#entering.add(connection)
    const { identity } = connection.info
    const { expiresAt } = identity
    this.#paces.take(connection, identity)
    if (expiresAt === undefined) this.#expiries.clear(connection)
    else this.#expiries.set(connection, expiresAt)
  }

  gone(connection: Connection): void {
    this.#connections.delete(connection)
    this.#entering.delete(connection)
    this.#expiries.clear(connection)
    this.#paces.letGo(connection)
  }

  admit(clientId: string, username: string | undefined, address: string): Refusal | undefined {
    return this.#admission.check(clientId, username, address)
  }

  admitIdentity(info: ClientInfo): Refusal | undefined {
    return this.#admission.checkIdentity(info)
  }

  banned(username: string | undefined, address: string): Refusal | undefined {
    return this.#admission.banned(username, address)
  }

  loginFailed(username: string | undefined, address: string): void {
    this.#admission.loginFailed(username, address)
  }

  open(connection: Connection, wish: SessionWish): Opened | Refusal | Promise<Opened | Refusal | undefined> {
    if (this.#elsewhere !== undefined) return { ...beingDrained, serverReference: this.#elsewhere() }
    return this.#cluster === undefined ? this.#open(connection, wish) : this.#claim(this.#cluster, connection, wish)
  }

  /** One after the other for each client id, and each takes over from the one before, wherever that is. */
  async #claim({ moves }: Cluster, connection: Connection, wish: SessionWish): Promise<Opened | Refusal | undefined> {
    const { id } = wish.info
    const { refused, done } = await moves.claim(wish.info, wish.cleanStart, wish.expiryS)
    try {
      if (refused === 'user') return ofAnotherUser
      if (refused === 'superseded') return supersededElsewhere
      if (!connection.closed) return this.#open(connection, wish)
      if (this.sessions.get(id) === undefined) moves.ended(id)
      return undefined
    } finally {
      done()
    }
  }

  #takeOver(clientId: string): void {
    this.#byClientId.get(clientId)?.end(reason.sessionTakenOver, 'another connection took over the session')
  }

  /** One step without a pause: however many connect with one client id, each takes over from the one before. */
  #open(connection: Connection, wish: SessionWish): Opened | Refusal {
    const refusal = this.sessions.refusal(wish)
    if (refusal !== undefined) return refusal
    const { id } = wish.info
    const hadStored = this.sessions.get(id)?.persistent === true
    this.#takeOver(id)
    // The will of the connection before: silent if its session goes on, published if that ends (MQTT-3.1.3-9).
    const opened = this.sessions.open(wish)
    if (opened.present) this.wills.disarm(id)
    else this.wills.fire(id)
    if (wish.will !== undefined) this.wills.arm(wish.info, wish.will, wish.expiryS)
    this.#entering.delete(connection)
    this.#byClientId.set(id, connection)
    this.#changed()
    this.#audience.emitEvent('client', connection)
    return { ...opened, replaced: hadStored && !opened.present }
  }

  closed(connection: Connection, { withWill, phrase, welcomed }: Ending): void {
    const { info, session } = connection
    this.#byClientId.delete(info.id)
    this.sessions.disconnected(session, info)
    if (withWill) this.wills.release(info.id, session.expiryS)
    else this.wills.disarm(info.id)
    this.#changed()
    this.#admission.left(info)
    if (welcomed) this.hooks.onDisconnected?.(info, phrase)
    this.#audience.emitEvent('clientDisconnect', connection)
  }

  publish(message: Message, origin: Origin | undefined, published: Published): void {
    if (this.hooks.onPublished === undefined && !this.#audience.listens) {
      this.#dispatcher.publish(message, origin, published)
      return
    }
    this.#dispatcher.publish(message, origin, (error, matched) => {
      published(error, matched)
      if (error !== undefined) return
      const client = this.#byClientId.get(message.clientId)?.info
      this.hooks.onPublished?.(message, client)
      this.#audience.told(message, client)
    })
  }

  subscribe(client: ClientInfo, subscription: Subscription): void {
    this.sessions.subscribe(subscription, client)
  }

  changeSubscription(session: Session, filter: string, change: Pick<SubscriptionRecord, 'automatic'>): void {
    this.sessions.changeSubscription(session, filter, change)
  }

  settled(session: Session): Promise<unknown> | undefined {
    return this.#cluster && settledElsewhere(this.#cluster, session)
  }

  unsubscribe(session: Session, filter: string): boolean {
    return this.sessions.unsubscribe(session, filter)
  }

  emitEvent(event: ClientEvent, connection: Connection): void {
    this.#audience.emitEvent(event, connection)
  }

  keepForOne(message: Message, session: Session, via: string): number {
    return this.#dispatcher.keepForOne(message, session, via)
  }

  /** When all leave at once, only those whose messages nobody keeps pass them on. */
  passOn(delivery: Delivery, from: Session): boolean {
    if (this.#closing && from.persistent) return false
    return this.#dispatcher.passOn(delivery, from)
  }

  passOnTurn(message: Message, via: string, from: Session): boolean {
    return this.#dispatcher.passOnTurn(message, via, from)
  }

  commitSent(session: Session, done: (error: Error | undefined) => void): void {
    commitSent(this.#cluster, this.store, session, done)
  }

  markMoved(session: Session): void {
    this.#moved.add(session)
  }

  tellSkipped(session: Session, messages: number): void {
    this.counts.messagesDropped.queue_full += messages
    this.log.warn({ clientId: session.clientId, messages }, 'queued messages were dropped: the queue was full')
  }

  countDrop(...[why, delivery, session]: Parameters<DeliveryHouse['countDrop']>): void {
    this.counts.messagesDropped[why] += 1
    this.hooks.onDropped?.(delivery.outgoing.message, session.clientId, why)
  }

  countDelivered({ qos, outgoing }: Delivery, link: Link | undefined): void {
    this.counts.messagesDelivered[qos === 0 ? 'qos0' : qos === 1 ? 'qos1' : 'qos2'] += 1
    if (this.hooks.onDelivered !== undefined && link !== undefined) this.hooks.onDelivered(outgoing.message, link.info)
  }

  /** Once a second: silent connections, expired sessions, wills whose delay is over. */
  tick(now: number): void {
    for (const connection of this.#connections) {
      if (connection.connected) {
        const silentMs = now - connection.intake.lastReceivedAt
        // Whom we do not listen to cannot be heard.
        if (silentMs > connection.terms.silenceMs && !connection.intake.held)
          connection.end(reason.keepAliveTimeout, 'keepalive timeout')
      } else if (!connection.closed && now - connection.peer.acceptedAt > this.limits.connectTimeoutMs) {
        connection.end(reason.maximumConnectTime, 'not connected in time')
      }
    }
    for (const session of this.sessions.endExpired(now)) this.wills.fire(session.clientId)
    this.wills.fireDue(now)
    this.#admission.forgetOld()
  }

  /** Credentials that have ended end their connections: at most `expiryStepMs` late if it is asked so often. */
  endExpired(now: number): void {
    for (const connection of this.#expiries.due(now)) {
      this.counts.identitiesExpired += 1
      connection.end(reason.maximumConnectTime, 'the credentials have expired')
    }
  }

  /** Writes how far sessions have come; what is lost with a crash is delivered again. */
  checkpoint(): void {
    if (this.#moved.size === 0) return
    const moved = this.#moved
    this.#moved = new Set()
    for (const session of moved) {
      if (session.ended) continue
      this.store.putCursor(session.clientId, session.outbox.cursor())
      this.#cluster?.replicas.moved(session.clientId)
    }
  }

  close(): void {
    this.#closing = true
    for (const connection of this.#connections) connection.close()
  }

  #changed(): void {
    this.#audience.changed(this.#byClientId.size)
  }
}

function ignore(): void {}
