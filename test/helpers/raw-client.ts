// An MQTT client that does exactly what a test says: packets or bytes out, packets in one after the other, no manners.
import { once } from 'node:events'
import { connect as connectSocket, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'
import {
  generate,
  type IConnectPacket,
  type IPublishPacket,
  type ISubscription,
  parser as makeParser,
  type Packet,
} from 'mqtt-packet'
import type { Cleanup } from './broker.ts'

export type Version = 3 | 4 | 5
export type PacketOf<Command extends Packet['cmd']> = Extract<Packet, { cmd: Command }>

export interface RawOptions {
  /** 5 when left out. */
  readonly version?: Version
  /** PUBACK, PUBREC and PUBCOMP by itself. */
  readonly answers?: boolean
}

export interface ConnectOptions extends RawOptions, Partial<Omit<IConnectPacket, 'cmd' | 'protocolVersion'>> {}

export class RawClient {
  readonly socket: Socket
  readonly version: Version
  readonly #answers: boolean
  readonly #received: Packet[] = []
  #waiting: (() => void) | undefined
  #ended = false
  #lastPacketId = 0

  constructor(socket: Socket, { version = 5, answers = false }: RawOptions = {}) {
    this.socket = socket
    this.version = version
    this.#answers = answers
    const parser = makeParser({ protocolVersion: version })
    parser.on('packet', (packet: Packet) => this.#take(packet))
    socket.on('data', (chunk: Buffer) => parser.parse(chunk))
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#ended = true
      this.#waiting?.()
    })
    socket.on('end', () => socket.end())
  }

  /** Packets that came and that nobody took yet. */
  get pending(): readonly Packet[] {
    return this.#received
  }

  /** The broker closed the connection, or the test did. */
  get isClosed(): boolean {
    return this.#ended
  }

  /** Forgets what came until now. */
  skip(): void {
    this.#received.length = 0
  }

  /** A packet identifier that this client has not used. */
  nextPacketId(): number {
    this.#lastPacketId += 1
    return this.#lastPacketId
  }

  /** All in one write. */
  send(...packets: readonly Packet[]): void {
    this.bytes(Buffer.concat(packets.map((packet) => generate(packet, { protocolVersion: this.version }))))
  }

  bytes(bytes: Buffer | readonly number[]): void {
    this.socket.write(Buffer.from(bytes))
  }

  /** The next packet. Rejects when the connection ends before it came. */
  async next(): Promise<Packet> {
    const packet = await this.nextOrEnd()
    if (packet === undefined) throw new Error('the broker closed the connection')
    return packet
  }

  /** The next packet; undefined when the connection ends before it came. */
  async nextOrEnd(): Promise<Packet | undefined> {
    while (this.#received.length === 0 && !this.#ended) {
      await new Promise<void>((resolve) => {
        this.#waiting = resolve
      })
    }
    return this.#received.shift()
  }

  /** The next packet, which must be of this kind. */
  async expect<Command extends Packet['cmd']>(command: Command): Promise<PacketOf<Command>> {
    const packet = await this.next()
    if (packet.cmd !== command) throw new Error(`${command} was expected, ${describe(packet)} came`)
    return packet as PacketOf<Command>
  }

  /** The payloads of the next messages; nothing else may come between. */
  async texts(count: number): Promise<string[]> {
    const texts: string[] = []
    while (texts.length < count) texts.push((await this.expect('publish')).payload.toString())
    return texts
  }

  /** Resolves when the broker has closed; a packet that nobody took is an error. */
  async closed(): Promise<void> {
    while (!this.#ended) {
      this.#refusePending()
      await new Promise<void>((resolve) => {
        this.#waiting = resolve
      })
    }
    this.#refusePending()
  }

  /** The broker says goodbye with this reason code, and closes. Before MQTT 5 it only closes. */
  async disconnected(reasonCode: number): Promise<void> {
    if (this.version === 5) {
      const { reasonCode: got } = await this.expect('disconnect')
      if (got !== reasonCode)
        throw new Error(`DISCONNECT 0x${reasonCode.toString(16)} expected, 0x${got?.toString(16)}`)
    }
    await this.closed()
  }

  /** All that the broker had to send at once has come: the next packet is the answer to a PINGREQ. */
  async nothing(): Promise<void> {
    this.send({ cmd: 'pingreq' })
    await this.expect('pingresp')
  }

  /** The codes of SUBACK. */
  async subscribe(
    filters: string | readonly (string | ISubscription)[],
    options: Partial<ISubscription> & { readonly id?: number } = {},
  ): Promise<readonly number[]> {
    const { id, qos = 0, ...rest } = options
    const subscriptions = (typeof filters === 'string' ? [filters] : filters).map((filter) =>
      typeof filter === 'string' ? { qos, ...rest, topic: filter } : filter,
    )
    const messageId = this.nextPacketId()
    const properties = id === undefined ? {} : { properties: { subscriptionIdentifier: id } }
    this.send({ cmd: 'subscribe', messageId, subscriptions, ...properties })
    return (await this.expect('suback')).granted as number[]
  }

  /** Sends; returns the packet identifier, 0 for QoS 0. */
  publish(topic: string, payload: string | Buffer = '', options: Partial<IPublishPacket> = {}): number {
    const qos = options.qos ?? 0
    const messageId = options.messageId ?? (qos === 0 ? 0 : this.nextPacketId())
    const identified = qos === 0 ? {} : { messageId }
    this.send({ cmd: 'publish', topic, payload, qos, dup: false, retain: false, ...options, ...identified })
    return messageId
  }

  /** Publishes with QoS 1 and waits for PUBACK; its reason code. */
  async publishAcknowledged(topic: string, payload: string | Buffer, options: Partial<IPublishPacket> = {}) {
    this.publish(topic, payload, { ...options, qos: 1 })
    return (await this.expect('puback')).reasonCode ?? 0
  }

  acknowledge(packet: IPublishPacket): void {
    this.send({ cmd: 'puback', messageId: packet.messageId! })
  }

  /** Without a goodbye. Resolves when the socket is closed. */
  async cut(): Promise<void> {
    const closed = this.socket.closed ? undefined : once(this.socket, 'close')
    // TLS and WebSocket cannot be reset.
    if (this.socket instanceof Socket && !(this.socket instanceof TLSSocket)) this.socket.resetAndDestroy()
    else (this.socket as Duplex).destroy()
    await closed
  }

  /** DISCONNECT, and waits until the broker closes. */
  async leave(properties?: { sessionExpiryInterval?: number }, reasonCode = 0): Promise<void> {
    this.send({ cmd: 'disconnect', ...(this.version === 5 && { reasonCode, ...(properties && { properties }) }) })
    await this.closed()
  }

  #take(packet: Packet): void {
    this.#received.push(packet)
    this.#waiting?.()
    if (!this.#answers) return
    if (packet.cmd === 'publish' && packet.qos === 1) this.send({ cmd: 'puback', messageId: packet.messageId! })
    if (packet.cmd === 'publish' && packet.qos === 2) this.send({ cmd: 'pubrec', messageId: packet.messageId! })
    if (packet.cmd !== 'pubrel') return
    this.#received.pop()
    this.send({ cmd: 'pubcomp', messageId: packet.messageId! })
  }

  #refusePending(): void {
    if (this.#received.length > 0) throw new Error(`the end was expected, ${describe(this.#received[0]!)} came`)
  }
}

