// What one session still has to get: the window, the queue of live messages, the way back into the log.
//
// Live and offline are one mechanism. A session that keeps up is fed live. One that does not, or was away, is behind:
// it reads the log at its own pace, and while its last read runs, live messages collect, so that it joins the live
// feed without a gap. Order is kept throughout: unacknowledged first, then the log, then live (MQTT-4.6.0-5, -6).
import { errorText } from '../errors.ts'
import { reason } from '../protocol/reason-codes.ts'
import type { Cursor, InflightRecord } from '../store/store.ts'
import { firstReadMessages, nextReadMessages, readBacklog } from './backlog.ts'
import type { Delivery } from './delivery.ts'
import { isFormers } from './handed-over.ts'
import type { DeliveryHouse } from './house.ts'
import type { Link } from './link.ts'
import { Missed } from './missed.ts'
import { passOnShared } from './pass-on.ts'
import { Redelivery } from './redelivery.ts'
import { RetainedWalks } from './retained-walks.ts'
import { isCovered, letGoOfRevoked } from './revoked.ts'
import type { Session } from './session.ts'
import { Waiting } from './waiting.ts'
import { type Inflight, Window } from './window.ts'

/** At most this many messages for each read of the log, or as many as the window takes. */
const readMessages = 200

export class Outbox {
  readonly window: Window
  readonly #house: DeliveryHouse
  readonly #session: Session
  readonly #walks: RetainedWalks
  #link: Link | undefined
  readonly #redelivery: Redelivery
  /** Read from the log, waiting for the window. */
  readonly #backlog = new Waiting()
  /** Live messages, waiting for the window; above `#liveMaxBytes` they are left to the log, or the client is cut. */
  readonly #live = new Waiting()
  /** True: between `#readUpTo` and the live feed messages are missing; they are in the log. Always so while offline. */
  #behind = true
  #reading = false
  #readLimit = firstReadMessages
  /** While a read runs: live messages collect, and none was lost since it began. */
  #collecting = false
  /** While behind: everything up to here was sent, queued, or does not concern the session. */
  #readUpTo: number
  /** Something is read from or written to disk that must come first; nothing is sent meanwhile. */
  #gated = false
  /** Another node is handing over what comes before all else. */
  #awaited = false
  /** What was handed over is read first: up to here it was. Undefined: it was read to its end. */
  #arrivedUpTo: number | undefined
  readonly #missed: Missed

  constructor(house: DeliveryHouse, session: Session) {
    this.#house = house
    this.#session = session
    this.window = new Window(session.persistent)
    this.#readUpTo = house.fedSequence
    this.#walks = new RetainedWalks(house, session)
    this.#redelivery = new Redelivery(house, session, this.window)
    this.#missed = new Missed(house, session)
  }

  get link(): Link | undefined {
    return this.#link
  }

  /** Takes up what the store kept. Without a cursor the session starts at the beginning of its subscriptions. */
  recover(cursor: Cursor | undefined): void {
    this.#readUpTo = cursor?.position ?? 0
    if (cursor !== undefined) this.window.recover(cursor)
  }

