// Reads the properties of MQTT 5 (2.2.2): which may stand in which packet, once, with a value that is allowed.
import type { MessageProperties } from '../message.ts'
import { type BodyReader, malformed, protocolError } from './body-reader.ts'
import { ProtocolViolation } from './packets.ts'
import { reason } from './reason-codes.ts'
import { TextCache } from './text.ts'
import { isValidTopicName } from './topics.ts'

/** What was read; the packet takes the fields that are its own. */
export interface Properties {
  payloadFormat?: 0 | 1
  messageExpiryS?: number
  contentType?: string
  responseTopic?: string
  correlationData?: Buffer
  subscriptionId?: number
  sessionExpiryS?: number
  authenticationMethod?: string
  authenticationData?: Buffer
  requestProblemInformation?: boolean
  willDelayS?: number
  requestResponseInformation?: boolean
  reasonString?: string
  receiveMaximum?: number
  topicAliasMaximum?: number
  topicAlias?: number
  userProperties?: [name: string, value: string][]
  maximumPacketSize?: number
}

/** The packets of a client that carry properties, and the will inside CONNECT; one bit each. */
export const carrier = {
  connect: 1,
  will: 2,
  publish: 4,
  acknowledgement: 8,
  subscribe: 16,
  unsubscribe: 32,
  disconnect: 64,
  auth: 128,
} as const

export type Carrier = (typeof carrier)[keyof typeof carrier]

export const propertyId = {
  payloadFormat: 0x01,
  messageExpiry: 0x02,
  contentType: 0x03,
  responseTopic: 0x08,
  correlationData: 0x09,
  subscriptionId: 0x0b,
  sessionExpiry: 0x11,
  assignedClientId: 0x12,
  serverKeepAlive: 0x13,
  authenticationMethod: 0x15,
  authenticationData: 0x16,
  requestProblemInformation: 0x17,
  willDelay: 0x18,
  requestResponseInformation: 0x19,
  responseInformation: 0x1a,
  serverReference: 0x1c,
  reasonString: 0x1f,
  receiveMaximum: 0x21,
  topicAliasMaximum: 0x22,
  topicAlias: 0x23,
  maximumQos: 0x24,
  retainAvailable: 0x25,
  userProperty: 0x26,
  maximumPacketSize: 0x27,
  wildcardSubscriptionAvailable: 0x28,
  subscriptionIdsAvailable: 0x29,
  sharedSubscriptionAvailable: 0x2a,
} as const

const { connect, will, publish, acknowledgement, subscribe, unsubscribe, disconnect, auth } = carrier

/** Where a client may put each property. What is not here is unknown, or only a server sends it: malformed (2.2.2.2). */
const carriersOf: Readonly<Record<number, number>> = {
  [propertyId.payloadFormat]: publish | will,
  [propertyId.messageExpiry]: publish | will,
  [propertyId.contentType]: publish | will,
  [propertyId.responseTopic]: publish | will,
  [propertyId.correlationData]: publish | will,
  [propertyId.subscriptionId]: publish | subscribe,
  [propertyId.sessionExpiry]: connect | disconnect,
  [propertyId.authenticationMethod]: connect | auth,
  [propertyId.authenticationData]: connect | auth,
  [propertyId.requestProblemInformation]: connect,
  [propertyId.willDelay]: will,
  [propertyId.requestResponseInformation]: connect,
  [propertyId.reasonString]: acknowledgement | disconnect | auth,
  [propertyId.receiveMaximum]: connect,
  [propertyId.topicAliasMaximum]: connect,
  [propertyId.topicAlias]: publish,
  [propertyId.userProperty]: connect | will | publish | acknowledgement | subscribe | unsubscribe | disconnect | auth,
  [propertyId.maximumPacketSize]: connect,
}
const allowedIn = new Uint8Array(0x80)
for (const [id, carriers] of Object.entries(carriersOf)) allowedIn[Number(id)] = carriers

/** Of user properties: the same few come again and again. */
const names = new TextCache()

const none: Properties = Object.freeze({})

/** Reads the property length and the properties; leaves the reader behind them. Throws ProtocolViolation. */
export function readProperties(reader: BodyReader, packet: Carrier): Properties {
  const length = reader.variableInteger()
  if (length === 0) return none
  const packetEnd = reader.end
  const end = reader.position + length
  if (end > packetEnd) throw malformed('the property length reaches past the end of the packet')
  reader.end = end
  const properties: Properties = {}
  while (reader.position < end) {
    const id = reader.variableInteger()
    if (((allowedIn[id] ?? 0) & packet) === 0) throw malformed(`property ${id} may not stand in this packet`)
    readProperty(reader, packet, id, properties)
  }
  reader.end = packetEnd
  return properties
}

