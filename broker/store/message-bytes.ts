// The bytes of a message: in records of the store, and between nodes.
import type { Message, MessageProperties, QoS } from '../message.ts'
import type { ByteReader, ByteWriter } from './bytes.ts'

/** Flags, times and username come first, so that they can be read without the rest. */
export function writeMessage(writer: ByteWriter, message: Message): void {
  const { properties, via, origin } = message
  writer.u8(
    message.qos |
      (message.retain ? 4 : 0) |
      (properties === undefined ? 0 : 8) |
      (via === undefined ? 0 : 16) |
      (origin === undefined ? 0 : 32),
  )
  writer.f64(message.publishedAt).f64(message.expiresAt ?? Number.NaN)
  writer.text(message.username).text(message.clientId).text(message.topic)
  if (properties !== undefined) writeProperties(writer, properties)
  if (via !== undefined) writer.text(via)
  if (origin !== undefined) writer.f64(origin.storeId).f64(origin.sequence)
  writer.raw(message.payload)
}

/** Throws DamagedRecord where it ends too early. */
export function readMessage(reader: ByteReader): Message {
  const flags = reader.u8()
  const publishedAt = reader.f64()
  const expiresAt = optional(reader.f64())
  const username = reader.text()
  const clientId = reader.text()
  const topic = reader.text()
  const properties = (flags & 8) === 0 ? undefined : readProperties(reader)
  const via = (flags & 16) === 0 ? undefined : reader.text()
  const origin = (flags & 32) === 0 ? undefined : { storeId: reader.f64(), sequence: reader.f64() }
  return {
    topic,
    payload: reader.rest(),
    qos: (flags & 3) as QoS,
    retain: (flags & 4) !== 0,
    properties,
    clientId,
    username,
    publishedAt,
    expiresAt,
    ...(via !== undefined && { via }),
    ...(origin !== undefined && { origin }),
  }
}

function writeProperties(writer: ByteWriter, properties: MessageProperties): void {
  const { payloadFormat, contentType, responseTopic, correlationData, userProperties } = properties
  writer.u8(
    (payloadFormat === undefined ? 0 : 1) |
      (payloadFormat === 1 ? 2 : 0) |
      (contentType === undefined ? 0 : 4) |
      (responseTopic === undefined ? 0 : 8) |
      (correlationData === undefined ? 0 : 16) |
      (userProperties === undefined ? 0 : 32),
  )
  if (contentType !== undefined) writer.text(contentType)
  if (responseTopic !== undefined) writer.text(responseTopic)
  if (correlationData !== undefined) writer.u32(correlationData.length).raw(correlationData)
  if (userProperties === undefined) return
  writer.u32(userProperties.length)
  for (const [name, value] of userProperties) writer.text(name).text(value)
}

function readProperties(reader: ByteReader): MessageProperties {
  const flags = reader.u8()
  return {
    ...((flags & 1) !== 0 && { payloadFormat: (flags & 2) !== 0 ? (1 as const) : (0 as const) }),
    ...((flags & 4) !== 0 && { contentType: reader.text() }),
    ...((flags & 8) !== 0 && { responseTopic: reader.text() }),
    ...((flags & 16) !== 0 && { correlationData: reader.raw(reader.u32()) }),
    ...((flags & 32) !== 0 && { userProperties: readUserProperties(reader) }),
  }
}

function readUserProperties(reader: ByteReader): [string, string][] {
  const list: [string, string][] = []
  for (let left = reader.u32(); left > 0; left -= 1) list.push([reader.text(), reader.text()])
  return list
}

function optional(value: number): number | undefined {
  return Number.isNaN(value) ? undefined : value
}
