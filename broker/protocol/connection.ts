// One network connection: frames in, one packet after the other, answers out in order, and an end with a reason.
import type { Duplex } from 'node:stream'
import type { Link } from '../delivery/link.ts'
import type { Outgoing, WireForm } from '../delivery/outgoing.ts'
import { Output, type OutputOwner } from '../delivery/output.ts'
import type { Session } from '../delivery/session.ts'
import { errorText } from '../errors.ts'
import type { IncomingConnection } from '../listeners/listener.ts'
import type { MessageProperties, QoS } from '../message.ts'
import type { ClientInfo, Identity } from '../plugin.ts'
import { TopicAliases } from './aliases.ts'
import { decode } from './decode.ts'
import { type EncodedPublish, encodeAck, encodeConnack, encodeDisconnect, encodePingresp } from './encode.ts'
import type { Frame } from './frames.ts'
import { type Exchange, handleAuth, refuseExchange } from './handle-auth.ts'
import { handleConnect, refuseVersion } from './handle-connect.ts'
import { handleAck, handlePublish } from './handle-publish.ts'
import { handleSubscribe, handleUnsubscribe } from './handle-subscribe.ts'
import type { ConnectionHost } from './host.ts'
import { Intake, type Taker } from './intake.ts'
import type { PaceHolder } from './pace.ts'
import { type ClientPacket, type DisconnectPacket, type ProtocolVersion, ProtocolViolation } from './packets.ts'
import { type ReasonCode, reason } from './reason-codes.ts'
import { type Answerer, Replies } from './replies.ts'
import { isWritten, type StreamOwner, serveStream } from './serve-stream.ts'

type State = 'waiting' | 'connecting' | 'connected' | 'closed'

/** What the client asked for at CONNECT; the defaults of the standard until then. */
export interface ClientTerms {
  /** Undefined until CONNECT was read. */
  version: ProtocolVersion | undefined
  /** Unacknowledged QoS 1 and 2 deliveries (MQTT-3.1.2.11.3). */
  window: number
  /** Bytes (MQTT-3.1.2-24). */
  maximumPacketSize: number
  /** Reason strings and user properties on answers (MQTT-3.1.2-29). */
  problemInformation: boolean
  /** Milliseconds without a packet after which the connection ends (MQTT-3.1.2-22). */
  silenceMs: number
}

/** How long a peer that was told goodbye may take to read it. */
const lingerMs = 1_000

const noDuplicates: Readonly<Record<string, never>> = Object.freeze({})

export class Connection implements Link, Taker, Answerer, OutputOwner, StreamOwner {
  readonly host: ConnectionHost
  readonly peer: IncomingConnection
  readonly terms: ClientTerms
  readonly replies: Replies
  readonly intake: Intake
  /** An enhanced authentication under way (MQTT 4.12). */
  exchange: Exchange | undefined = undefined
  /** CONNECT named an authentication method: no other may be used, and it may be used again while connected. */
  authenticated: Pick<Exchange, 'method' | 'credentials'> | undefined = undefined
  #state: State = 'waiting'
  #welcomed = false
  #info: ClientInfo | undefined = undefined
  #session: Session | undefined = undefined
  #aliases: TopicAliases | undefined = undefined
  readonly #stream: Duplex
  readonly #output: Output
  #goodbye: DisconnectPacket | undefined = undefined

  constructor(host: ConnectionHost, peer: IncomingConnection) {
    this.host = host
    this.peer = peer
    this.terms = {
      version: undefined,
      window: host.limits.inflightOut,
      maximumPacketSize: Number.POSITIVE_INFINITY,
      problemInformation: true,
      silenceMs: host.limits.connectTimeoutMs,
    }
    const stream = peer.stream
    this.#stream = stream
    this.intake = new Intake(stream, host.limits, peer.acceptedAt, this)
    this.#output = new Output(stream, host.limits.outputLowBytes, this)
    this.replies = new Replies(this)
    serveStream(stream, this)
  }

  get id(): string {
    return this.#info?.id ?? ''
  }

  get closed(): boolean {
    return this.#state === 'closed'
  }

  get connected(): boolean {
    return this.#state === 'connected'
  }

  /** Asked of a connection by aedes' core, which keeps no duplicates for ours. */
  get duplicates(): object {
    return noDuplicates
  }

  get aliases(): TopicAliases {
    this.#aliases ??= new TopicAliases()
    return this.#aliases
  }

  get version(): ProtocolVersion {
    return this.terms.version ?? 4
  }

  get window(): number {
    return this.terms.window
  }

  get hasRoom(): boolean {
    return this.#output.hasRoom
  }

  /** Its CONNECT has come so far that it is known who it is. */
  get isIdentified(): boolean {
    return this.#info !== undefined && this.#state !== 'closed'
  }

