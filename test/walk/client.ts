// A client of a walk: what it remembers over its connections, how it acknowledges, what it tells the model.
import type { IPublishPacket, ISubscribePacket, Packet } from 'mqtt-packet'
import type { Judge } from './judge.ts'
import type { Model } from './model.ts'
import type { WalkMessage } from './owed.ts'
import type { Action, ConnectStep, FilterRequest } from './steps.ts'
import { Wire } from './wire.ts'

/** A publish of this client that has not come to its end. */
interface Unfinished {
  readonly packetId: number
  readonly message: WalkMessage
  readonly packet: IPublishPacket
  /** PUBREC came. */
  received: boolean
  /** Sent again on a later connection. */
  readonly again: boolean
  /** Do not answer PUBREC. */
  readonly half: boolean
  /** It may not have arrived. */
  uncertain: boolean
  /** Nobody was subscribed to its topic: 0x10 is a true answer. */
  readonly unheard: boolean
}

/** What the walk does for its clients. */
export interface WalkHouse {
  readonly model: Model
  readonly judge: Judge
  readonly port: number
  /** For the history of the walk. */
  note(line: string): void
  /** Something came that others may wait for. */
  moved(): void
  message(client: WalkClient, action: Action & { readonly send: 'publish' }): WalkMessage
}

export class WalkClient {
  readonly id: string
  readonly #house: WalkHouse
  wire: Wire | undefined
  holding = false
  /** Resolves when the broker has taken the last goodbye. */
  left: Promise<void> | undefined
  /** Answers of the broker that are awaited on this connection. */
  #awaited: { readonly packetId: number; readonly cmd: string; readonly codes: readonly number[] }[] = []
  #held: Packet[] = []
  #unfinished: Unfinished[] = []
  #nextPacketId = 1
  /** Texts of the messages that the application got. */
  readonly texts = new Set<string>()

  constructor(id: string, house: WalkHouse) {
    this.id = id
    this.#house = house
  }

  get connected(): boolean {
    return this.wire !== undefined && !this.wire.leaving
  }

  /** What is still awaited of the broker, in words. */
  lacking(): string[] {
    if (!this.connected) return []
    const answers = this.#awaited.map(({ cmd, packetId }) => `${this.id} lacks ${cmd} ${packetId}`)
    const ends = this.#unfinished
      .filter(({ half, received }) => !(half && received))
      .map(
        ({ packetId, received }) =>
          `${this.id} lacks ${received ? 'PUBCOMP' : 'an answer'} for its PUBLISH ${packetId}`,
      )
    return [...answers, ...ends]
  }

