// An MQTT 3.1.1 client that keeps its half of the session whatever happens to the connection: what is exactly once is.
import { connect, type Socket } from 'node:net'
import { generate, type Packet, parser } from 'mqtt-packet'

interface Outgoing {
  readonly topic: string
  readonly payload: string
  readonly qos: 1 | 2
  readonly retain: boolean
  /** PUBREC came: from now on it is PUBREL that is sent again. */
  released: boolean
  readonly done: () => void
}

export class SteadyClient {
  readonly clientId: string
  /** What came, in its order; of QoS 2 each once, as the standard lets a receiver count (4.3.3). */
  readonly received: {
    readonly topic: string
    readonly text: string
    readonly qos: number
    readonly retain: boolean
  }[] = []
  /** How many PUBACK and PUBREC came: each makes a message the broker's. */
  acknowledged = 0
  /** Whether the broker still had the session, of the last connection. */
  sessionPresent = false
  readonly #port: number
  readonly #outgoing = new Map<number, Outgoing>()
  readonly #inbound = new Set<number>()
  readonly #answers = new Map<number, () => void>()
  #socket: Socket | undefined
  #closed: Promise<void> = Promise.resolve()
  #lastId = 0
  #look = () => {}

  constructor(port: number, clientId: string) {
    this.#port = port
    this.clientId = clientId
  }

  get isConnected(): boolean {
    return this.#socket !== undefined
  }

  /** With what was not acknowledged sent again, in its order. */
  async connect(): Promise<void> {
    const socket = connect({ port: this.#port, host: '127.0.0.1', noDelay: true })
    const packets = parser({ protocolVersion: 4 })
    this.#closed = new Promise((resolve) => socket.once('close', () => resolve()))
    void this.#closed.then(() => {
      this.#socket = undefined
      this.#look()
    })
    await new Promise<void>((accepted, failed) => {
      socket.on('error', failed)
      socket.once('close', () => failed(new Error(`${this.clientId}: the connection was closed`)))
      packets.on('packet', (packet: Packet) => {
        if (packet.cmd === 'connack') {
          if (packet.returnCode !== 0) failed(new Error(`${this.clientId}: refused with ${packet.returnCode}`))
          this.sessionPresent = packet.sessionPresent
          accepted()
          return
        }
        this.#take(packet)
      })
      socket.on('data', (chunk) => {
        // All answers to one read leave in one write.
        socket.cork()
        packets.parse(chunk)
        socket.uncork()
      })
      this.#socket = socket
      this.#send({
        cmd: 'connect',
        clientId: this.clientId,
        clean: false,
        keepalive: 0,
        protocolId: 'MQTT',
        protocolVersion: 4,
      })
    })
    for (const [messageId, outgoing] of this.#outgoing) this.#sendOutgoing(messageId, outgoing, true)
  }

  /** Resolves when it is granted; never when the connection ends before. */
  subscribe(filter: string, qos: 0 | 1 | 2): Promise<void> {
    const messageId = this.#freeId()
    this.#send({ cmd: 'subscribe', messageId, subscriptions: [{ topic: filter, qos }] })
    return new Promise((done) => this.#answers.set(messageId, done))
  }

  unsubscribe(filter: string): Promise<void> {
    const messageId = this.#freeId()
    this.#send({ cmd: 'unsubscribe', messageId, unsubscriptions: [filter] })
    return new Promise((done) => this.#answers.set(messageId, done))
  }

  /** Resolves when it is acknowledged to the end, over as many connections as it takes. */
  publish(topic: string, payload: string, qos: 1 | 2, retain = false): Promise<void> {
    return new Promise((done) => {
      const messageId = this.#freeId()
      const outgoing = { topic, payload, qos, retain, released: false, done }
      this.#outgoing.set(messageId, outgoing)
      this.#sendOutgoing(messageId, outgoing, false)
    })
  }

  /** Resolves when nothing is on its way any more. */
  allAcknowledged(): Promise<void> {
    return this.until(() => this.#outgoing.size === 0)
  }

  /** The next packet identifiers are the lowest ones again, of messages that are acknowledged to the end. */
  useIdentifiersAgain(): void {
    this.#lastId = 0
  }

  /** Resolves when this is so, looked at with everything that comes. */
  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      await new Promise<void>((resolve) => {
        this.#look = resolve
      })
    }
  }

  async disconnect(): Promise<void> {
    this.#send({ cmd: 'disconnect' })
    this.#socket?.end()
    await this.#closed
  }

  /** Resolves when the broker has gone. */
  ended(): Promise<void> {
    return this.#closed
  }

  destroy(): void {
    this.#socket?.destroy()
  }

  #take(packet: Packet): void {
    if (packet.cmd === 'publish') this.#takePublish(packet)
    else if (packet.cmd === 'pubrel') {
      this.#inbound.delete(packet.messageId!)
      this.#send({ cmd: 'pubcomp', messageId: packet.messageId! })
    } else if (packet.cmd === 'pubrec') {
      const outgoing = this.#outgoing.get(packet.messageId!)
      if (outgoing !== undefined) outgoing.released = true
      this.#send({ cmd: 'pubrel', messageId: packet.messageId! })
      this.acknowledged += 1
    } else if (packet.cmd === 'puback' || packet.cmd === 'pubcomp') {
      const outgoing = this.#outgoing.get(packet.messageId!)
      this.#outgoing.delete(packet.messageId!)
      outgoing?.done()
      if (packet.cmd === 'puback') this.acknowledged += 1
    } else if (packet.cmd === 'suback' || packet.cmd === 'unsuback') {
      const answer = this.#answers.get(packet.messageId!)
      this.#answers.delete(packet.messageId!)
      answer?.()
    }
    this.#look()
  }

  #takePublish({ topic, payload, qos, messageId, retain }: Extract<Packet, { cmd: 'publish' }>): void {
    const isKnown = qos === 2 && this.#inbound.has(messageId!)
    if (!isKnown) this.received.push({ topic, text: payload.toString(), qos, retain })
    if (qos === 1) this.#send({ cmd: 'puback', messageId: messageId! })
    if (qos !== 2) return
    this.#inbound.add(messageId!)
    this.#send({ cmd: 'pubrec', messageId: messageId! })
  }

  #sendOutgoing(messageId: number, { topic, payload, qos, retain, released }: Outgoing, dup: boolean): void {
    if (released) this.#send({ cmd: 'pubrel', messageId })
    else this.#send({ cmd: 'publish', topic, payload, qos, retain, dup, messageId })
  }

  #send(packet: Packet): void {
    this.#socket?.write(generate(packet))
  }

  #freeId(): number {
    do this.#lastId = (this.#lastId % 65_535) + 1
    while (this.#outgoing.has(this.#lastId) || this.#answers.has(this.#lastId))
    return this.#lastId
  }
}
