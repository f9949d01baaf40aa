// A connection on its way in: from the accepted socket through PROXY header, TLS and WebSocket to the hand-over.
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { PeerCertificate } from '../plugin.ts'
import type { ConnectionRefusal, IncomingConnection } from './listener.ts'

export interface ArrivalOwner {
  readonly listener: string
  readonly timeoutMs: number
  onReady(connection: IncomingConnection): void
  onRefused(arrival: Arrival, reason: ConnectionRefusal, detail: string | undefined): void
  onSettled(arrival: Arrival): void
}

/** Ends in exactly one of two ways, handed over or refused, and at the latest when its time is up. */
export class Arrival {
  readonly socket: Socket
  readonly acceptedAt = Date.now()
  address: string
  port: number
  certificate: PeerCertificate | undefined
  readonly #owner: ArrivalOwner
  readonly #deadline: NodeJS.Timeout
  #handedOver = false
  #refused = false

  constructor(socket: Socket, address: string, owner: ArrivalOwner) {
    this.socket = socket
    this.address = address
    this.port = socket.remotePort ?? 0
    this.#owner = owner
    this.#deadline = setTimeout(() => this.refuse('timeout', undefined), owner.timeoutMs)
    socket.once('close', () => this.#closed())
  }

  /** The stream carries MQTT from here on. */
  handOver(stream: Duplex): void {
    if (this.#handedOver || this.#refused) {
      stream.destroy()
      return
    }
    this.#handedOver = true
    this.#settle()
    this.#owner.onReady({
      stream,
      listener: this.#owner.listener,
      address: this.address,
      port: this.port,
      certificate: this.certificate,
      acceptedAt: this.acceptedAt,
    })
  }

  /** Counted and logged once, and the socket is cut. */
  refuse(reason: ConnectionRefusal, detail: string | undefined): void {
    this.refuseGently(reason, detail)
    if (!this.#handedOver) this.socket.destroy()
  }

  /** Counted and logged once; the caller still says goodbye and closes, and the deadline cuts whoever does not go. */
  refuseGently(reason: ConnectionRefusal, detail: string | undefined): void {
    if (this.#handedOver || this.#refused) return
    this.#refused = true
    this.#owner.onRefused(this, reason, detail)
  }

  #closed(): void {
    if (this.#handedOver) return
    this.refuseGently('aborted', undefined)
    this.#settle()
  }

  #settle(): void {
    clearTimeout(this.#deadline)
    this.#owner.onSettled(this)
  }
}
