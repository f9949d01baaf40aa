// Decodes CONNECT of MQTT 3.1, 3.1.1 and 5.0 (3.1), and finds out the version of one that cannot be decoded.
import type { QoS } from '../message.ts'
import { BodyReader, malformed, protocolError } from './body-reader.ts'
import {
  type ConnectPacket,
  type ConnectProperties,
  type ProtocolVersion,
  ProtocolViolation,
  type Will,
} from './packets.ts'
import { carrier, messageProperties, type Properties, readProperties } from './properties.ts'
import { reason } from './reason-codes.ts'
import { isValidTopicName } from './topics.ts'

const flag = { reserved: 1, cleanStart: 2, will: 4, willRetain: 32, password: 64, username: 128 } as const

/**
 * Throws ProtocolViolation: 0x84 for a protocol name or level that Oriole does not speak (bridges with 0x80 added to
 * the level included), else 0x81, 0x82 or 0x90. An empty client identifier is the connection's to judge, because
 * CONNACK answers it.
 */
export function decodeConnect(body: Buffer): ConnectPacket {
  const reader = new BodyReader(body)
  const version = readVersion(reader)
  const flags = reader.byte()
  checkConnectFlags(flags, version)
  const keepAlive = reader.uint16()
  const properties = version === 5 ? readProperties(reader, carrier.connect) : {}
  if (properties.authenticationData !== undefined && properties.authenticationMethod === undefined) {
    throw protocolError('CONNECT has authentication data without a method')
  }
  const clientId = reader.text()
  const will = (flags & flag.will) !== 0 ? readWill(reader, flags, version) : undefined
  // MQTT 3.1 (3.1): the Remaining Length takes precedence over these two flags; the fields may be missing.
  const given = (bit: number) => (flags & bit) !== 0 && !(version === 3 && reader.atEnd)
  const username = given(flag.username) ? reader.text() : undefined
  const password = given(flag.password) ? reader.binary() : undefined
  reader.finish()
  return {
    type: 'connect',
    protocolVersion: version,
    cleanStart: (flags & flag.cleanStart) !== 0,
    keepAlive,
    clientId,
    username,
    password,
    will,
    properties: version === 5 ? connectProperties(properties) : noProperties,
  }
}

/** The version in which to answer a CONNECT that was refused; undefined: none that we speak. */
export function connectVersion(body: Buffer): ProtocolVersion | undefined {
  try {
    return readVersion(new BodyReader(body))
  } catch (error) {
    if (error instanceof ProtocolViolation) return undefined
    throw error
  }
}

const noProperties: ConnectProperties = Object.freeze({})

function readVersion(reader: BodyReader): ProtocolVersion {
  const name = reader.text()
  const level = reader.byte()
  if (name === 'MQTT' && (level === 4 || level === 5)) return level
  if (name === 'MQIsdp' && level === 3) return level
  throw new ProtocolViolation(reason.unsupportedProtocolVersion, 'CONNECT names another protocol or version')
}

function checkConnectFlags(flags: number, version: ProtocolVersion): void {
  if ((flags & flag.reserved) !== 0) throw malformed('CONNECT has its reserved flag set') // [MQTT-3.1.2-3]
  const willQos = (flags >> 3) & 3
  if (willQos === 3) throw malformed('CONNECT has Will QoS 3') // [MQTT-3.1.2-12]
  // [MQTT-3.1.2-11], [MQTT-3.1.2-13]
  if ((flags & flag.will) === 0 && (willQos !== 0 || (flags & flag.willRetain) !== 0)) {
    throw malformed('CONNECT has Will QoS or Will Retain without a will')
  }
  // 3.1.1: [MQTT-3.1.2-22]; MQTT 5 allows it.
  if (version !== 5 && (flags & flag.password) !== 0 && (flags & flag.username) === 0) {
    throw malformed('CONNECT has a password without a user name')
  }
}

function readWill(reader: BodyReader, flags: number, version: ProtocolVersion): Will {
  const properties: Properties = version === 5 ? readProperties(reader, carrier.will) : {}
  const topic = reader.text()
  if (!isValidTopicName(topic)) {
    throw new ProtocolViolation(reason.topicNameInvalid, 'the will topic is empty or contains a wildcard')
  }
  return {
    topic,
    payload: reader.binary(),
    qos: ((flags >> 3) & 3) as QoS,
    retain: (flags & flag.willRetain) !== 0,
    delayS: properties.willDelayS ?? 0,
    messageExpiryS: properties.messageExpiryS,
    properties: messageProperties(properties),
  }
}

/** Only fields that CONNECT may carry were read, all with the names of the packet. */
function connectProperties(properties: Properties): ConnectProperties {
  return properties
}
