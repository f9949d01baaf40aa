// A will as the message that it will be.
import type { Message } from '../message.ts'
import type { ClientInfo } from '../plugin.ts'
import type { Will } from './packets.ts'
import { withoutReserved } from './reserved.ts'

/** Its expiry interval counts from when it is published: until then `publishedAt` is 0 (MQTT-3.1.3.2.4). */
export function willMessage(will: Will, info: ClientInfo): Message {
  return {
    topic: will.topic,
    payload: Buffer.from(will.payload),
    qos: will.qos,
    retain: will.retain,
    properties: withoutReserved(will.properties),
    clientId: info.id,
    username: info.identity.username,
    publishedAt: 0,
    expiresAt: will.messageExpiryS === undefined ? undefined : will.messageExpiryS * 1000,
  }
}

export function publishedNow(will: Message): Message {
  const now = Date.now()
  return { ...will, publishedAt: now, expiresAt: will.expiresAt === undefined ? undefined : now + will.expiresAt }
}