  /** Of an identified connection. */
  get info(): ClientInfo {
    if (this.#info === undefined) throw new Error('nobody knows yet who it is')
    return this.#info
  }

  get session(): Session {
    if (this.#session === undefined) throw new Error('the connection is not opened')
    return this.#session
  }

  /** It is known who the client is; CONNECT is not accepted yet. */
  identified(info: ClientInfo): void {
    this.#info = info
    this.host.identified(this)
  }

  /** CONNECT was accepted. */
  opened(session: Session): void {
    this.#session = session
    this.#state = 'connected'
    this.intake.packetMaxBytes = this.host.limits.packetMaxBytes
  }

  /** CONNACK has left: from now on the client may be told DISCONNECT (MQTT-3.14.0-1). */
  welcomed(): void {
    this.#welcomed = true
  }

  /** The client proved again who it is, or the house changed it: its rights are to be asked for again. */
  renewed(identity: Identity): void {
    Object.assign(this.info, { identity })
    this.host.identified(this)
  }

  write(bytes: Buffer): void {
    if (this.#state === 'closed') return
    this.#output.write(bytes)
    this.#wrote(bytes.length)
  }

  sendPublish(
    outgoing: Outgoing,
    qos: QoS,
    retain: boolean,
    dup: boolean,
    packetId: number,
    subscriptionIds: readonly number[] | undefined,
    marks?: MessageProperties['userProperties'],
  ): boolean {
    const { version } = this
    const ids = version === 5 ? subscriptionIds : undefined
    const hasAliases = this.#aliases !== undefined && this.#aliases.outgoingMax > 0
    if (ids === undefined && marks === undefined && !dup && !hasAliases && outgoing.mayShare(version)) {
      return this.#sendShared(outgoing.encodeShared(version, qos, retain), packetId)
    }
    const bytes = this.#encodeOwn(outgoing, { version, qos, retain, dup, packetId, subscriptionIds: ids, marks })
    if (bytes.length > this.terms.maximumPacketSize) return false
    this.write(bytes)
    return true
  }

  sendPubrel(packetId: number, reasonCode: ReasonCode): void {
    this.replies.send(encodeAck(this.version, 'pubrel', packetId, reasonCode, undefined))
  }

  /** Text for a reason string, where the client wants problem information (MQTT-3.1.2-29). */
  explain(text: string): string | undefined {
    return this.terms.problemInformation ? text : undefined
  }

  /** The server ends the connection: MQTT 5 clients are told why (MQTT 4.13). */
  end(reasonCode: ReasonCode, phrase: string): void {
    if (this.#state === 'closed') return
    this.#tellEnd(reasonCode, phrase)
    this.#finish(phrase, true)
    this.#leave()
  }

  /** The client is sent to another node (MQTT 4.11), and its session follows: it is not gone, so its will stays silent. */
  sendElsewhere(phrase: string, serverReference: string | undefined): void {
    if (this.#state === 'closed') return
    this.#tellEnd(reason.useAnotherServer, phrase, serverReference)
    this.#finish(phrase, false)
    this.#leave()
  }

  /** Ends with a last answer instead of DISCONNECT: a refused CONNECT. One that is too large is not sent (MQTT-3.1.2-24). */
  endWith(bytes: Buffer, phrase: string): void {
    if (this.#state === 'closed') return
    if (bytes.length <= this.terms.maximumPacketSize) this.#output.write(bytes)
    this.#finish(phrase, false)
    this.#leave()
  }

  /** aedes' contract: ends the connection as the broker shuts it down. */
  close(done?: () => void): void {
    this.end(reason.serverShuttingDown, 'the server shuts down')
    done?.()
  }

  /** Nothing can be stored: no acknowledgement, and no CONNACK, may leave. */
  storageFailed(): void {
    const phrase = 'storage is not available'
    if (this.#welcomed) this.end(reason.serverBusy, phrase)
    else {
      const refusal = { sessionPresent: false, reasonCode: reason.serverUnavailable }
      this.endWith(encodeConnack(this.version, refusal), phrase)
    }
  }

  #tellEnd(reasonCode: ReasonCode, phrase: string, serverReference?: string): void {
    this.host.counts.disconnectsSent[reasonCode] += 1
    this.host.log.info(this.#fields({ reasonCode }), `connection ended: ${phrase}`)
    if (!this.#welcomed || this.version !== 5) return
    const { maximumPacketSize } = this.terms
    const bytes = encodeDisconnect(reasonCode, this.explain(phrase), maximumPacketSize, serverReference)
    if (bytes.length <= maximumPacketSize) this.#output.write(bytes)
  }

  #sendShared({ bytes, packetIdAt }: EncodedPublish, packetId: number): boolean {
    if (bytes.length > this.terms.maximumPacketSize) return false
    if (this.#state === 'closed') return true
    if (packetId === 0) this.#output.write(bytes)
    else this.#output.writeNumbered(bytes, packetIdAt, packetId)
    this.#wrote(bytes.length)
    return true
  }

  #wrote(bytes: number): void {
    this.host.counts.bytesOut += bytes
    if (this.#output.pendingBytes <= this.host.limits.outputHighBytes) return
    this.host.counts.slowConsumersCut += 1
    this.host.log.info(this.#fields({}), 'connection cut: reads too slowly')
    this.#finish('reads too slowly', true)
    this.#stream.destroy()
  }

  #encodeOwn(outgoing: Outgoing, form: Omit<WireForm, 'topicAlias' | 'sendTopic'>): Buffer {
    const { topic } = outgoing.message
    const alias = this.aliases.outgoing(topic)
    const bytes = outgoing.encodeOwn({ ...form, topicAlias: alias?.alias, sendTopic: alias?.known !== true })
    if (bytes.length <= this.terms.maximumPacketSize || alias === undefined) return bytes
    // An alias costs three bytes, which may be the ones too many.
    if (!alias.known) this.aliases.forget(topic)
    return outgoing.encodeOwn({ ...form, topicAlias: undefined, sendTopic: true })
  }

  /** Bytes of the client. */
  received(chunk: Buffer): void {
    if (this.#state === 'closed') return
    this.host.counts.bytesIn += chunk.length
    this.intake.push(chunk)
  }

  /** Throws ProtocolViolation. */
  take({ header, body }: Frame): Promise<void> | undefined {
    return this.#handle(decode(header, body, this.terms.version))
  }

  paused(holder: PaceHolder): void {
    this.host.counts.paused[holder] += 1
  }

  roomCameBack(): void {
    this.#session?.outbox.pump()
  }

  #handle(packet: ClientPacket): Promise<void> | undefined {
    if (packet.type === 'connect') {
      if (this.#state !== 'waiting') throw new ProtocolViolation(reason.protocolError, 'a second CONNECT')
      this.#state = 'connecting'
      return handleConnect(this, packet)
    }
    if (this.#state === 'waiting') throw new ProtocolViolation(reason.protocolError, 'the first packet is not CONNECT')
    if (packet.type === 'auth') return handleAuth(this, packet)
    if (packet.type === 'disconnect') return this.#disconnect(packet)
    // MQTT-3.1.2-30.
    if (this.#state !== 'connected') throw new ProtocolViolation(reason.protocolError, 'only AUTH leads to CONNACK')
    switch (packet.type) {
      case 'publish':
        this.intake.published(packet.payload.length)
        return handlePublish(this, packet)
      case 'puback':
      case 'pubrec':
      case 'pubrel':
      case 'pubcomp':
        return handleAck(this, packet)
      case 'subscribe':
        return handleSubscribe(this, packet)
      case 'unsubscribe':
        return handleUnsubscribe(this, packet)
      case 'pingreq':
        this.replies.send(encodePingresp())
        this.host.emitEvent('ping', this)
        return undefined
    }
  }

  #disconnect(packet: DisconnectPacket): undefined {
    const session = this.#session
    if (session !== undefined && packet.sessionExpiryS !== undefined) {
      if (session.expiryS === 0 && packet.sessionExpiryS > 0) {
        throw new ProtocolViolation(reason.protocolError, 'a session that ends with its connection cannot be prolonged')
      }
      session.expiryS = Math.min(packet.sessionExpiryS, this.host.limits.sessionExpiryMaxS)
    }
    this.#goodbye = packet
    this.#finish('disconnected by the client', packet.reasonCode !== reason.success)
    this.#leave()
    return undefined
  }

  failed(error: unknown): void {
    if (error instanceof ProtocolViolation) {
      if (this.#state === 'waiting' && refuseVersion(this, error)) return
      if (this.#state === 'connecting') refuseExchange(this, error)
      else this.end(error.reasonCode as ReasonCode, error.message)
      return
    }
    this.host.log.error(this.#fields({ error: errorText(error) }), 'a packet could not be handled')
    this.end(reason.unspecifiedError, 'internal error')
  }

  /** The stream has ended, or broke. */
  lost(phrase: string): void {
    if (this.#state === 'closed') return
    this.#finish(phrase, true)
    this.#stream.destroy()
  }

  closedForGood(): void {
    this.host.gone(this)
  }

  /** An answer that the client cannot take must not be sent, and it cannot go without (MQTT-3.1.2-24). */
  answer(bytes: Buffer): void {
    if (bytes.length <= this.terms.maximumPacketSize) this.write(bytes)
    else this.end(reason.packetTooLarge, 'an answer is larger than its Maximum Packet Size')
  }

  /** From here on nothing is read and nothing is answered. */
  #finish(phrase: string, withWill: boolean): void {
    const opened = this.#state === 'connected'
    this.#state = 'closed'
    this.intake.stop()
    this.replies.clear()
    this.host.counts.connectionsClosed += 1
    if (opened) this.host.closed(this, { withWill, phrase, welcomed: this.#welcomed })
  }

  /** Lets the peer read the last bytes, then lets go of it. What it still sends is thrown away. */
  #leave(): void {
    this.#output.flush()
    const stream = this.#stream
    if (this.#goodbye !== undefined && isWritten(stream)) {
      stream.destroy()
      return
    }
    const timer = setTimeout(() => stream.destroy(), lingerMs)
    stream.once('close', () => clearTimeout(timer))
    stream.resume()
    stream.end()
    if (this.#goodbye !== undefined) stream.once('finish', () => stream.destroy())
  }

  #fields(more: object): object {
    return { clientId: this.id, address: this.peer.address, listener: this.peer.listener, ...more }
  }
}
