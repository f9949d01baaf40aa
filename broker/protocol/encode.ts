// Encodes what a server sends. The bytes are exact in length, so `bytes.length` is what Maximum Packet Size limits.
import { ByteWriter, variableIntegerBytes, writeVariableInteger } from './byte-writer.ts'
import type { AckPacket, ProtocolVersion, PublishPacket, UserProperties } from './packets.ts'
import { reason } from './reason-codes.ts'
import {
  authProperties,
  connackProperties,
  disconnectProperties,
  publishProperties,
  reasonProperties,
} from './write-properties.ts'

/** All but the type of a PUBLISH: `topic` is "" where an alias stands for it; the packet identifier is 0 for QoS 0. */
export type OutgoingPublish = Omit<PublishPacket, 'type'>

export interface EncodedPublish {
  readonly bytes: Buffer
  /**
   * Where the packet identifier stands; 0 for QoS 0. Who shares the bytes among receivers copies them, writes the two
   * bytes of the identifier here, and sets bit 3 of the first byte for DUP.
   */
  readonly packetIdAt: number
}

/** What a CONNACK of MQTT 5 may say (3.2.2.3). Left out: the default of the standard. */
export interface ConnackProperties {
  readonly sessionExpiryS?: number | undefined
  readonly receiveMaximum?: number | undefined
  readonly maximumQos?: 0 | 1 | undefined
  readonly retainAvailable?: boolean | undefined
  readonly maximumPacketSize?: number | undefined
  readonly assignedClientId?: string | undefined
  readonly topicAliasMaximum?: number | undefined
  readonly reasonString?: string | undefined
  readonly userProperties?: UserProperties | undefined
  readonly wildcardSubscriptionAvailable?: boolean | undefined
  readonly subscriptionIdsAvailable?: boolean | undefined
  readonly sharedSubscriptionAvailable?: boolean | undefined
  /** Seconds. */
  readonly serverKeepAlive?: number | undefined
  readonly responseInformation?: string | undefined
  readonly serverReference?: string | undefined
  readonly authenticationMethod?: string | undefined
  readonly authenticationData?: Buffer | undefined
}

export interface Connack {
  readonly sessionPresent: boolean
  /** Of MQTT 5; older clients get the return code that comes nearest. */
  readonly reasonCode: number
  readonly properties?: ConnackProperties | undefined
}

export function encodeConnack(version: ProtocolVersion, connack: Connack): Buffer {
  const { reasonCode, properties } = connack
  // A refusal never has a session [MQTT-3.2.2-6]; MQTT 3.1 does not know the flag.
  const sessionPresent = connack.sessionPresent && reasonCode === reason.success && version !== 3 ? 1 : 0
  if (version !== 5) return Buffer.from([0x20, 2, sessionPresent, returnCode(reasonCode)])
  return withProperties(0x20, [sessionPresent, reasonCode], connackProperties(properties ?? {}))
}

/** `codes` in the order of the filters. Before MQTT 5 every refusal is 0x80. */
export function encodeSuback(version: ProtocolVersion, packetId: number, codes: readonly number[]): Buffer {
  if (version === 5) return withPayload(0x90, packetId, [0, ...codes])
  return withPayload(
    0x90,
    packetId,
    codes.map((code) => Math.min(code, 0x80)),
  )
}

/** Before MQTT 5 the codes are not sent. */
export function encodeUnsuback(version: ProtocolVersion, packetId: number, codes: readonly number[]): Buffer {
  return withPayload(0xb0, packetId, version === 5 ? [0, ...codes] : [])
}

const ackHeader = { puback: 0x40, pubrec: 0x50, pubrel: 0x62, pubcomp: 0x70 } as const satisfies Record<
  AckPacket['type'],
  number
>

/**
 * PUBACK, PUBREC, PUBREL, PUBCOMP in their shortest form. The reason string goes only to clients that want problem
 * information [MQTT-3.1.2-29]; it is left out where the packet would be larger than `maxBytes` [MQTT-3.4.2-2].
 */
export function encodeAck(
  version: ProtocolVersion,
  type: AckPacket['type'],
  packetId: number,
  reasonCode: number,
  reasonString?: string,
  maxBytes = Number.POSITIVE_INFINITY,
): Buffer {
  const header = ackHeader[type]
  const high = packetId >> 8
  const low = packetId & 0xff
  if (version !== 5 || (reasonCode === 0 && reasonString === undefined)) return Buffer.from([header, 2, high, low])
  if (reasonString !== undefined) {
    const bytes = withProperties(header, [high, low, reasonCode], reasonProperties(reasonString))
    if (bytes.length <= maxBytes) return bytes
  }
  return Buffer.from([header, 3, high, low, reasonCode])
}

