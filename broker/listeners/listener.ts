// The listener contract: sockets of any kind become connections of one kind.
import type { Duplex } from 'node:stream'
import type { PeerCertificate } from '../plugin.ts'

/** An accepted byte stream; for WebSocket the MQTT bytes inside the frames. */
export interface IncomingConnection {
  readonly stream: Duplex
  /** Name of the listener. */
  readonly listener: string
  /** Remote address without port, after the PROXY protocol; "" for a Unix socket. */
  readonly address: string
  /** Remote port, 0 where there is none. */
  readonly port: number
  /** Set when a client certificate was asked for and verified. */
  readonly certificate: PeerCertificate | undefined
  /** When the TCP connection was accepted: the time to CONNECT counts from here, in milliseconds since 1970. */
  readonly acceptedAt: number
}

export interface Listener {
  readonly name: string
  /** Where it listens, for people: `mqtt://127.0.0.1:1883`. */
  readonly url: string
  /** The port that is really open (a configured 0 chooses a free one); 0 for a Unix socket. */
  readonly port: number
  /** Stops accepting and cuts what is not yet handed over; what was handed over stays open. */
  close(): Promise<void>
}

export type OnConnection = (connection: IncomingConnection) => void

/** Why a connection never became an IncomingConnection; each is counted and each has a level in the log. */
export const connectionRefusals = {
  /** `connectionsMax` of the listener, or of all listeners. */
  limit: 'warn',
  /** `connectionsPerAddress`. */
  address_limit: 'warn',
  /** `perAddressPerS`. */
  address_rate: 'warn',
  /** The broker has too much to do. */
  overload: 'warn',
  /** A PROXY protocol header that is missing, broken, or comes from an address that may not send one. */
  proxy: 'info',
  /** No TLS handshake, or a client certificate that does not prove anything. */
  tls: 'info',
  /** Not a WebSocket upgrade for MQTT. */
  upgrade: 'info',
  /** Not ready in time. */
  timeout: 'info',
  /** The client left before it was ready: port scans and health checks do. */
  aborted: 'debug',
  /** The operating system refused, for want of file descriptors for example. */
  system: 'error',
} as const satisfies Record<string, 'debug' | 'info' | 'warn' | 'error'>

export type ConnectionRefusal = keyof typeof connectionRefusals

/** Counted by the listeners, published by metrics. */
export interface ListenerCounts {
  /** Handed over. */
  connectionsOpened: number
  readonly connectionsRefused: Record<ConnectionRefusal, number>
  certificateReloads: number
  certificateReloadFailures: number
}
