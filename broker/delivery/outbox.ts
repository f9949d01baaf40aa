// What one session still has to get: the window, the queue of live messages, the way back into the log.
//
// Live and offline are one mechanism. A session that keeps up is fed live. One that does not, or was away, is behind:
// it reads the log at its own pace, and while its last read runs, live messages collect, so that it joins the live
// feed without a gap. Order is kept throughout: unacknowledged first, then the log, then live (MQTT-4.6.0-5, -6).
import { errorText } from '../errors.ts'
import { reason } from '../protocol/reason-codes.ts'
import type { Cursor } from '../store/store.ts'
import { type Backlog, firstReadMessages, nextReadMessages, owed, readBacklog } from './backlog.ts'
import type { Delivery } from './delivery.ts'
import { Fifo } from './fifo.ts'
import { Gaps } from './gaps.ts'
import type { DeliveryHouse } from './house.ts'
import type { Link } from './link.ts'
import { RetainedWalks } from './retained-walks.ts'
import type { Session } from './session.ts'
import { firstSequence, sizeOf } from './waiting.ts'
import { type Inflight, Window } from './window.ts'

/** At most this many messages for each read of the log, or as many as the window takes. */
const readMessages = 200

export class Outbox {
  readonly window: Window
  readonly #house: DeliveryHouse
  readonly #session: Session
  readonly #walks: RetainedWalks
  #link: Link | undefined
  /** Sent on an earlier connection and not acknowledged: to be sent again, before all else. The next one is the last. */
  #resend: Inflight[] = []
  /** Read from the log, waiting for the window. */
  readonly #backlog = new Fifo<Delivery>()
  /** Live messages, waiting for the window; above `#liveMaxBytes` they are left to the log, or the client is cut. */
  readonly #live = new Fifo<Delivery>()
  #liveBytes = 0
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
  /** What fell off the session's queues and the client was not told. */
  #gaps: Gaps | undefined
  /** What was found missing up to here is counted. */
  #skippedUpTo = 0

  constructor(house: DeliveryHouse, session: Session) {
    this.#house = house
    this.#session = session
    this.window = new Window(session.persistent)
    this.#readUpTo = house.fedSequence
    this.#walks = new RetainedWalks(house, session)
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
    this.#resend = this.window.unacknowledged().reverse()
    const unknown = this.#resend.filter((entry) => !entry.released && entry.delivery === undefined)
    if (unknown.length > 0) this.#loadThenPump(link, unknown)
    else this.pump()
  }

