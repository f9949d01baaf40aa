// All sessions of this node: who owns which, which is connected, which has ended (MQTT 4.1).
import type { Cluster, SessionState } from '../cluster/cluster.ts'
import { isShadowId } from '../cluster/replication.ts'
import type { DeliveryHouse } from '../delivery/house.ts'
import { Session } from '../delivery/session.ts'
import { Subscription } from '../delivery/subscription.ts'
import type { ClientInfo } from '../plugin.ts'
import { clientInfoOf, formerClientOf } from '../protocol/former-client.ts'
import type { Opened, Refusal, SessionWish } from '../protocol/host.ts'
import { reason } from '../protocol/reason-codes.ts'
import { parseShare } from '../protocol/topics.ts'
import type { Router } from '../router/router.ts'
import type { RecoveredSession, RecoveredSessions, SubscriptionRecord } from '../store/store.ts'
import { Deadlines } from './deadlines.ts'
import { Sleepers } from './sleepers.ts'

/** Sleeping sessions that end in one second at most: the others wait for the next. */
const expiredPerTick = 2_000

export const ofAnotherUser: Refusal = {
  refused: reason.notAuthorized,
  because: 'the client id belongs to another user',
}

export class Sessions {
  readonly #house: DeliveryHouse
  readonly #router: Router<Subscription>
  /** Undefined: the broker is alone. */
  readonly #cluster: Pick<Cluster, 'moves' | 'replicas'> | undefined
  readonly #byClientId = new Map<string, Session>()
  /** Persistent sessions of each user, oldest first. */
  readonly #byUser = new Map<string, Set<Session>>()
  readonly #expiries = new Deadlines<Session>()
  /** Those of the start that nobody has asked for. */
  #sleepers = new Sleepers([])
  readonly #startedAt = Date.now()
  #subscriptions = 0

  constructor(house: DeliveryHouse, router: Router<Subscription>, cluster?: Pick<Cluster, 'moves' | 'replicas'>) {
    this.#house = house
    this.#router = router
    this.#cluster = cluster
  }

  get size(): number {
    return this.#byClientId.size + this.#sleepers.size
  }

  get subscriptions(): number {
    return this.#subscriptions
  }

