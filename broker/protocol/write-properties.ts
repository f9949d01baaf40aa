// Writes the properties of MQTT 5 (2.2.2) for the packets that a server sends; the property length is not in them.
import type { MessageProperties } from '../message.ts'
import { ByteWriter } from './byte-writer.ts'
import type { ConnackProperties, OutgoingPublish } from './encode.ts'
import type { UserProperties } from './packets.ts'
import { propertyId } from './properties.ts'

export function connackProperties(properties: ConnackProperties): Buffer {
  const writer = new ByteWriter()
  putUint32(writer, propertyId.sessionExpiry, properties.sessionExpiryS)
  putUint16(writer, propertyId.receiveMaximum, properties.receiveMaximum)
  putByte(writer, propertyId.maximumQos, properties.maximumQos)
  putBoolean(writer, propertyId.retainAvailable, properties.retainAvailable)
  putUint32(writer, propertyId.maximumPacketSize, properties.maximumPacketSize)
  putText(writer, propertyId.assignedClientId, properties.assignedClientId)
  putUint16(writer, propertyId.topicAliasMaximum, properties.topicAliasMaximum)
  putText(writer, propertyId.reasonString, properties.reasonString)
  putUserProperties(writer, properties.userProperties)
  putBoolean(writer, propertyId.wildcardSubscriptionAvailable, properties.wildcardSubscriptionAvailable)
  putBoolean(writer, propertyId.subscriptionIdsAvailable, properties.subscriptionIdsAvailable)
  putBoolean(writer, propertyId.sharedSubscriptionAvailable, properties.sharedSubscriptionAvailable)
  putUint16(writer, propertyId.serverKeepAlive, properties.serverKeepAlive)
  putText(writer, propertyId.responseInformation, properties.responseInformation)
  putText(writer, propertyId.serverReference, properties.serverReference)
  putText(writer, propertyId.authenticationMethod, properties.authenticationMethod)
  putBinary(writer, propertyId.authenticationData, properties.authenticationData)
  return writer.finish()
}

const ofPublish = new ByteWriter(256)

/** Undefined: none, as in most messages. The writer is used again for the next packet: copy from it at once. */
export function publishProperties(publish: OutgoingPublish): ByteWriter | undefined {
  const { messageExpiryS, topicAlias, subscriptionIds, properties } = publish
  if (
    messageExpiryS === undefined &&
    topicAlias === undefined &&
    subscriptionIds === undefined &&
    properties === undefined
  ) {
    return undefined
  }
  const writer = ofPublish.reset()
  putUint32(writer, propertyId.messageExpiry, messageExpiryS)
  putUint16(writer, propertyId.topicAlias, topicAlias)
  for (const id of subscriptionIds ?? []) {
    writer.byte(propertyId.subscriptionId)
    writer.variableInteger(id)
  }
  if (properties !== undefined) putMessageProperties(writer, properties)
  return writer
}

export function reasonProperties(text: string): Buffer {
  const writer = new ByteWriter()
  putText(writer, propertyId.reasonString, text)
  return writer.finish()
}

export function disconnectProperties(reasonString: string | undefined, serverReference: string | undefined): Buffer {
  const writer = new ByteWriter()
  putText(writer, propertyId.reasonString, reasonString)
  putText(writer, propertyId.serverReference, serverReference)
  return writer.finish()
}

export function authProperties(method: string, data: Buffer | undefined): Buffer {
  const writer = new ByteWriter()
  putText(writer, propertyId.authenticationMethod, method)
  putBinary(writer, propertyId.authenticationData, data)
  return writer.finish()
}

/** Byte for byte and in order as the sender gave them [MQTT-3.3.2-4], [-15], [-16], [-17], [-20]. */
function putMessageProperties(writer: ByteWriter, properties: MessageProperties): void {
  putByte(writer, propertyId.payloadFormat, properties.payloadFormat)
  putText(writer, propertyId.contentType, properties.contentType)
  putText(writer, propertyId.responseTopic, properties.responseTopic)
  putBinary(writer, propertyId.correlationData, properties.correlationData)
  putUserProperties(writer, properties.userProperties)
}

function putByte(writer: ByteWriter, id: number, value: number | undefined): void {
  if (value === undefined) return
  writer.byte(id)
  writer.byte(value)
}

function putBoolean(writer: ByteWriter, id: number, value: boolean | undefined): void {
  if (value !== undefined) putByte(writer, id, value ? 1 : 0)
}

function putUint16(writer: ByteWriter, id: number, value: number | undefined): void {
  if (value === undefined) return
  writer.byte(id)
  writer.uint16(value)
}

function putUint32(writer: ByteWriter, id: number, value: number | undefined): void {
  if (value === undefined) return
  writer.byte(id)
  writer.uint32(value)
}

function putText(writer: ByteWriter, id: number, value: string | undefined): void {
  if (value === undefined) return
  writer.byte(id)
  writer.text(value)
}

function putBinary(writer: ByteWriter, id: number, value: Buffer | undefined): void {
  if (value === undefined) return
  writer.byte(id)
  writer.binary(value)
}

function putUserProperties(writer: ByteWriter, pairs: UserProperties | undefined): void {
  for (const [name, value] of pairs ?? []) {
    writer.byte(propertyId.userProperty)
    writer.text(name)
    writer.text(value)
  }
}
