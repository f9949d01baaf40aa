// The control packets of MQTT 3.1, 3.1.1 and 5.0 as values; the codec turns them into bytes and back.
import type { MessageProperties, QoS } from '../message.ts'

/** Protocol level on the wire: 3 is MQTT 3.1, 4 is 3.1.1, 5 is 5.0. */
export type ProtocolVersion = 3 | 4 | 5

export type UserProperties = readonly (readonly [name: string, value: string])[]

export interface ConnectPacket {
  readonly type: 'connect'
  readonly protocolVersion: ProtocolVersion
  /** Clean Session in 3.1 and 3.1.1. */
  readonly cleanStart: boolean
  /** Seconds; 0: off. */
  readonly keepAlive: number
  readonly clientId: string
  readonly username: string | undefined
  readonly password: Buffer | undefined
  readonly will: Will | undefined
  readonly properties: ConnectProperties
}

export interface Will {
  readonly topic: string
  readonly payload: Buffer
  readonly qos: QoS
  readonly retain: boolean
  /** Will Delay Interval in seconds; 0 before MQTT 5. */
  readonly delayS: number
  /** Message Expiry Interval in seconds. */
  readonly messageExpiryS: number | undefined
  readonly properties: MessageProperties | undefined
}

export interface ConnectProperties {
  readonly sessionExpiryS?: number
  readonly receiveMaximum?: number
  readonly maximumPacketSize?: number
  readonly topicAliasMaximum?: number
  readonly requestResponseInformation?: boolean
  readonly requestProblemInformation?: boolean
  readonly userProperties?: UserProperties
  readonly authenticationMethod?: string
  readonly authenticationData?: Buffer
}

export interface PublishPacket {
  readonly type: 'publish'
  /** "" when a topic alias stands for it. */
  readonly topic: string
  readonly payload: Buffer
  readonly qos: QoS
  readonly retain: boolean
  readonly dup: boolean
  /** 0 for QoS 0. */
  readonly packetId: number
  /** Seconds. */
  readonly messageExpiryS: number | undefined
  readonly topicAlias: number | undefined
  /** Only from server to client; may be several. */
  readonly subscriptionIds: readonly number[] | undefined
  readonly properties: MessageProperties | undefined
}

/** PUBACK, PUBREC, PUBREL, PUBCOMP. */
export interface AckPacket {
  readonly type: 'puback' | 'pubrec' | 'pubrel' | 'pubcomp'
  readonly packetId: number
  /** 0 before MQTT 5. */
  readonly reasonCode: number
}

export interface SubscribeRequest {
  readonly filter: string
  readonly qos: QoS
  readonly noLocal: boolean
  readonly retainAsPublished: boolean
  readonly retainHandling: 0 | 1 | 2
}

export interface SubscribePacket {
  readonly type: 'subscribe'
  readonly packetId: number
  readonly subscriptionId: number | undefined
  readonly requests: readonly SubscribeRequest[]
}

export interface UnsubscribePacket {
  readonly type: 'unsubscribe'
  readonly packetId: number
  readonly filters: readonly string[]
}

export interface PingreqPacket {
  readonly type: 'pingreq'
}

export interface DisconnectPacket {
  readonly type: 'disconnect'
  /** 0 before MQTT 5. */
  readonly reasonCode: number
  readonly sessionExpiryS: number | undefined
}

export interface AuthPacket {
  readonly type: 'auth'
  readonly reasonCode: number
  readonly method: string | undefined
  readonly data: Buffer | undefined
}

/** What a client may send. */
export type ClientPacket =
  | ConnectPacket
  | PublishPacket
  | AckPacket
  | SubscribePacket
  | UnsubscribePacket
  | PingreqPacket
  | DisconnectPacket
  | AuthPacket

/** A packet that breaks the standard; `reasonCode` is the one of MQTT 5 that names the breach (2.4, 4.13). */
export class ProtocolViolation extends Error {
  readonly reasonCode: number

  constructor(reasonCode: number, message: string) {
    super(message)
    this.name = 'ProtocolViolation'
    this.reasonCode = reasonCode
  }
}