  /** The connection is gone. What a persistent session did not get is in the log. */
  detach(): void {
    if (this.#link === undefined) return
    const held = this.#heldAt()
    this.#link = undefined
    this.#gaps = undefined
    this.#gated = false
    this.#reading = false
    this.#collecting = false
    this.#resend = []
    this.#passOnShared()
    const cursor = this.cursor(held)
    this.#readUpTo = cursor.position
    this.#behind = true
    if (this.#session.persistent) this.#house.store.putCursor(this.#session.clientId, cursor)
    this.#backlog.clear()
    this.#clearLive()
  }

  /** A message of the live feed that concerns this session, which is connected. */
  offer(delivery: Delivery): void {
    const link = this.#link
    if (link === undefined) return
    if (delivery.qos === 0) {
      if (link.hasRoom) this.#send(link, delivery, 0)
      else this.#house.countDrop('output_full', delivery, this.#session)
      // It may be in the log from before the subscription was lowered to QoS 0.
      this.pass(delivery.outgoing.sequence)
      return
    }
    if (this.#behind && !this.#collecting) return
    if (!this.#behind && !this.#waiting && this.#mayAdd(link)) {
      const packetId = this.window.add(delivery)
      if (this.#needsGate(delivery)) this.#sendWhenWritten(link, [this.window.get(packetId)!])
      else this.#send(link, delivery, packetId)
      return
    }
    this.#live.push(delivery)
    this.#liveBytes += sizeOf(delivery)
    if (this.#liveBytes > this.#liveMaxBytes) this.#overflow(link)
    else if (this.#live.length === 1) this.pump()
  }

  /** A message of the log that was given by QoS 0, or that no subscription lets through: whatever comes, not again. */
  pass(sequence: number): void {
    if (sequence === 0 || !this.#session.persistent) return
    this.window.markDone(sequence)
    this.#house.markMoved(this.#session)
  }

  /** Retained messages of a new subscription, by the filter as the client wrote it (MQTT-3.3.1-9 … -11). */
  offerRetained(filter: string): void {
    this.#walks.add(filter)
    this.pump()
  }

  /** PUBACK, or PUBCOMP, or a PUBREC that refuses. False: this packet identifier was not in use for this QoS. */
  acknowledged(packetId: number, qos: 1 | 2): boolean {
    const entry = this.window.remove(packetId, qos)
    if (entry === undefined) return false
    this.#forgetResend(entry)
    this.#gaps?.confirmed(entry)
    if (this.#session.persistent) this.#house.markMoved(this.#session)
    if (entry.delivery !== undefined) this.#told(entry.delivery)
    this.pump()
    return true
  }

  /** PUBREC: the message is the receiver's now, and PUBREL follows (MQTT-4.3.3-4). False: unknown packet identifier. */
  received(packetId: number): boolean {
    const entry = this.window.release(packetId)
    if (entry === undefined) return false
    this.#forgetResend(entry)
    this.#gaps?.confirmed(entry)
    if (entry.delivery !== undefined) this.#told(entry.delivery)
    entry.delivery = undefined
    if (this.#session.persistent) this.#house.store.putCursor(this.#session.clientId, this.cursor())
    return true
  }

  /** Sends what may be sent now. Called whenever room comes back: an acknowledgement, a drained socket, a read. */
  pump(): void {
    const link = this.#link
    if (link === undefined || this.#gated || this.#isIdle || !this.#sendUnacknowledged(link)) return
    this.#tellGaps(link)
    const gated: Inflight[] = []
    const mayAdd = (): boolean => this.#mayAdd(link)
    // A write may end the connection, and then nothing here is ours any more.
    while (this.#link === link) {
      const delivery = this.#next(link, mayAdd)
      if (delivery === undefined) break
      if (delivery.outgoing.isExpired()) {
        this.#giveUp(0, delivery, 'expired')
        continue
      }
      const packetId = delivery.qos === 0 ? 0 : this.window.add(delivery)
      if (packetId > 0 && (gated.length > 0 || this.#needsGate(delivery))) gated.push(this.window.get(packetId)!)
      else this.#send(link, delivery, packetId)
    }
    if (this.#link !== link) return
    if (gated.length > 0) this.#sendWhenWritten(link, gated)
    if (this.#behind && !this.#reading && this.#backlog.length === 0) void this.#read(link)
  }

  /** How far the session has come: what the store must keep of it. Not past what the client must still be told. */
  cursor(held = this.#heldAt()): Cursor {
    const seen = this.#behind ? this.#readUpTo : this.#house.fedSequence
    return this.window.cursor(Math.min(seen, held, firstSequence(this.#backlog) - 1, firstSequence(this.#live) - 1))
  }

  #heldAt(): number {
    return this.#gaps?.heldAt(this.#link) ?? Number.POSITIVE_INFINITY
  }

  /** Nothing waits: so it is at most acknowledgements of a session that keeps up. */
  get #isIdle(): boolean {
    return !this.#behind && !this.#waiting && this.#walks.isIdle && this.#gaps === undefined
  }

  /** What the log has too need not be in memory: a thousand slow clients would fill it. */
  get #liveMaxBytes(): number {
    const { queueBytes, outputLowBytes } = this.#house.limits
    return this.#session.persistent ? Math.min(queueBytes, outputLowBytes) : queueBytes
  }

  get #waiting(): boolean {
    return this.#gated || this.#live.length > 0 || this.#backlog.length > 0 || this.#resend.length > 0
  }

  #mayAdd(link: Link): boolean {
    return this.window.size < link.window && link.hasRoom
  }

  /** Exactly once: after a crash the message must be sent again under the same packet identifier (MQTT-4.4.0-1). */
  #needsGate(delivery: Delivery): boolean {
    return delivery.qos === 2 && this.#session.persistent
  }

  /** False: some must still wait. They count against the window, because the client may take fewer than before. */
  #sendUnacknowledged(link: Link): boolean {
    while (this.#link === link) {
      const entry = this.#resend[this.#resend.length - 1]
      if (entry === undefined) return true
      const outstanding = this.window.size - this.#resend.length
      if (!link.hasRoom || (!entry.released && outstanding >= link.window)) return false
      this.#resend.pop()
      this.#sendAgain(link, entry)
    }
    return false
  }

  /** It was acknowledged, or received, before it was sent again. */
  #forgetResend(entry: Inflight): void {
    if (this.#resend.length > 0) this.#resend = this.#resend.filter((other) => other !== entry)
  }

  #next(link: Link, mayAdd: () => boolean): Delivery | undefined {
    if (this.#backlog.length > 0) return mayAdd() ? this.#backlog.shift() : undefined
    if (!this.#behind && this.#live.length > 0) {
      if (!mayAdd()) return undefined
      const delivery = this.#live.shift()
      if (delivery !== undefined) this.#liveBytes -= sizeOf(delivery)
      return delivery
    }
    return this.#walks.take(link, mayAdd, () => this.pump())
  }

  /** What leaves at once is not too late, also if its Message Expiry Interval is 0; what waited was looked at before. */
  #send(link: Link, delivery: Delivery, packetId: number): void {
    const { outgoing, qos, retain, subscriptionIds } = delivery
    const wasSent =
      this.#gaps?.isPending === true
        ? this.#gaps.send(link, delivery, this.window.get(packetId))
        : link.sendPublish(outgoing, qos, retain, false, packetId, subscriptionIds)
    if (!wasSent) this.#giveUp(packetId, delivery, 'too_large')
    else if (qos === 0) this.#told(delivery)
    else if (this.#session.persistent) this.#house.markMoved(this.#session)
  }

  #sendAgain(link: Link, entry: Inflight): void {
    if (entry.released) link.sendPubrel(entry.packetId, reason.success)
    else if (entry.delivery !== undefined) {
      const { outgoing, qos, retain, subscriptionIds } = entry.delivery
      if (!link.sendPublish(outgoing, qos, retain, true, entry.packetId, subscriptionIds)) {
        this.#giveUp(entry.packetId, entry.delivery, 'too_large')
      }
    }
  }

  /** It will never be sent to this client; for the session it counts as delivered. */
  #giveUp(packetId: number, delivery: Delivery, why: 'expired' | 'too_large'): void {
    if (packetId > 0) this.window.remove(packetId, delivery.qos === 2 ? 2 : 1)
    this.#house.countDrop(why, delivery, this.#session)
  }

  #tellGaps(link: Link): void {
    if (this.#gaps === undefined) return
    const event = this.#gaps.sendEvent(this.#house, link)
    if (event !== undefined) this.#told(event)
    if (this.#gaps?.isOver === true) this.#gaps = undefined
  }

  #told(delivery: Delivery): void {
    const { counts, hooks } = this.#house
    counts.messagesDelivered[delivery.qos === 0 ? 'qos0' : delivery.qos === 1 ? 'qos1' : 'qos2'] += 1
    if (hooks.onDelivered !== undefined && this.#link !== undefined) {
      hooks.onDelivered(delivery.outgoing.message, this.#link.info)
    }
  }

  /** The packet identifiers of these messages are on disk before the messages leave. */
  #sendWhenWritten(link: Link, entries: readonly Inflight[]): void {
    const { store } = this.#house
    this.#gated = true
    store.putCursor(this.#session.clientId, this.cursor())
    store.commit((error) => {
      if (this.#link !== link) return
      if (error !== undefined) return link.end(reason.serverBusy, 'storage is not available')
      for (const entry of entries) {
        if (this.#link === link && entry.delivery !== undefined) this.#send(link, entry.delivery, entry.packetId)
      }
      this.#gated = false
      this.pump()
    })
  }

  #loadThenPump(link: Link, entries: readonly Inflight[]): void {
    this.#gated = true
    const load = async (): Promise<void> => {
      const messages = await this.#house.store.readExact(entries.map((entry) => entry.sequence))
      if (this.#link !== link) return
      for (const [index, entry] of entries.entries()) {
        const message = messages[index]
        if (message === undefined) this.window.drop(entry)
        else entry.delivery = owed(this.#house, this.#session, message, entry.sequence, entry.qos)
      }
      this.#resend = this.#resend.filter((entry) => this.window.has(entry))
      this.#gated = false
      this.pump()
    }
    load().catch((error: unknown) => this.#readFailed(link, error))
  }

  async #read(link: Link): Promise<void> {
    this.#reading = true
    this.#collecting = true
    const upTo = this.#house.fedSequence
    const limit = this.#readLimit
    const after = this.#readUpTo
    try {
      const read = await readBacklog(this.#house, this.#session, { after, upTo, limit })
      if (this.#link !== link) return
      this.#reading = false
      for (const delivery of read.deliveries) this.#backlog.push(delivery)
      this.#readUpTo = read.upTo
      this.#readLimit = nextReadMessages(limit, read, Math.max(readMessages, link.window))
      if (read.skipped > 0) this.#foundMissing(read, after)
      if (read.end && this.#collecting) this.#behind = false
      else this.#clearLive()
      this.#collecting = false
      this.pump()
    } catch (error) {
      this.#readFailed(link, error)
    }
  }

  /** Counted once, also if the client was not told before it left and they are found again. */
  #foundMissing({ skipped, gaps, upTo }: Backlog, after: number): void {
    this.#gaps ??= new Gaps(this.#session)
    this.#gaps.found(skipped, gaps, after)
    if (after >= this.#skippedUpTo) this.#house.tellSkipped(this.#session, skipped)
    this.#skippedUpTo = Math.max(this.#skippedUpTo, upTo)
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
      this.#readUpTo = Math.min(this.#house.fedSequence, firstSequence(this.#live) - 1)
      this.#behind = true
    }
    this.#clearLive()
    this.#collecting = false
    this.pump()
  }

  #clearLive(): void {
    this.#live.clear()
    this.#liveBytes = 0
  }

  /**
   * Messages of shared subscriptions that this client did not acknowledge go to other members. QoS 2 that was begun
   * stays, because only the same client can end it (MQTT-4.8.2-4, -5).
   */
  #passOnShared(): void {
    for (const { packetId, delivery } of this.window.unacknowledged()) {
      if (delivery?.share === undefined || delivery.qos !== 1) continue
      if (this.#house.passOn(delivery, this.#session)) this.window.remove(packetId, 1)
    }
    for (const waiting of [this.#backlog, this.#live]) {
      for (const delivery of waiting) {
        if (delivery.share === undefined || !this.#house.passOn(delivery, this.#session)) continue
        this.window.markDone(delivery.outgoing.sequence)
      }
    }
  }
}