/** The properties of the message itself; undefined when there are none, as in most messages. */
export function messageProperties(properties: Properties): MessageProperties | undefined {
  const { payloadFormat, contentType, responseTopic, correlationData, userProperties } = properties
  const isBare = payloadFormat === undefined && contentType === undefined && responseTopic === undefined
  if (isBare && correlationData === undefined) return userProperties === undefined ? undefined : { userProperties }
  const result: { -readonly [key in keyof MessageProperties]: MessageProperties[key] } = {}
  if (payloadFormat !== undefined) result.payloadFormat = payloadFormat
  if (contentType !== undefined) result.contentType = contentType
  if (responseTopic !== undefined) result.responseTopic = responseTopic
  if (correlationData !== undefined) result.correlationData = correlationData
  if (userProperties !== undefined) result.userProperties = userProperties
  return result
}

function readProperty(reader: BodyReader, packet: Carrier, id: number, into: Properties): void {
  switch (id) {
    case propertyId.payloadFormat:
      once(into.payloadFormat, id)
      into.payloadFormat = zeroOrOne(reader, id)
      return
    case propertyId.messageExpiry:
      once(into.messageExpiryS, id)
      into.messageExpiryS = reader.uint32()
      return
    case propertyId.contentType:
      once(into.contentType, id)
      into.contentType = reader.text()
      return
    case propertyId.responseTopic:
      once(into.responseTopic, id)
      into.responseTopic = topicName(reader.text())
      return
    case propertyId.correlationData:
      once(into.correlationData, id)
      into.correlationData = reader.binary()
      return
    case propertyId.subscriptionId:
      // A client that puts it in a PUBLISH commits a protocol error [MQTT-3.3.4-6].
      if (packet === publish) throw protocolError('a subscription identifier comes only from the server')
      once(into.subscriptionId, id)
      into.subscriptionId = notZero(reader.variableInteger(), id)
      return
    case propertyId.sessionExpiry:
      once(into.sessionExpiryS, id)
      into.sessionExpiryS = reader.uint32()
      return
    case propertyId.authenticationMethod:
      once(into.authenticationMethod, id)
      into.authenticationMethod = reader.text()
      return
    case propertyId.authenticationData:
      once(into.authenticationData, id)
      into.authenticationData = reader.binary()
      return
    case propertyId.requestProblemInformation:
      once(into.requestProblemInformation, id)
      into.requestProblemInformation = zeroOrOne(reader, id) === 1
      return
    case propertyId.willDelay:
      once(into.willDelayS, id)
      into.willDelayS = reader.uint32()
      return
    case propertyId.requestResponseInformation:
      once(into.requestResponseInformation, id)
      into.requestResponseInformation = zeroOrOne(reader, id) === 1
      return
    case propertyId.reasonString:
      once(into.reasonString, id)
      into.reasonString = reader.text()
      return
    case propertyId.receiveMaximum:
      once(into.receiveMaximum, id)
      into.receiveMaximum = notZero(reader.uint16(), id)
      return
    case propertyId.topicAliasMaximum:
      once(into.topicAliasMaximum, id)
      into.topicAliasMaximum = reader.uint16()
      return
    case propertyId.topicAlias:
      once(into.topicAlias, id)
      into.topicAlias = reader.uint16()
      if (into.topicAlias === 0) throw new ProtocolViolation(reason.topicAliasInvalid, 'a topic alias is 0')
      return
    case propertyId.userProperty:
      into.userProperties ??= []
      into.userProperties.push([reader.cachedText(names), reader.text()])
      return
    case propertyId.maximumPacketSize:
      once(into.maximumPacketSize, id)
      into.maximumPacketSize = notZero(reader.uint32(), id)
      return
    default:
      // The table above let it through, so a case is missing here.
      throw new Error(`property ${id} is in the table but is not read`)
  }
}

function once(before: unknown, id: number): void {
  if (before !== undefined) throw protocolError(`property ${id} stands twice in the packet`)
}

function zeroOrOne(reader: BodyReader, id: number): 0 | 1 {
  const value = reader.byte()
  if (value !== 0 && value !== 1) throw protocolError(`property ${id} is ${value}, not 0 or 1`)
  return value
}

function notZero(value: number, id: number): number {
  if (value === 0) throw protocolError(`property ${id} is 0`)
  return value
}

function topicName(text: string): string {
  if (!isValidTopicName(text))
    throw new ProtocolViolation(reason.topicNameInvalid, 'the response topic is not a topic name')
  return text
}