  /** Makes the session if it slept. */
  get(clientId: string): Session | undefined {
    const known = this.#byClientId.get(clientId)
    if (known !== undefined || this.#sleepers.size === 0) return known
    const found = this.#sleepers.wake(clientId)
    return found && this.#make(found)
  }

  /** All that are made. */
  awake(): IterableIterator<Session> {
    return this.#byClientId.values()
  }

  asleep(): IterableIterator<RecoveredSession> {
    return this.#sleepers.all()
  }

  /**
   * What the store kept. A session that was connected when the process ended counts as disconnected now. `shadow`: it is
   * another node's.
   */
  recover(sessions: RecoveredSessions, shadow: (found: RecoveredSession) => void = ignore): void {
    this.#sleepers = new Sleepers(sessions)
    let index = 0
    for (const found of sessions) {
      if (isShadowId(found.session.clientId)) shadow(found)
      else this.#recoverOne(found, index)
      index += 1
    }
  }

  #recoverOne(found: RecoveredSession, index: number): void {
    const { clientId, expiryS, disconnectedAt = this.#startedAt } = found.session
    if (expiryS === 0) {
      // It was to end with its connection, and the connection ended with the process.
      this.#house.store.deleteSession(clientId)
      this.#cluster?.moves.ended(clientId)
      return
    }
    if (found.session.disconnectedAt === undefined) this.#house.store.putSession({ ...found.session, disconnectedAt })
    this.#subscriptions += found.subscriptions.length
    for (const { filter, qos } of found.subscriptions) {
      if (parseShare(filter) === undefined) this.#router.addUnmade(filter, qos > 0)
    }
    if (found.subscriptions.every(maySleep)) this.#sleepers.add(index, found, disconnectedAt + expiryS * 1000)
    else this.#make(found)
  }

  /** Its subscriptions are counted already; members of groups are known to the router from here on. */
  #make(found: RecoveredSession): Session {
    const disconnectedAt = found.session.disconnectedAt ?? this.#startedAt
    const session = new Session(this.#house, { ...found.session, disconnectedAt })
    if (session.member !== undefined) session.lastClient = clientInfoOf(session.clientId, session.member)
    session.outbox.recover(found.cursor)
    if (found.inbound.length > 0) session.inbound = new Set(found.inbound)
    this.#keep(session)
    for (const record of found.subscriptions) {
      const parsed = parseShare(record.filter)
      const split = { filter: parsed?.filter ?? record.filter, share: parsed?.share }
      const subscription = new Subscription(session, record, split, undefined)
      session.hold(subscription)
      if (parsed !== undefined) this.#router.add(subscription.filter, subscription.share, subscription)
      if (record.retainedPending) session.outbox.offerRetained([record.filter])
    }
    this.#expiries.set(session, session.expiresAt ?? disconnectedAt)
    return session
  }

  /** A shadow becomes a session. What it collects is known to the router already; with QoS 0 nothing of it is. */
  takeUp(found: RecoveredSession): Session {
    const { store } = this.#house
    const { clientId } = found.session
    store.putSession(found.session)
    for (const record of found.subscriptions) {
      store.putSubscription(clientId, record)
      if (record.qos === 0 && parseShare(record.filter) === undefined) this.#router.addUnmade(record.filter, false)
    }
    for (const packetId of found.inbound) store.putInbound(clientId, packetId)
    if (found.cursor !== undefined) store.putCursor(clientId, found.cursor)
    this.#subscriptions += found.subscriptions.length
    const session = this.#make(found)
    this.#cluster?.replicas.changed(clientId)
    return session
  }

  /** The owner's session, or a new one; refused when the client id belongs to somebody else. */
  refusal(wish: SessionWish): Refusal | undefined {
    const known = this.get(wish.info.id)
    if (known === undefined || known.username === wish.info.identity.username) return undefined
    return ofAnotherUser
  }

  /** Nobody is connected to the session now. Takes it up, or replaces it at a clean start (MQTT-3.1.2-4, -5). */
  open(wish: SessionWish): Omit<Opened, 'replaced'> {
    const known = this.get(wish.info.id)
    if (known !== undefined && !wish.cleanStart && !this.#isExpired(known)) {
      known.expiryS = wish.expiryS
      known.disconnectedAt = undefined
      known.lastClient = undefined
      if (isInGroup(known)) known.member = formerClientOf(wish.info, this.#house.hooks)
      this.#expiries.clear(known)
      this.#house.store.putSession(known.record)
      this.setOnline(known, true)
      if (known.persistent) this.#cluster?.replicas.moved(known.clientId)
      return { session: known, present: true }
    }
    if (known !== undefined) this.forget(known)
    const session = new Session(this.#house, {
      clientId: wish.info.id,
      username: wish.info.identity.username,
      expiryS: wish.expiryS,
      disconnectedAt: undefined,
      createdAt: Date.now(),
    })
    this.#keep(session)
    if (session.persistent) {
      const { store } = this.#house
      // In the batch of the session: after a crash it is not given what was kept for the one before it of this name.
      store.putCursor(session.clientId, { position: store.lastSequence, done: [], inflight: [] })
      store.putSession(session.record)
      this.#cluster?.replicas.opened(session.clientId)
      this.#limitUser(session)
    }
    return { session, present: false }
  }

  /** The connection is gone: the session goes with it, or waits for its next one. True: it ended. */
  disconnected(session: Session, client: ClientInfo): boolean {
    for (const subscription of session.subscriptions.values()) subscription.barred = false
    const isMember = isInGroup(session)
    if (isMember) session.lastClient = client
    session.member = isMember ? formerClientOf(client, this.#house.hooks) : undefined
    this.setOnline(session, false)
    session.outbox.detach()
    if (session.expiryS === 0) {
      this.end(session)
      return true
    }
    session.disconnectedAt = Date.now()
    this.#house.store.putSession(session.record)
    this.#cluster?.replicas.moved(session.clientId)
    this.#expiries.set(session, session.expiresAt ?? 0)
    return false
  }

  /** Its time is over, or its client left it. */
  end(session: Session): void {
    if (session.ended) return
    this.forget(session)
    this.#cluster?.moves.ended(session.clientId)
  }

  /** Forgets a session and all that was kept for it. `moved`: another node has it. */
  forget(session: Session, why: 'ended' | 'moved' = 'ended'): void {
    if (session.ended) return
    session.ended = true
    session.lastClient = undefined
    if (session.persistent) this.#cluster?.replicas.gone(session.clientId, why)
    this.#expiries.clear(session)
    for (const subscription of session.subscriptions.values()) this.#leave(subscription)
    session.subscriptions.clear()
    this.#byClientId.delete(session.clientId)
    const ofUser = this.#byUser.get(session.username)
    ofUser?.delete(session)
    if (ofUser?.size === 0) this.#byUser.delete(session.username)
    if (session.persistent) this.#house.store.deleteSession(session.clientId)
  }

  /** A session of another node, which goes on collecting until this one has told all what it subscribes to. */
  adopt({ session: record, subscriptions, inbound }: SessionState): void {
    const disconnectedAt = record.disconnectedAt ?? Date.now()
    const session = this.get(record.clientId) ?? new Session(this.#house, { ...record, disconnectedAt })
    const { store } = this.#house
    if (this.#byClientId.get(record.clientId) === undefined) this.#keep(session)
    store.putSession(session.record)
    session.inbound ??= new Set()
    for (const packetId of inbound) {
      session.inbound.add(packetId)
      store.putInbound(session.clientId, packetId)
    }
    for (const found of subscriptions) {
      if (session.subscriptions.has(found.filter)) continue
      const parsed = parseShare(found.filter)
      const split = { filter: parsed?.filter ?? found.filter, share: parsed?.share }
      const since = { ...found, since: store.lastSequence, keptUntil: 0 }
      this.subscribe(new Subscription(session, since, split, undefined), undefined)
      if (found.retainedPending) session.outbox.offerRetained([found.filter])
    }
    this.#expiries.set(session, session.expiresAt ?? disconnectedAt)
  }

  /** `client` is undefined where it comes from another node. */
  subscribe(subscription: Subscription, client: ClientInfo | undefined): void {
    const { session } = subscription
    if (client !== undefined && subscription.share !== undefined) this.#keepMember(session, client)
    const before = session.subscriptions.get(subscription.record.filter)
    this.#router.newest += before === undefined ? 1 : 0
    subscription.number = before?.number ?? this.#router.newest
    if (before !== undefined && !subscription.queueing) {
      const keptUntil = before.queueing ? this.#house.store.lastSequence : before.record.keptUntil
      subscription.record = { ...subscription.record, keptUntil }
    }
    this.#enter(subscription)
    if (session.disconnectedAt === undefined) {
      this.#router.setOnline(subscription.filter, subscription.share, subscription, true)
    }
    // Only now, so that the route stays: messages on their way through the commit hold on to it (MQTT-3.8.4-4).
    if (before !== undefined) this.#leave(before)
    if (session.persistent) this.#putSubscription(subscription)
  }

  #keepMember(session: Session, client: ClientInfo): void {
    if (session.member !== undefined || !session.persistent) return
    session.member = formerClientOf(client, this.#house.hooks)
    this.#house.store.putSession(session.record)
  }

  changeSubscription(session: Session, filter: string, change: Pick<SubscriptionRecord, 'automatic'>): void {
    const subscription = session.subscriptions.get(filter)
    if (subscription === undefined) return
    subscription.record = { ...subscription.record, ...change }
    if (session.persistent) this.#putSubscription(subscription)
  }

  unsubscribe(session: Session, filter: string): boolean {
    const subscription = session.subscriptions.get(filter)
    if (subscription === undefined) return false
    this.#leave(subscription)
    session.subscriptions.delete(filter)
    if (session.persistent) {
      this.#house.store.deleteSubscription(session.clientId, filter)
      this.#cluster?.replicas.changed(session.clientId)
    }
    return true
  }

  setOnline(session: Session, online: boolean): void {
    for (const subscription of session.subscriptions.values()) {
      this.#router.setOnline(subscription.filter, subscription.share, subscription, online)
    }
  }

  /** Ends the sessions whose time is over (MQTT-3.1.2-23); returns them. */
  endExpired(now: number): Session[] {
    for (const found of this.#sleepers.wakeExpired(now, expiredPerTick)) this.#make(found)
    const due = this.#expiries.due(now).filter((session) => session.disconnectedAt !== undefined)
    for (const session of due) this.end(session)
    return due
  }

  #isExpired(session: Session): boolean {
    return session.expiresAt !== undefined && session.expiresAt <= Date.now()
  }

  #keep(session: Session): void {
    this.#byClientId.set(session.clientId, session)
    if (!session.persistent) return
    const ofUser = this.#byUser.get(session.username) ?? new Set()
    this.#byUser.set(session.username, ofUser)
    ofUser.add(session)
  }

  /** Those without a name of their own share none: the limit is for each user. */
  #limitUser(newest: Session): void {
    const { username } = newest
    if (username === '') return
    const awake = this.#byUser.get(username)
    const asleep = this.#sleepers.size === 0 ? 0 : this.#sleepers.countOf(username)
    if (awake === undefined || awake.size + asleep <= this.#house.limits.sessionsPerUser) return
    const older = this.#sleepers.wakeAllOf(username).map((found) => this.#make(found))
    const ofUser = new Set([...older, ...awake])
    this.#byUser.set(username, ofUser)
    for (const session of ofUser) {
      if (session === newest || session.disconnectedAt === undefined || session.isLeaving) continue
      this.#house.log.warn(
        { clientId: session.clientId, username: session.username },
        'oldest offline session ended: too many of this user',
      )
      this.end(session)
      return
    }
  }

  #putSubscription({ session: { clientId }, record }: Subscription): void {
    this.#house.store.putSubscription(clientId, record)
    this.#cluster?.replicas.changed(clientId)
  }

  #enter(subscription: Subscription): void {
    subscription.session.hold(subscription)
    this.#router.add(subscription.filter, subscription.share, subscription)
    this.#subscriptions += 1
  }

  #leave(subscription: Subscription): void {
    this.#router.remove(subscription.filter, subscription.share, subscription)
    this.#subscriptions -= 1
  }
}

function isInGroup({ subscriptions }: Session): boolean {
  for (const { share } of subscriptions.values()) if (share !== undefined) return true
  return false
}

/** Members of shared groups are chosen among, and who waits for retained messages has them walked: they are made. */
function maySleep({ filter, retainedPending }: SubscriptionRecord): boolean {
  return !retainedPending && parseShare(filter) === undefined
}

function ignore(): void {}
