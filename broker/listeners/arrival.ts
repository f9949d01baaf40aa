// A connection on its way in: from the accepted socket through PROXY header, TLS and WebSocket to the hand-over.
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { PeerCertificate } from '../plugin.ts'
import type { ConnectionRefusal, IncomingConnection } from './listener.ts'

export interface ArrivalOwner {
  readonly listener: string
  onReady(connection: IncomingConnection): void
  onRefused(arrival: Arrival, reason: ConnectionRefusal, detail: string | undefined): void
  /** Handed over, or refused and closed. */
  onSettled(arrival: Arrival): void
  /** Its socket is closed, whatever became of it. */
  onClosed(arrival: Arrival): void
}

/** One property of the socket and one function for all, because closures for each were 400 bytes of a connection. */
const ofSocket = Symbol('arrival')
type ArrivingSocket = Socket & { [ofSocket]?: Arrival }

/**
 * Ends in exactly one of two ways, handed over or refused, and at the latest when its time is up. What is handed over
 * is the arrival itself: an idle connection costs no second object.
 */
export class Arrival implements IncomingConnection {
  readonly socket: Socket
  readonly acceptedAt = Date.now()
  address: string
  port: number
  certificate: PeerCertificate | undefined = undefined
  /** Counted among the open connections of its address. */
  counted = false
  #stream: Duplex | undefined
  readonly #owner: ArrivalOwner
  #refused = false

  constructor(socket: Socket, address: string, owner: ArrivalOwner) {
    this.socket = socket
    this.address = address
    this.port = socket.remotePort ?? 0
    this.#owner = owner
    ;(socket as ArrivingSocket)[ofSocket] = this
    socket.on('close', onClose)
  }

  get listener(): string {
    return this.#owner.listener
  }

  /** Of an arrival that was handed over. */
  get stream(): Duplex {
    return this.#stream ?? this.socket
  }

  /** Handed over, or refused. */
  get settled(): boolean {
    return this.#refused || this.#stream !== undefined
  }

  /** The stream carries MQTT from here on. */
  handOver(stream: Duplex): void {
    if (this.settled) {
      stream.destroy()
      return
    }
    this.#stream = stream
    this.#owner.onSettled(this)
    this.#owner.onReady(this)
  }

  /** Counted and logged once, and the socket is cut. */
  refuse(reason: ConnectionRefusal, detail: string | undefined): void {
    this.refuseGently(reason, detail)
    if (this.#stream === undefined) this.socket.destroy()
  }

  /** Counted and logged once; the caller still says goodbye and closes, and the deadline cuts whoever does not go. */
  refuseGently(reason: ConnectionRefusal, detail: string | undefined): void {
    if (this.settled) return
    this.#refused = true
    this.#owner.onRefused(this, reason, detail)
  }

  closed(): void {
    if (this.#stream === undefined) {
      this.refuseGently('aborted', undefined)
      this.#owner.onSettled(this)
    }
    this.#owner.onClosed(this)
  }
}

function onClose(this: ArrivingSocket): void {
  this[ofSocket]?.closed()
}
