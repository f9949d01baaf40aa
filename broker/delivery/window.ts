// The in-flight window of a session: which packet identifiers are in use, for what, and what was acknowledged.
import type { MessageOrigin } from '../message.ts'
import type { Cursor } from '../store/store.ts'
import type { Delivery } from './delivery.ts'

/** A QoS 1 or 2 message that was sent, or is about to be, and not acknowledged to the end. */
export interface Inflight {
  readonly packetId: number
  /** 0: not in the log. */
  readonly sequence: number
  readonly qos: 1 | 2
  /** PUBREC came: only PUBREL is ever sent again (MQTT-4.3.3-4). */
  released: boolean
  /** Undefined when released, and after a restart until it was read from the log. */
  delivery: Delivery | undefined
  /** With QoS 2: where its message was published, also when that is not here any more. Undefined: it is not known. */
  origin: MessageOrigin | 'here' | undefined
}

const highestPacketId = 65_535

export class Window {
  /** In the order of sending. */
  readonly #entries = new Map<number, Inflight>()
  /** Sequence numbers acknowledged while an earlier one was not. Bounded by the window: `cursor` forgets the rest. */
  #acknowledged: Set<number> | undefined
  #lastPacketId = 0
  readonly #inLog: boolean

  /** `inLog`: the session reads the log, and what was acknowledged must be remembered until its position covers it. */
  constructor(inLog: boolean) {
    this.#inLog = inLog
  }

  get size(): number {
    return this.#entries.size
  }

  get(packetId: number): Inflight | undefined {
    return this.#entries.get(packetId)
  }

  has(entry: Inflight): boolean {
    return this.#entries.get(entry.packetId) === entry
  }

  /** All of them, in the order of sending. */
  unacknowledged(): Inflight[] {
    return [...this.#entries.values()]
  }

  /** Takes a free packet identifier (MQTT-2.2.1-4). The caller keeps the size below 65,535. */
  add(delivery: Delivery): number {
    let packetId = this.#lastPacketId
    do packetId = packetId === highestPacketId ? 1 : packetId + 1
    while (this.#entries.has(packetId))
    this.#lastPacketId = packetId
    const sequence = this.#inLog ? delivery.outgoing.sequence : 0
    this.#entries.set(packetId, {
      packetId,
      sequence,
      qos: delivery.qos === 2 ? 2 : 1,
      released: false,
      delivery,
      origin: delivery.qos === 2 ? (delivery.outgoing.message.origin ?? 'here') : undefined,
    })
    return packetId
  }

  /** The end of a delivery; undefined when this identifier is not in use for this QoS. */
  remove(packetId: number, qos: 1 | 2): Inflight | undefined {
    const entry = this.#entries.get(packetId)
    if (entry === undefined || entry.qos !== qos) return undefined
    this.#entries.delete(packetId)
    this.markDone(entry.sequence)
    return entry
  }

  /** PUBREC; the same answer again when it is repeated. */
  release(packetId: number): Inflight | undefined {
    const entry = this.#entries.get(packetId)
    if (entry === undefined || entry.qos !== 2) return undefined
    entry.released = true
    return entry
  }

  /** This message of the log does not concern the session any more. */
  markDone(sequence: number): void {
    if (sequence === 0 || !this.#inLog) return
    this.#acknowledged ??= new Set()
    this.#acknowledged.add(sequence)
  }

  /** The messages of the log that were sent or acknowledged already, whatever the cursor's position says. */
  knownSequences(): Set<number> {
    const known = new Set(this.#acknowledged)
    for (const entry of this.#entries.values()) known.add(entry.sequence)
    return known
  }

  /** `seen`: everything up to here was sent or does not concern the session. Forgets what the position covers. */
  cursor(seen: number): Cursor {
    let position = seen
    const inflight = []
    for (const entry of this.#entries.values()) {
      if (entry.sequence === 0) continue
      position = Math.min(position, entry.sequence - 1)
      const { packetId, sequence, qos, released } = entry
      inflight.push({ packetId, sequence, qos, released })
    }
    const done: number[] = []
    for (const sequence of this.#acknowledged ?? []) {
      if (sequence > position) done.push(sequence)
      else this.#acknowledged?.delete(sequence)
    }
    return { position, done, inflight }
  }

  recover(cursor: Cursor): void {
    for (const record of cursor.inflight) {
      this.#entries.set(record.packetId, { ...record, delivery: undefined, origin: undefined })
      this.#lastPacketId = record.packetId
    }
    if (cursor.done.length > 0) this.#acknowledged = new Set(cursor.done)
  }

  /** None of them is this session's any more, nor to be found among what was not sent. */
  clear(): void {
    for (const { sequence } of this.#entries.values()) this.markDone(sequence)
    this.#entries.clear()
  }

  /** It will not be sent again: its message is gone from the log. */
  drop(entry: Inflight): void {
    if (this.has(entry)) this.remove(entry.packetId, entry.qos)
  }
}
