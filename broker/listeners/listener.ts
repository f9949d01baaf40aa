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
  /** Stops accepting; what is open stays open. */
  close(): Promise<void>
}

export type OnConnection = (connection: IncomingConnection) => void
