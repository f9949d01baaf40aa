// What a connection needs of the broker around it.
import type { LimitsConfig } from '../config/schema.ts'
import type { Session } from '../delivery/session.ts'
import type { Subscription } from '../delivery/subscription.ts'
import type { HookRunner } from '../hooks.ts'
import type { Message } from '../message.ts'
import type { Counts } from '../metrics/counts.ts'
import type { ClientInfo, PluginLog } from '../plugin.ts'
import type { Store, SubscriptionRecord, WillRecord } from '../store/store.ts'
import type { Connection } from './connection.ts'
import type { ReasonCode } from './reason-codes.ts'

export interface Refusal {
  readonly refused: ReasonCode
  /** A constant lower-case phrase for the log. */
  readonly because: string
  /** Where the client shall go instead (MQTT 4.11). */
  readonly serverReference?: string | undefined
}

export interface Opened {
  readonly session: Session
  readonly present: boolean
  /** A stored session ended for it: CONNACK waits until a crash cannot bring that back (MQTT-3.1.2-4). */
  readonly replaced: boolean
}

/** Counts what one publisher has in the log that is not durable yet; what it sends later must not overtake that. */
export interface Origin {
  waiting: number
}

export interface ConnectionHost {
  readonly limits: LimitsConfig
  readonly hooks: HookRunner
  readonly counts: Counts
  readonly store: Store
  readonly log: PluginLog
  /** Before anybody is asked who it is: rates, bans, load. Undefined: welcome. */
  admit(clientId: string, username: string | undefined, address: string): Refusal | undefined
  /** The same once it is known who it is. */
  admitIdentity(info: ClientInfo): Refusal | undefined
  /** Who has failed too often lately; `admit` asks it for the username of CONNECT. */
  banned(username: string | undefined, address: string): Refusal | undefined
  loginFailed(username: string | undefined, address: string): void
  /** It is known who the client of this connection is, or its identity has changed. */
  identified(connection: Connection): void
  /**
   * Ownership, takeover and session, in one step: of any number of connections with one client id, one stays. A promise
   * where other nodes have to be asked; undefined: the client went away meanwhile.
   */
  open(connection: Connection, wish: SessionWish): Opened | Refusal | Promise<Opened | Refusal | undefined>
  /** The connection has ended; called once for each that was opened. */
  closed(connection: Connection, how: Ending): void
  /** Its stream is closed; called once for each connection, opened or not. */
  gone(connection: Connection): void
  /** `done`: everything that its QoS asks is stored, or the error; `matched`: somebody subscribes to the topic. */
  publish(message: Message, origin: Origin, done: (error: Error | undefined, matched: boolean) => void): void
  subscribe(client: ClientInfo, subscription: Subscription): void
  /** Resolves when other nodes know what the session subscribed to; undefined: there is nothing that they have to know. */
  settled(session: Session): Promise<unknown> | undefined
  /** As in DeliveryHouse. */
  commitSent(session: Session, done: (error: Error | undefined) => void): void
  /** Writes down something about a subscription that changes nothing of what it delivers. */
  changeSubscription(session: Session, filter: string, change: Pick<SubscriptionRecord, 'automatic'>): void
  /** False: there was no such subscription. */
  unsubscribe(session: Session, filter: string): boolean
  /** Extensions that listen to aedes' events hear of it. */
  emitEvent(event: 'ping' | 'connackSent' | 'clientReady', connection: Connection): void
}

export interface SessionWish {
  readonly info: ClientInfo
  readonly cleanStart: boolean
  /** Seconds, after our cap. */
  readonly expiryS: number
  readonly will: WillRecord | undefined
}

export interface Ending {
  /** The client did not say goodbye, or not with Normal disconnection (MQTT-3.1.2-8, MQTT-3.14.4-3). */
  readonly withWill: boolean
  /** Constant lower-case phrase. */
  readonly phrase: string
  /** CONNACK had left: who was never told of a client need not be told of its end. */
  readonly welcomed: boolean
}