  /** A connection serves the session from now on. What is not in the log begins with the live feed. */
  attach(link: Link): void {
    this.#link = link
    this.#behind = this.#session.persistent
    this.#arrivedUpTo = this.#house.mayArrive && this.#session.persistent ? this.#readUpTo : undefined
    this.#gated = this.#awaited
    if (!this.#awaited) this.#begin(link)
  }

  /** Nothing but QoS 0 is sent until `haveArrived`. */
  awaitArrivals(): void {
    this.#awaited = true
  }

  /** What another node handed over is there, or is no longer waited for. */
  haveArrived(): void {
    if (!this.#awaited) return
    this.#awaited = false
    this.#gated = false
    if (this.#link !== undefined) this.#begin(this.#link)
  }

  /** A message that its former node sent, and that was not acknowledged. False: its packet identifier is in use here. */
  owe(record: InflightRecord): boolean {
    if (this.window.get(record.packetId) !== undefined || (this.#link !== undefined && !this.#awaited)) return false
    this.window.recover({ position: 0, done: [], inflight: [record] })
    this.#house.store.putCursor(this.#session.clientId, this.cursor())
    return true
  }

  /** Another node has all that was sent, and what lies in the log up to here. */
  leaveBehind(upTo: number): void {
    this.window.clear()
    this.#readUpTo = upTo
    this.#house.store.putCursor(this.#session.clientId, this.cursor())
  }

  /** Rights were taken away: what waits and may not be delivered any more is let go. */
  recheck(): void {
    this.#session.rightsVersion += 1
    letGoOfRevoked(this.#house, this.#session, this.window, [this.#backlog, this.#live])
    const link = this.#link
    if (link !== undefined && this.#redelivery.length > 0 && !this.#gated) this.#loadThenPump(link)
    else this.pump()
  }

  #begin(link: Link): void {
    if (this.#redelivery.begin()) this.#loadThenPump(link)
    else this.pump()
  }

  /** The connection is gone. What a persistent session did not get is in the log. */
  detach(): void {
    if (this.#link === undefined) return
    const held = this.#missed.heldAt(this.#link)
    this.#link = undefined
    this.#missed.forget()
    this.#gated = false
    this.#reading = false
    this.#collecting = false
    this.#redelivery.end()
    passOnShared(this.#house, this.#session, this.window, [this.#backlog, this.#live])
    const cursor = this.cursor(held)
    this.#readUpTo = cursor.position
    this.#behind = true
    if (this.#session.persistent) this.#house.store.putCursor(this.#session.clientId, cursor)
    this.#backlog.clear()
    this.#live.clear()
  }

  /** A message of the live feed that concerns this session, which is connected. */
  offer(delivery: Delivery): void {
    const link = this.#link
    if (link === undefined) return
    if (delivery.qos === 0) {
      if (link.hasRoom) this.#send(link, delivery, 0)
      else this.#house.countDrop('output_full', delivery, this.#session)
      // It may be in the log from before the subscription was lowered to QoS 0.
      const { sequence } = delivery.outgoing
      this.pass(sequence)
      if (sequence > 0 && sequence <= this.#session.loweredAt) this.#writeNow()
      return
    }
    if (isFormers(this.#session.cuts, delivery.outgoing)) return this.pass(delivery.outgoing.sequence)
    if (this.#behind && !this.#collecting) return
    if (!this.#behind && !this.#waiting && this.#mayAdd(link)) {
      const packetId = this.window.add(delivery)
      if (this.#needsGate(delivery)) this.#sendWhenWritten(link, [this.window.get(packetId)!])
      else this.#send(link, delivery, packetId)
      return
    }
    this.#live.push(delivery)
    if (this.#live.bytes > this.#liveMaxBytes) this.#overflow(link)
    else if (this.#live.length === 1) this.pump()
  }

  /** A message of the log that was given by QoS 0, or that no subscription lets through: whatever comes, not again. */
  pass(sequence: number): void {
    if (sequence === 0 || !this.#session.persistent) return
    this.window.markDone(sequence)
    this.#house.markMoved(this.#session)
  }

  /** Retained messages of a new subscription, by the filter as the client wrote it (MQTT-3.3.1-9 … -11). */
  offerRetained(filters: readonly string[]): void {
    for (const filter of filters) this.#walks.add(filter)
    this.pump()
  }

  /** PUBACK, or PUBCOMP, or a PUBREC that refuses. False: this packet identifier was not in use for this QoS. */
  acknowledged(packetId: number, qos: 1 | 2): boolean {
    const entry = this.window.remove(packetId, qos)
    if (entry === undefined) return false
    this.#redelivery.forget(entry)
    this.#missed.confirmed(entry)
    if (this.#session.persistent) this.#house.markMoved(this.#session)
    if (entry.delivery !== undefined) this.#house.countDelivered(entry.delivery, this.#link)
    this.pump()
    return true
  }

  /** PUBREC: the message is the receiver's now, and PUBREL follows (MQTT-4.3.3-4). False: unknown packet identifier. */
  received(packetId: number): boolean {
    const entry = this.window.release(packetId)
    if (entry === undefined) return false
    this.#redelivery.forget(entry)
    this.#missed.confirmed(entry)
    if (entry.delivery !== undefined) this.#house.countDelivered(entry.delivery, this.#link)
    entry.delivery = undefined
    if (this.#session.persistent) this.#house.store.putCursor(this.#session.clientId, this.cursor())
    return true
  }

  /** Sends what may be sent now. Called whenever room comes back: an acknowledgement, a drained socket, a read. */
  pump(): void {
    const link = this.#link
    if (link === undefined || this.#gated || this.#isIdle || !this.#sendUnacknowledged(link)) return
    this.#missed.tell(link)
    const gated: Inflight[] = []
    let wasLowered = false
    const mayAdd = (): boolean => this.#mayAdd(link)
    // A write may end the connection, and then nothing here is ours any more.
    while (this.#link === link) {
      const delivery = this.#next(link, mayAdd)
      if (delivery === undefined) break
      if (delivery.outgoing.isExpired()) {
        this.pass(delivery.outgoing.sequence)
        this.#giveUp(0, delivery, 'expired')
        continue
      }
      const packetId = delivery.qos === 0 ? 0 : this.window.add(delivery)
      if (packetId === 0 && delivery.outgoing.sequence > 0) {
        // Before it leaves, which may end the connection; the cursor may stay below it for long.
        this.pass(delivery.outgoing.sequence)
        wasLowered = true
      }
      if (packetId > 0 && (gated.length > 0 || this.#needsGate(delivery))) gated.push(this.window.get(packetId)!)
      else this.#send(link, delivery, packetId)
    }
    if (this.#link !== link) return
    if (wasLowered) this.#writeNow()
    if (gated.length > 0) this.#sendWhenWritten(link, gated)
    if (this.#behind && !this.#reading && this.#backlog.length === 0) void this.#read(link)
  }

  /** How far the session has come: what the store must keep of it. Not past what the client must still be told. */
  cursor(held = this.#missed.heldAt(this.#link)): Cursor {
    const seen = this.#behind ? this.#readUpTo : this.#house.fedSequence
    return this.window.cursor(Math.min(seen, held, this.#backlog.firstSequence - 1, this.#live.firstSequence - 1))
  }

  /** Nothing waits: so it is at most acknowledgements of a session that keeps up. */
  get #isIdle(): boolean {
    return !this.#behind && !this.#waiting && this.#walks.isIdle && this.#missed.isNothing
  }

  /** What the log has too need not be in memory: a thousand slow clients would fill it. */
  get #liveMaxBytes(): number {
    const { queueBytes, outputLowBytes } = this.#house.limits
    return this.#session.persistent ? Math.min(queueBytes, outputLowBytes) : queueBytes
  }

  get #waiting(): boolean {
    return this.#gated || this.#live.length > 0 || this.#backlog.length > 0 || this.#redelivery.length > 0
  }

  #mayAdd(link: Link): boolean {
    return this.window.size < link.window && link.hasRoom
  }

  /** Exactly once: after a crash the message must be sent again under the same packet identifier (MQTT-4.4.0-1). */
  #needsGate(delivery: Delivery): boolean {
    return delivery.qos === 2 && this.#session.persistent
  }

  /** By the next commit, not by a checkpoint: what was queued and left with QoS 0 shall not come again after a crash. */
  #writeNow(): void {
    if (!this.#session.persistent || this.#session.ended) return
    this.#house.store.putCursor(this.#session.clientId, this.cursor(), 'now')
  }

  /** False: some must still wait. */
  #sendUnacknowledged(link: Link): boolean {
    while (this.#link === link && this.#redelivery.length > 0) {
      if (!this.#redelivery.sendNext(link)) return false
    }
    return this.#link === link
  }

  #next(link: Link, mayAdd: () => boolean): Delivery | undefined {
    if (this.#backlog.length > 0) return mayAdd() ? this.#backlog.shift() : undefined
    if (!this.#behind && this.#live.length > 0) return mayAdd() ? this.#live.shift() : undefined
    return this.#walks.take(link, mayAdd, () => this.pump())
  }

  /** What leaves at once is not too late, also if its Message Expiry Interval is 0; what waited was looked at before. */
  #send(link: Link, delivery: Delivery, packetId: number): void {
    if (!this.#missed.send(link, delivery, packetId, this.window)) this.#giveUp(packetId, delivery, 'too_large')
    else if (delivery.qos === 0) this.#house.countDelivered(delivery, this.#link)
    else if (this.#session.persistent) this.#house.markMoved(this.#session)
  }

  /** It will never be sent to this client; for the session it counts as delivered. */
  #giveUp(packetId: number, delivery: Delivery, why: 'expired' | 'too_large' | 'revoked'): void {
    if (packetId > 0) this.window.remove(packetId, delivery.qos === 2 ? 2 : 1)
    this.#house.countDrop(why, delivery, this.#session)
  }

  /** The packet identifiers of these messages are on disk before the messages leave. */
  #sendWhenWritten(link: Link, entries: readonly Inflight[]): void {
    const { rightsVersion } = this.#session
    this.#gated = true
    this.#writeNow()
    this.#house.commitSent(this.#session, (error) => {
      if (this.#link !== link) return
      if (error !== undefined) return link.end(reason.serverBusy, 'storage is not available')
      for (const entry of entries) {
        if (this.#link !== link || entry.delivery === undefined) continue
        const isSure =
          rightsVersion === this.#session.rightsVersion || isCovered(this.#session, entry.delivery) === true
        if (isSure) this.#send(link, entry.delivery, entry.packetId)
        else this.#giveUp(entry.packetId, entry.delivery, 'revoked')
      }
      this.#gated = false
      this.pump()
    })
  }

  #loadThenPump(link: Link): void {
    this.#gated = true
    const load = async (): Promise<void> => {
      if (!(await this.#redelivery.load(link, () => this.#link === link))) return
      this.#gated = false
      this.pump()
    }
    load().catch((error: unknown) => this.#readFailed(link, error))
  }

  async #read(link: Link): Promise<void> {
    const isArrived = this.#arrivedUpTo !== undefined
    this.#reading = true
    this.#collecting = !isArrived
    const upTo = this.#house.fedSequence
    const limit = this.#readLimit
    const after = this.#arrivedUpTo ?? this.#readUpTo
    const { rightsVersion } = this.#session
    try {
      const read = await readBacklog(this.#house, this.#session, { after, upTo, limit, isArrived })
      if (this.#link !== link) return
      this.#reading = false
      for (const delivery of read.deliveries) this.#backlog.push(delivery)
      if (rightsVersion !== this.#session.rightsVersion)
        letGoOfRevoked(this.#house, this.#session, this.window, [this.#backlog, this.#live])
      if (isArrived) {
        this.#arrivedUpTo = read.end ? undefined : read.upTo
        this.pump()
        return
      }
      this.#readUpTo = read.upTo
      this.#readLimit = nextReadMessages(limit, read, Math.max(readMessages, link.window))
      this.#missed.found(read, after)
      if (read.end && this.#collecting) this.#behind = false
      else this.#live.clear()
      this.#collecting = false
      this.pump()
    } catch (error) {
      this.#readFailed(link, error)
    }
  }

  #readFailed(link: Link, error: unknown): void {
    if (this.#link !== link) return
    this.#house.log.error(
      { clientId: this.#session.clientId, error: errorText(error) },
      'reading queued messages failed',
    )
    link.end(reason.serverBusy, 'storage is not available')
  }

  /** Too many wait. The log has them, for a session that is in the log; any other cannot be served any more. */
  #overflow(link: Link): void {
    if (!this.#session.persistent) {
      this.#house.counts.slowConsumersCut += 1
      link.end(reason.quotaExceeded, 'reads too slowly')
      return
    }
    if (!this.#behind) {
      this.#readUpTo = Math.min(this.#house.fedSequence, this.#live.firstSequence - 1)
      this.#behind = true
    }
    this.#live.clear()
    this.#collecting = false
    this.pump()
  }
}
