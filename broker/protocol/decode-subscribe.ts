// Decodes SUBSCRIBE (3.8) and UNSUBSCRIBE (3.10).
//
// A filter with wrong syntax ends the connection. MQTT 5 has 0x8F in SUBACK for a filter that is "correctly formed but
// not allowed" (table 3-8); one that is not correctly formed breaks [MQTT-4.7.1-1], [MQTT-4.7.1-2] or [MQTT-4.8.2-1] and
// falls under 4.13.1: the server closes the connection. So does 3.1.1 [MQTT-4.8.0-1]. The DISCONNECT before it carries
// 0x8F and not the general 0x81, because that tells a programmer where to look.
import type { QoS } from '../message.ts'
import { BodyReader, malformed, protocolError } from './body-reader.ts'
import {
  type ProtocolVersion,
  ProtocolViolation,
  type SubscribePacket,
  type SubscribeRequest,
  type UnsubscribePacket,
} from './packets.ts'
import { carrier, readProperties } from './properties.ts'
import { reason } from './reason-codes.ts'
import { filterProblem } from './topics.ts'

export function decodeSubscribe(body: Buffer, version: ProtocolVersion): SubscribePacket {
  const reader = new BodyReader(body)
  const packetId = readPacketId(reader)
  const subscriptionId = version === 5 ? readProperties(reader, carrier.subscribe).subscriptionId : undefined
  const requests: SubscribeRequest[] = []
  while (!reader.atEnd) {
    const filter = readFilter(reader)
    requests.push(version === 5 ? requestOfFive(filter, reader.byte()) : requestBeforeFive(filter, reader.byte()))
  }
  if (requests.length === 0) throw protocolError('SUBSCRIBE has no topic filter') // [MQTT-3.8.3-2]
  return { type: 'subscribe', packetId, subscriptionId, requests }
}

export function decodeUnsubscribe(body: Buffer, version: ProtocolVersion): UnsubscribePacket {
  const reader = new BodyReader(body)
  const packetId = readPacketId(reader)
  if (version === 5) readProperties(reader, carrier.unsubscribe)
  const filters: string[] = []
  while (!reader.atEnd) filters.push(readFilter(reader))
  if (filters.length === 0) throw protocolError('UNSUBSCRIBE has no topic filter') // [MQTT-3.10.3-2]
  return { type: 'unsubscribe', packetId, filters }
}

function readPacketId(reader: BodyReader): number {
  const packetId = reader.uint16()
  if (packetId === 0) throw protocolError('a packet identifier is 0') // [MQTT-2.2.1-3]
  return packetId
}

function readFilter(reader: BodyReader): string {
  const filter = reader.text()
  const problem = filterProblem(filter)
  if (problem !== undefined) throw new ProtocolViolation(reason.topicFilterInvalid, `a topic filter ${problem}`)
  return filter
}

/** The options byte is a QoS and nothing else [MQTT-3.8.3-4 of 3.1.1]. */
function requestBeforeFive(filter: string, options: number): SubscribeRequest {
  if (options > 2) throw malformed(`SUBSCRIBE asks for QoS ${options}`)
  return { filter, qos: options as QoS, noLocal: false, retainAsPublished: false, retainHandling: 0 }
}

function requestOfFive(filter: string, options: number): SubscribeRequest {
  if ((options & 0xc0) !== 0) throw malformed('SUBSCRIBE has reserved subscription options set') // [MQTT-3.8.3-5]
  const qos = options & 3
  if (qos === 3) throw protocolError('SUBSCRIBE asks for QoS 3') // 3.8.3.1
  const retainHandling = options >> 4
  if (retainHandling === 3) throw protocolError('SUBSCRIBE has Retain Handling 3') // 3.8.3.1
  const noLocal = (options & 4) !== 0
  // [MQTT-3.8.3-4]
  if (noLocal && filter.startsWith('$share/')) throw protocolError('SUBSCRIBE has No Local on a shared subscription')
  return {
    filter,
    qos: qos as QoS,
    noLocal,
    retainAsPublished: (options & 8) !== 0,
    retainHandling: retainHandling as 0 | 1 | 2,
  }
}
