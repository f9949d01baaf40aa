// A message on its way to many receivers: encoded once for each wire form and shared among them.
import type { Message, QoS } from '../message.ts'
import { type EncodedPublish, encodePublish } from '../protocol/encode.ts'
import type { ProtocolVersion } from '../protocol/packets.ts'

export interface WireForm {
  readonly version: ProtocolVersion
  readonly qos: QoS
  readonly retain: boolean
  readonly dup: boolean
  /** 0 for QoS 0. */
  readonly packetId: number
  readonly subscriptionIds: readonly number[] | undefined
  /** Set once a client knows the alias: the topic is left out (MQTT-3.3.2-8). */
  readonly topicAlias: number | undefined
  readonly sendTopic: boolean
}

export class Outgoing {
  readonly message: Message
  /** Its place in the log; 0: it is not in the log. */
  readonly sequence: number
  #shared: (EncodedPublish | undefined)[] | undefined

  constructor(message: Message, sequence: number) {
    this.message = message
    this.sequence = sequence
  }

  /** True once its Message Expiry Interval has passed (MQTT-3.3.2-5). */
  isExpired(): boolean {
    const { expiresAt } = this.message
    return expiresAt !== undefined && expiresAt <= Date.now()
  }

  encode(form: WireForm): Buffer {
    // What differs for each receiver, and the seconds left of an expiring message, cannot be shared.
    const own = form.subscriptionIds !== undefined || form.topicAlias !== undefined
    if (own || (form.version === 5 && this.message.expiresAt !== undefined)) return this.#encodeOwn(form).bytes
    const shared = this.#sharedForm(form)
    if (form.qos === 0) return shared.bytes
    const bytes = Buffer.allocUnsafe(shared.bytes.length)
    shared.bytes.copy(bytes)
    if (form.dup) bytes[0] = bytes[0]! | 0x08
    bytes.writeUInt16BE(form.packetId, shared.packetIdAt)
    return bytes
  }

  #sharedForm(form: WireForm): EncodedPublish {
    const key = (form.version === 5 ? 8 : 0) + (form.retain ? 4 : 0) + form.qos
    this.#shared ??= new Array(16)
    const known = this.#shared[key]
    if (known !== undefined) return known
    const made = this.#encodeOwn({ ...form, dup: false, packetId: form.qos === 0 ? 0 : 1 })
    this.#shared[key] = made
    return made
  }

  #encodeOwn(form: WireForm): EncodedPublish {
    const { message } = this
    return encodePublish(form.version, {
      topic: form.sendTopic ? message.topic : '',
      payload: message.payload,
      qos: form.qos,
      retain: form.retain,
      dup: form.dup,
      packetId: form.packetId,
      messageExpiryS: secondsLeft(message.expiresAt, Date.now()),
      topicAlias: form.topicAlias,
      subscriptionIds: form.subscriptionIds,
      properties: message.properties,
    })
  }
}

/** The time that a message waited is taken off its interval (MQTT-3.3.2-6). */
function secondsLeft(expiresAt: number | undefined, now: number): number | undefined {
  return expiresAt === undefined ? undefined : Math.max(0, Math.ceil((expiresAt - now) / 1000))
}