  connect(step: ConnectStep): void {
    const { model } = this.#house
    const old = this.wire
    if (old !== undefined) old.leaving = true
    this.#awaited = []
    this.#held = []
    this.holding = step.hold
    const { version, clean } = step
    const present = model.connect(this.id, version, step)
    const wire: Wire = new Wire(this.#house.port, version, {
      packet: (packet) => this.#onPacket(wire, packet),
      closed: () => this.#onClosed(wire),
    })
    this.wire = wire
    this.#awaited.push({ packetId: 0, cmd: 'connack', codes: [present ? 1 : 0] })
    wire.send([
      {
        ...{ cmd: 'connect', protocolId: 'MQTT', protocolVersion: version, clean, clientId: this.id, keepalive: 600 },
        ...(version === 5 && {
          properties: {
            sessionExpiryInterval: step.expiryS,
            ...(step.receiveMaximum !== undefined && { receiveMaximum: step.receiveMaximum }),
          },
        }),
      },
    ])
  }

  /** `certain` false: the connection will be cut before the answers. */
  send(actions: readonly Action[], certain = true): void {
    const { wire } = this
    if (wire === undefined || wire.leaving) return
    wire.send(actions.map((action) => this.#packetOf(action, wire, certain)))
  }

  /** Publishes with QoS 2 and does not answer PUBREC. */
  sendHalf(topic: string): void {
    this.#sendPublish({ send: 'publish', topic, qos: 2, retain: false, empty: false }, true, true)
  }

  cut(): void {
    if (this.wire === undefined) return
    this.wire.cut()
    this.wire = undefined
    this.#house.model.dropped(this.id)
  }

  disconnect(expiryS: number | undefined): void {
    const { wire } = this
    const session = this.#house.model.session(this.id)
    if (wire === undefined || session === undefined) return
    // A session that ends with its connection cannot be prolonged (MQTT-3.14.2-2).
    const changed = wire.version === 5 && session.expiryS > 0 ? expiryS : undefined
    if (changed !== undefined) session.expiryS = changed
    wire.send([
      { cmd: 'disconnect', ...(changed !== undefined && { properties: { sessionExpiryInterval: changed } }) } as Packet,
    ])
    wire.leaving = true
    this.wire = undefined
    this.left = wire.ended
    this.#house.model.dropped(this.id)
  }

  release(count: number): void {
    const { wire } = this
    const acks = this.#held.splice(0, count)
    if (this.#held.length === 0) this.holding = false
    if (wire === undefined || wire.leaving) return
    for (const ack of acks) this.#tellAck(ack)
    wire.send(acks)
  }

  /** Everything that was acknowledged before is confirmed when it resolves. */
  async ping(): Promise<void> {
    const { wire } = this
    if (wire === undefined || wire.leaving) return
    const confirm = this.#house.judge.unconfirmed(this.id)
    await wire.ping()
    if (wire === this.wire && !wire.closed) confirm()
  }

  #packetOf(action: Action, wire: Wire, certain: boolean): Packet {
    if (action.send === 'publish') return this.#publishPacket(action, certain, false)
    const packetId = this.#takePacketId()
    const { model } = this.#house
    if (action.send === 'unsubscribe') {
      const codes = model.unsubscribe(this.id, action.filters)
      this.#awaited.push({ packetId, cmd: 'unsuback', codes: wire.version === 5 ? codes : [] })
      return { cmd: 'unsubscribe', messageId: packetId, unsubscriptions: [...action.filters] }
    }
    const filters = wire.version === 5 ? action.filters : action.filters.map(plainRequest)
    const id = wire.version === 5 ? action.id : undefined
    this.#awaited.push({ packetId, cmd: 'suback', codes: model.subscribe(this.id, filters, id) })
    return subscribePacket(packetId, filters, id)
  }

  #sendPublish(action: Action & { send: 'publish' }, certain: boolean, half: boolean): void {
    if (this.wire === undefined || this.wire.leaving) return
    this.wire.send([this.#publishPacket(action, certain, half)])
  }

  #publishPacket(action: Action & { send: 'publish' }, certain: boolean, half: boolean): IPublishPacket {
    const { model } = this.#house
    const message = this.#house.message(this, action)
    const { topic, text, qos, retain } = message
    const packetId = qos === 0 ? 0 : this.#takePacketId()
    const packet: IPublishPacket = {
      ...{ cmd: 'publish', topic, payload: text, qos, retain, dup: false },
      ...(qos > 0 && { messageId: packetId }),
    }
    const unheard = !model.hasSubscribers(topic)
    if (qos > 0)
      this.#unfinished.push({
        packetId,
        message,
        packet,
        received: false,
        again: false,
        half,
        uncertain: !certain,
        unheard,
      })
    model.publish(message, certain)
    return packet
  }

  #takePacketId(): number {
    this.#nextPacketId += 1
    return this.#nextPacketId
  }

  #onClosed(wire: Wire): void {
    if (!wire.leaving) this.#house.model.differ(`${this.id} was disconnected by the broker`)
    wire.leaving = true
    this.#house.moved()
  }

  #onPacket(wire: Wire, packet: Packet): void {
    if (wire !== this.wire) {
      // What comes on a connection that was taken over is lost, as it would be on a cut one.
      return
    }
    this.#house.note(`    ${this.id} < ${describe(packet)}`)
    switch (packet.cmd) {
      case 'connack':
        this.#answered('connack', 0, [packet.sessionPresent ? 1 : 0])
        this.#resume(packet.sessionPresent)
        break
      case 'suback':
        this.#answered('suback', packet.messageId ?? 0, packet.granted as number[])
        break
      case 'unsuback':
        this.#answered('unsuback', packet.messageId ?? 0, wire.version === 5 ? (packet.granted as number[]) : [])
        break
      case 'publish':
        this.#onPublish(packet)
        break
      case 'pubrel':
        this.#house.judge.released(this.id, packet.messageId ?? 0)
        this.#acknowledge({ cmd: 'pubcomp', messageId: packet.messageId ?? 0 })
        break
      case 'puback':
      case 'pubrec':
      case 'pubcomp':
        this.#onAnswer(packet.cmd, packet.messageId ?? 0, packet.reasonCode ?? 0)
        break
      default:
        this.#house.model.differ(`${this.id} received ${describe(packet)}`)
    }
    this.#house.moved()
  }

  #onPublish(packet: IPublishPacket): void {
    const { topic, payload, qos, retain, dup, messageId = 0 } = packet
    const identifiers = packet.properties?.subscriptionIdentifier
    const ids = identifiers === undefined ? [] : [identifiers].flat().sort((a, b) => a - b)
    const text = payload.toString()
    this.#house.judge.received(this.id, { topic, text, qos, retain, dup, packetId: messageId, ids })
    this.texts.add(text)
    if (qos > 0) this.#acknowledge({ cmd: qos === 1 ? 'puback' : 'pubrec', messageId })
  }

  #acknowledge(ack: Packet): void {
    if (this.holding) {
      this.#held.push(ack)
      return
    }
    this.#tellAck(ack)
    this.wire?.send([ack])
  }

  #tellAck(ack: Packet): void {
    if (ack.cmd !== 'puback' && ack.cmd !== 'pubrec' && ack.cmd !== 'pubcomp') return
    this.#house.judge.acknowledged(this.id, ack.messageId ?? 0, ack.cmd)
  }

  /** SUBACK, UNSUBACK and CONNACK come in the order of their questions. */
  #answered(cmd: string, packetId: number, codes: readonly number[]): void {
    const first = this.#awaited.shift()
    const expected = first === undefined ? 'nothing' : `${first.cmd} ${first.packetId} [${first.codes}]`
    const found = `${cmd} ${packetId} [${codes}]`
    if (expected !== found) this.#house.model.differ(`${this.id} received ${found} instead of ${expected}`)
  }

  #onAnswer(cmd: 'puback' | 'pubrec' | 'pubcomp', packetId: number, code: number): void {
    const { model } = this.#house
    const one = this.#unfinished.find((other) => other.packetId === packetId)
    const stage = one === undefined ? '' : one.message.qos === 1 ? 'puback' : one.received ? 'pubcomp' : 'pubrec'
    if (one === undefined || cmd !== stage) {
      model.differ(`${this.id} received ${cmd} ${packetId} out of place`)
      return
    }
    const nobody = code === 0x10 && cmd !== 'pubcomp' && (one.unheard || one.uncertain)
    // The PUBREL before may have arrived; then the identifier is free already.
    const unknown = code === 0x92 && cmd === 'pubcomp' && one.again
    if (code !== 0 && !nobody && !unknown) {
      model.differ(`${this.id} received ${cmd} ${packetId} with code ${code}`)
    }
    if (one.uncertain) model.arrived(one.message, (id) => this.#got(id, one.message.text))
    one.uncertain = false
    if (cmd !== 'pubrec') {
      this.#unfinished = this.#unfinished.filter((other) => other !== one)
      return
    }
    one.received = true
    if (!one.half) this.wire?.send([{ cmd: 'pubrel', messageId: packetId }])
  }

  /** Set by the walk: did this client's application get the message? */
  #got: (id: string, text: string) => boolean = () => false

  set got(got: (id: string, text: string) => boolean) {
    this.#got = got
  }

  /** What was not finished is sent again, in order, if the broker knows the session (MQTT-4.4.0-1). */
  #resume(present: boolean): void {
    // QoS 1 that was not acknowledged would be a second message; the walk counts it as lost.
    this.#unfinished = present
      ? this.#unfinished.filter(({ message }) => message.qos === 2).map((one) => ({ ...one, half: false, again: true }))
      : []
    for (const { packet, received, packetId, message, uncertain } of this.#unfinished) {
      if (uncertain) this.#house.model.publishedAgain(message, (id) => this.#got(id, message.text))
      this.wire?.send([received ? { cmd: 'pubrel', messageId: packetId } : { ...packet, dup: true }])
    }
  }
}

