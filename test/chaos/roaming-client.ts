// An MQTT client that keeps its half of the session on whichever node it is: what it sent and nobody acknowledged it sends again.
import { connect, type Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import {
  generate,
  type IConnackPacket,
  type IConnectPacket,
  type ISubscription,
  type Packet,
  parser,
} from 'mqtt-packet'

export interface RoamingOptions {
  readonly clientId: string
  /** False when left out: the session is kept. */
  readonly clean?: boolean
  readonly version?: 4 | 5
  readonly will?: { readonly topic: string; readonly payload: string }
}

export interface Delivery {
  readonly topic: string
  readonly payload: Buffer
  readonly qos: number
  readonly retain: boolean
  readonly dup: boolean
}

interface Outgoing {
  readonly topic: string
  readonly payload: string | Buffer
  readonly qos: 1 | 2
  readonly retain: boolean
  /** PUBREC came: from now on it is PUBREL that is sent again. */
  released: boolean
  readonly done: () => void
}

/** How long a node may take for CONNACK before the client tries again. */
const connectTimeoutMs = 10_000

export class RoamingClient {
  readonly clientId: string
  /** Of QoS 2 each once, as the standard lets a receiver count (4.3.3). */
  onMessage: (delivery: Delivery) => void = () => {}
  /** An accepted connection ended, whoever ended it. */
  onClosed: () => void = () => {}
  /** Of DISCONNECT, when the broker sent one. */
  reasonCode: number | undefined
  serverReference: string | undefined
  sessionPresent = false
  readonly #options: RoamingOptions
  readonly #version: 4 | 5
  readonly #outgoing = new Map<number, Outgoing>()
  readonly #inbound = new Set<number>()
  readonly #answers = new Map<number, () => void>()
  #pongs: (() => void)[] = []
  #socket: Socket | undefined
  #isAccepted = false
  #isStopped = false
  #lastId = 0

  constructor(options: RoamingOptions) {
    this.#options = options
    this.clientId = options.clientId
    this.#version = options.version ?? 4
  }

  get isConnected(): boolean {
    return this.#isAccepted
  }

  get unacknowledged(): number {
    return this.#outgoing.size
  }

  /** Rejects when it is refused or the connection ends before CONNACK. */
  async connect(port: number): Promise<void> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    const packets = parser({ protocolVersion: this.#version })
    this.#socket = socket
    this.#pongs = []
    await new Promise<void>((resolve, reject) => {
      const failed = (error: Error): void => {
        reject(error)
        socket.destroy()
      }
      socket.setTimeout(connectTimeoutMs, () => failed(new Error(`${this.clientId}: no CONNACK`)))
      socket.on('error', failed)
      socket.once('close', () => {
        failed(new Error(`${this.clientId}: the connection was closed`))
        if (this.#socket === socket && this.#isAccepted) this.#ended()
      })
      packets.on('packet', (packet: Packet) => {
        if (this.#socket !== socket) return
        if (packet.cmd !== 'connack') return this.#take(packet)
        const code = (this.#version === 5 ? packet.reasonCode : packet.returnCode) ?? 0
        if (code !== 0) return failed(new Error(`${this.clientId}: refused with ${code}`))
        socket.setTimeout(0)
        this.#accepted(packet)
        resolve()
      })
      packets.on('error', failed)
      socket.on('data', (chunk) => {
        // All answers to one read leave in one write.
        socket.cork()
        packets.parse(chunk)
        socket.uncork()
      })
      socket.write(generate(this.#connectPacket(), { protocolVersion: this.#version }))
    })
  }

  /** Tries the port that it is told, again and again, until one accepts it or it is stopped. */
  async connectSomewhere(nextPort: () => number): Promise<void> {
    while (!this.#isStopped) {
      const isConnected = await this.connect(nextPort()).then(
        () => true,
        () => false,
      )
      if (isConnected) return
      await wait(50)
    }
  }

  /** Comes back by itself whenever the connection ends, until it is stopped. */
  keepConnected(nextPort: () => number): void {
    const before = this.onClosed
    this.onClosed = () => {
      before()
      void this.connectSomewhere(nextPort)
    }
  }

  /** Resolves with what was granted; never when the connection ends before. */
  subscribe(filters: readonly ISubscription[]): Promise<void> {
    const messageId = this.#freeId()
    this.#send({ cmd: 'subscribe', messageId, subscriptions: [...filters] })
    return new Promise((done) => this.#answers.set(messageId, done))
  }

  /** Resolves when it is acknowledged to the end, over as many connections as it takes; QoS 0: at once. */
  publish(topic: string, payload: string | Buffer, qos: 0 | 1 | 2, retain = false): Promise<void> {
    if (qos === 0) {
      if (this.#isAccepted) this.#send({ cmd: 'publish', topic, payload, qos, retain, dup: false })
      return Promise.resolve()
    }
    return new Promise((done) => {
      const messageId = this.#freeId()
      const outgoing = { topic, payload, qos, retain, released: false, done }
      this.#outgoing.set(messageId, outgoing)
      if (this.#isAccepted) this.#sendOutgoing(messageId, outgoing, false)
    })
  }

  /** Resolves when the broker has taken everything that this connection sent. */
  ping(): Promise<void> {
    this.#send({ cmd: 'pingreq' })
    return new Promise((done) => this.#pongs.push(done))
  }

  async disconnect(): Promise<void> {
    const socket = this.#socket
    if (!this.#isAccepted || socket === undefined) return
    const closed = new Promise((resolve) => socket.once('close', resolve))
    this.#send({ cmd: 'disconnect' })
    await closed
  }

  /** The socket is gone without a goodbye. */
  cut(): void {
    this.#socket?.resetAndDestroy()
  }

  /** For good. */
  destroy(): void {
    this.#isStopped = true
    this.onClosed = () => {}
    this.#socket?.destroy()
  }

  #connectPacket(): IConnectPacket {
    const { clean = false, will } = this.#options
    const packet: IConnectPacket = {
      cmd: 'connect',
      clientId: this.clientId,
      clean,
      keepalive: 0,
      protocolId: 'MQTT',
      protocolVersion: this.#version,
    }
    if (this.#version === 5) packet.properties = { sessionExpiryInterval: clean ? 0 : 3600, receiveMaximum: 1000 }
    if (will !== undefined) {
      packet.will = { topic: will.topic, payload: Buffer.from(will.payload), qos: 1, retain: false }
    }
    return packet
  }

  #accepted(connack: IConnackPacket): void {
    this.#isAccepted = true
    this.reasonCode = undefined
    this.serverReference = undefined
    this.sessionPresent = connack.sessionPresent
    if (!connack.sessionPresent) this.#inbound.clear()
    for (const [messageId, outgoing] of this.#outgoing) this.#sendOutgoing(messageId, outgoing, true)
  }

  #ended(): void {
    this.#isAccepted = false
    this.onClosed()
  }

  #take(packet: Packet): void {
    switch (packet.cmd) {
      case 'publish':
        return this.#takePublish(packet)
      case 'pubrel':
        this.#inbound.delete(packet.messageId!)
        return this.#send({ cmd: 'pubcomp', messageId: packet.messageId! })
      case 'pubrec': {
        const outgoing = this.#outgoing.get(packet.messageId!)
        if (outgoing !== undefined) outgoing.released = true
        return this.#send({ cmd: 'pubrel', messageId: packet.messageId! })
      }
      case 'puback':
      case 'pubcomp': {
        const outgoing = this.#outgoing.get(packet.messageId!)
        this.#outgoing.delete(packet.messageId!)
        return outgoing?.done()
      }
      case 'suback': {
        const answer = this.#answers.get(packet.messageId!)
        this.#answers.delete(packet.messageId!)
        return answer?.()
      }
      case 'pingresp':
        return this.#pongs.shift()?.()
      case 'disconnect':
        this.reasonCode = packet.reasonCode
        this.serverReference = packet.properties?.serverReference
    }
  }

  #takePublish({ topic, payload, qos, messageId, retain, dup }: Extract<Packet, { cmd: 'publish' }>): void {
    const isKnown = qos === 2 && this.#inbound.has(messageId!)
    if (!isKnown) this.onMessage({ topic, payload: Buffer.from(payload), qos, retain, dup })
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
    this.#socket?.write(generate(packet, { protocolVersion: this.#version }))
  }

  #freeId(): number {
    do this.#lastId = (this.#lastId % 65_535) + 1
    while (this.#outgoing.has(this.#lastId) || this.#answers.has(this.#lastId))
    return this.#lastId
  }
}
