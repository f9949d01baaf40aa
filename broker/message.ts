// A message as it lives inside the house: what was published, by whom and when; never a wire packet.

export type QoS = 0 | 1 | 2

/** The properties of a PUBLISH that travel with the message from sender to receiver (MQTT 5.0, 3.3.2.3). */
export interface MessageProperties {
  /** 1: the sender claims that the payload is UTF-8 text. */
  readonly payloadFormat?: 0 | 1
  readonly contentType?: string
  readonly responseTopic?: string
  readonly correlationData?: Buffer
  /** In the order in which they came; a name may repeat (MQTT-3.3.2-18). */
  readonly userProperties?: readonly (readonly [name: string, value: string])[]
}

export interface Message {
  readonly topic: string
  readonly payload: Buffer
  readonly qos: QoS
  /** As published; whether a receiver sees it set is decided for each delivery (MQTT-3.3.1-8 … 13). */
  readonly retain: boolean
  readonly properties: MessageProperties | undefined
  /** Client id of the publisher; "" for a message that the broker itself made. */
  readonly clientId: string
  /** Username of the publisher; "" for a message that the broker itself made. */
  readonly username: string
  /** When it came in, in milliseconds since 1970. */
  readonly publishedAt: number
  /** When it stops being of use, in milliseconds since 1970; undefined: never (MQTT-3.3.2-5). */
  readonly expiresAt: number | undefined
  /**
   * Only in the log, of what is there for one session alone: the filter, as the client wrote it, of the subscription
   * that it comes by. `$share/NAME/…`: its turn in a shared group; any other: a retained message of a new subscription.
   */
  readonly via?: string
  /** Where it was published, on every other node of a cluster. Undefined: here. */
  readonly origin?: MessageOrigin
}

/** Never the same for two messages. */
export interface MessageOrigin {
  /** Of the node where it was published. */
  readonly storeId: number
  /** In the log of that store; 0: it was published with QoS 0 and has no number. */
  readonly sequence: number
}