/** A connected socket and nothing sent yet. It is gone after the test. */
export async function openRaw(t: Cleanup, port: number, options: RawOptions = {}): Promise<RawClient> {
  const socket = connectSocket({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
  t.after(() => socket.destroy())
  await once(socket, 'connect')
  return new RawClient(socket, options)
}

export function connectPacket(options: ConnectOptions): IConnectPacket {
  const { version = 5, answers: _, ...fields } = options
  const packet = { cmd: 'connect', clean: true, keepalive: 60, clientId: '', ...fields } as const
  return { ...packet, protocolId: version === 3 ? 'MQIsdp' : 'MQTT', protocolVersion: version } as IConnectPacket
}

/** Sends CONNECT and returns with the CONNACK, whatever it says. */
export async function tryConnect(
  t: Cleanup,
  port: number,
  options: ConnectOptions = {},
): Promise<{ readonly client: RawClient; readonly connack: PacketOf<'connack'>; readonly code: number }> {
  const client = await openRaw(t, port, options)
  client.send(connectPacket(options))
  const connack = await client.expect('connack')
  return { client, connack, code: (client.version === 5 ? connack.reasonCode : connack.returnCode) ?? -1 }
}

/** Connected; anything but success is an error. */
export async function connectRaw(t: Cleanup, port: number, options: ConnectOptions = {}): Promise<RawClient> {
  const { client, code } = await tryConnect(t, port, options)
  if (code !== 0) throw new Error(`CONNECT was refused with ${code}`)
  return client
}

/** A session that is kept for an hour. */
export function kept(clientId: string, version: Version = 5): ConnectOptions {
  const properties = version === 5 ? { properties: { sessionExpiryInterval: 3600 } } : {}
  return { clientId, clean: false, version, ...properties }
}

function describe(packet: Packet): string {
  const { payload, ...rest } = packet as { payload?: unknown } & Packet
  return JSON.stringify(payload === undefined ? rest : { ...rest, payload: String(payload).slice(0, 100) })
}
