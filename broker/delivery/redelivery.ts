// What was sent on an earlier connection and not acknowledged: to be sent again, before all else (MQTT-4.4.0-1).
import { reason } from '../protocol/reason-codes.ts'
import { owed } from './backlog.ts'
import type { Delivery } from './delivery.ts'
import type { DeliveryHouse } from './house.ts'
import type { Link } from './link.ts'
import { isCovered, mayStillGet } from './revoked.ts'
import type { Session } from './session.ts'
import type { Inflight, Window } from './window.ts'

export class Redelivery {
  readonly #house: DeliveryHouse
  readonly #session: Session
  readonly #window: Window
  /** The next one is the last. */
  #entries: Inflight[] = []

  constructor(house: DeliveryHouse, session: Session, window: Window) {
    this.#house = house
    this.#session = session
    this.#window = window
  }

  get length(): number {
    return this.#entries.length
  }

  /** True: `load` comes first, because their messages are not here, or it must be asked whether they may still be sent. */
  begin(): boolean {
    this.#entries = this.#window.unacknowledged().reverse()
    return this.#entries.some(
      ({ released, delivery }) => !released && (delivery === undefined || isCovered(this.#session, delivery) !== true),
    )
  }

  end(): void {
    this.#entries = []
  }

  /** What may not be sent any more is let go. False: the link has left meanwhile. */
  async load(link: Link, isStillThere: () => boolean): Promise<boolean> {
    if (!(await this.#loadMessages(isStillThere))) return false
    for (let version = -1; version !== this.#session.rightsVersion; ) {
      version = this.#session.rightsVersion
      for (const entry of [...this.#entries]) {
        if (entry.delivery === undefined || entry.released) continue
        const may = await mayStillGet(this.#house, this.#session, link.info, entry.delivery)
        if (!isStillThere()) return false
        if (!may) this.#letGo(entry, entry.delivery)
      }
    }
    return true
  }

  /** Under QoS 2 the client may have it already, and waits for PUBREL: until that its packet identifier is in use. */
  #letGo(entry: Inflight, delivery: Delivery): void {
    if (entry.qos === 2) {
      entry.released = true
      entry.delivery = undefined
      this.#house.store.putCursor(this.#session.clientId, this.#session.outbox.cursor())
    } else {
      this.#window.drop(entry)
      this.#entries = this.#entries.filter((other) => other !== entry)
      this.#house.passOn(delivery, this.#session)
    }
    this.#house.countDrop('revoked', delivery, this.#session)
  }

  /** After a restart, or a move to another node: their messages are in the log. */
  async #loadMessages(isStillThere: () => boolean): Promise<boolean> {
    const entries = this.#entries.filter(isUnknown)
    const messages = await this.#house.store.readExact(entries.map((entry) => entry.sequence))
    if (!isStillThere()) return false
    for (const [index, entry] of entries.entries()) {
      const message = messages[index]
      if (message === undefined) this.#window.drop(entry)
      else {
        entry.delivery = owed(this.#house, this.#session, message, entry.sequence, entry.qos)
        if (entry.qos === 2) entry.origin = message.origin ?? 'here'
      }
    }
    this.#entries = this.#entries.filter((entry) => this.#window.has(entry))
    return true
  }

  /** It was acknowledged, or received, before it was sent again. */
  forget(entry: Inflight): void {
    if (this.#entries.length > 0) this.#entries = this.#entries.filter((other) => other !== entry)
  }

  /**
   * False: none may be sent now. They count against the window, because the client may take fewer than before.
   */
  sendNext(link: Link): boolean {
    const entry = this.#entries[this.#entries.length - 1]
    if (entry === undefined || !link.hasRoom) return false
    const outstanding = this.#window.size - this.#entries.length
    if (!entry.released && outstanding >= link.window) return false
    this.#entries.pop()
    if (entry.released) link.sendPubrel(entry.packetId, reason.success)
    else if (entry.delivery !== undefined) this.#send(link, entry, entry.delivery)
    return true
  }

  #send(link: Link, { packetId, qos }: Inflight, delivery: Delivery): void {
    const { outgoing, retain, subscriptionIds } = delivery
    if (link.sendPublish(outgoing, delivery.qos, retain, true, packetId, subscriptionIds)) return
    this.#window.remove(packetId, qos)
    this.#house.countDrop('too_large', delivery, this.#session)
  }
}

function isUnknown({ released, delivery }: Inflight): boolean {
  return !released && delivery === undefined
}