/** The same two bytes for everyone: nobody may write into them. */
export function encodePingresp(): Buffer {
  return pingresp
}

const pingresp = Buffer.from([0xd0, 0])

/** MQTT 5 only: older versions know no DISCONNECT from a server. The reason string as in `encodeAck` [MQTT-3.14.2-3]. */
export function encodeDisconnect(
  reasonCode: number,
  reasonString?: string,
  maxBytes = Number.POSITIVE_INFINITY,
  serverReference?: string,
): Buffer {
  if (reasonString !== undefined || serverReference !== undefined) {
    const bytes = withProperties(0xe0, [reasonCode], disconnectProperties(reasonString, serverReference))
    if (bytes.length <= maxBytes) return bytes
  }
  return Buffer.from([0xe0, 1, reasonCode])
}

/** MQTT 5 only. */
export function encodeAuth(reasonCode: number, method: string, data: Buffer | undefined): Buffer {
  return withProperties(0xf0, [reasonCode], authProperties(method, data))
}

/**
 * What only MQTT 5 knows (expiry, alias, subscription identifiers, properties) is left out for older versions.
 * Throws RangeError when the packet would be larger than the protocol allows (256 MiB).
 */
export function encodePublish(version: ProtocolVersion, publish: OutgoingPublish): EncodedPublish {
  const { topic, payload, qos } = publish
  const topicBytes = Buffer.byteLength(topic)
  const properties = version === 5 ? publishProperties(publish) : undefined
  const propertyBytes = properties?.length ?? 0
  const remaining =
    2 +
    topicBytes +
    (qos === 0 ? 0 : 2) +
    (version === 5 ? variableIntegerBytes(propertyBytes) + propertyBytes : 0) +
    payload.length
  const bytes = Buffer.allocUnsafe(1 + variableIntegerBytes(remaining) + remaining)
  bytes[0] = 0x30 | (publish.dup ? 8 : 0) | (qos << 1) | (publish.retain ? 1 : 0)
  let position = writeVariableInteger(bytes, remaining, 1)
  position = bytes.writeUInt16BE(topicBytes, position)
  // One byte for each character means ASCII, which is written faster as Latin-1.
  position += bytes.write(topic, position, topicBytes, topicBytes === topic.length ? 'latin1' : 'utf8')
  const packetIdAt = qos === 0 ? 0 : position
  if (qos !== 0) position = bytes.writeUInt16BE(publish.packetId, position)
  if (version === 5) {
    position = writeVariableInteger(bytes, propertyBytes, position)
    if (properties !== undefined) position = properties.copyTo(bytes, position)
  }
  bytes.set(payload, position)
  return { bytes, packetIdAt }
}

/** The CONNACK return code of MQTT 3.1 and 3.1.1 (3.2.2.3): what it cannot say becomes "not authorized". */
function returnCode(reasonCode: number): number {
  switch (reasonCode) {
    case reason.success:
      return 0
    case reason.unsupportedProtocolVersion:
      return 1
    case reason.clientIdentifierNotValid:
      return 2
    case reason.badUserNameOrPassword:
      return 4
    // Trying again later may help.
    case reason.unspecifiedError:
    case reason.implementationSpecificError:
    case reason.serverUnavailable:
    case reason.serverBusy:
    case reason.serverShuttingDown:
    case reason.quotaExceeded:
    case reason.useAnotherServer:
    case reason.serverMoved:
    case reason.connectionRateExceeded:
      return 3
    default:
      return 5
  }
}

function withProperties(header: number, fields: readonly number[], block: Buffer): Buffer {
  const writer = new ByteWriter(block.length + fields.length + 9)
  writer.byte(header)
  writer.variableInteger(fields.length + variableIntegerBytes(block.length) + block.length)
  for (const field of fields) writer.byte(field)
  writer.variableInteger(block.length)
  writer.raw(block)
  return writer.finish()
}

function withPayload(header: number, packetId: number, payload: readonly number[]): Buffer {
  const writer = new ByteWriter(payload.length + 8)
  writer.byte(header)
  writer.variableInteger(2 + payload.length)
  writer.uint16(packetId)
  for (const value of payload) writer.byte(value)
  return writer.finish()
}
