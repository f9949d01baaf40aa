// What a session needs of the connection that serves it: the way out, and how much may be on the way.
import type { MessageProperties, QoS } from '../message.ts'
import type { ClientInfo } from '../plugin.ts'
import type { ReasonCode } from '../protocol/reason-codes.ts'
import type { Outgoing } from './outgoing.ts'

export interface Link {
  readonly info: ClientInfo
  /** How many QoS 1 and 2 messages may be unacknowledged: the client's Receive Maximum, or our default. */
  readonly window: number
  /** Output below its low mark: there is room for more. The session is told by `resume` when room comes back. */
  readonly hasRoom: boolean
  /**
   * False: larger than the client's Maximum Packet Size; it was not sent and counts as delivered (MQTT-3.1.2-25).
   * `marks` are user properties for this receiver alone; before MQTT 5 there are none.
   */
  sendPublish(
    outgoing: Outgoing,
    qos: QoS,
    retain: boolean,
    dup: boolean,
    packetId: number,
    subscriptionIds: readonly number[] | undefined,
    marks?: MessageProperties['userProperties'],
  ): boolean
  sendPubrel(packetId: number, reasonCode: ReasonCode): void
  /** Ends the connection, with DISCONNECT and this reason where the client understands it. */
  end(reasonCode: ReasonCode, phrase: string): void
}
