// aedes' packets and ours, translated.
import type { AedesPublishPacket, PublishPacket } from 'aedes'
import type { Message } from '../message.ts'

export type Packet = Pick<PublishPacket, 'topic' | 'payload'> & Partial<PublishPacket>

export function toMessage(packet: Packet, clientId: string): Message {
  const { topic, payload } = packet
  return {
    topic,
    payload: Buffer.isBuffer(payload) ? payload : Buffer.from(payload ?? ''),
    qos: packet.qos ?? 0,
    retain: packet.retain ?? false,
    properties: undefined,
    clientId,
    username: '',
    publishedAt: Date.now(),
    expiresAt: undefined,
  }
}

export function toPacket(
  message: Message,
): Omit<AedesPublishPacket, 'brokerId' | 'brokerCounter'> & { clientId: string } {
  const { topic, payload, qos, retain, clientId } = message
  return { cmd: 'publish', topic, payload, qos, retain, dup: false, clientId }
}