/** Before MQTT 5 a subscription has only a QoS. */
function plainRequest({ filter, qos }: FilterRequest): FilterRequest {
  return { filter, qos, noLocal: false, retainAsPublished: false, retainHandling: 0 }
}

function subscribePacket(
  packetId: number,
  filters: readonly FilterRequest[],
  id: number | undefined,
): ISubscribePacket {
  return {
    cmd: 'subscribe',
    messageId: packetId,
    subscriptions: filters.map(({ filter, qos, noLocal, retainAsPublished, retainHandling }) => ({
      ...{ topic: filter, qos, nl: noLocal, rap: retainAsPublished, rh: retainHandling },
    })),
    ...(id !== undefined && { properties: { subscriptionIdentifier: id } }),
  }
}

function describe(packet: Packet): string {
  const { cmd, messageId = 0 } = packet
  if (packet.cmd === 'connack')
    return `connack present ${packet.sessionPresent} code ${packet.reasonCode ?? packet.returnCode}`
  if (packet.cmd === 'disconnect') return `disconnect ${packet.reasonCode}`
  if (packet.cmd !== 'publish') return `${cmd} ${messageId}`
  const { topic, payload, qos, retain, dup, properties } = packet
  const ids = properties?.subscriptionIdentifier
  const flags = `${retain ? ' retain' : ''}${dup ? ' dup' : ''}${ids === undefined ? '' : ` ids ${ids}`}`
  return `publish ${messageId} "${payload}" on ${topic} QoS ${qos}${flags}`
}
