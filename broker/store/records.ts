// The layout of every record: a version byte, a CRC-32 over key and content, and the content in fixed order.
import { errorText } from '../errors.ts'
import type { Message, QoS } from '../message.ts'
import type { Identity } from '../plugin.ts'
import { ByteReader, ByteWriter, DamagedRecord } from './bytes.ts'
import { crc32From, crc32OfText } from './crc32.ts'
import * as keys from './keys.ts'
import { readMessage, writeMessage } from './message-bytes.ts'
import type { Cursor, FormerClient, InflightRecord, SessionRecord, SubscriptionRecord, WillRecord } from './store.ts'

const version = 1
/** Version byte and CRC. */
export const headBytes = 5

const writer = new ByteWriter()

/** As bytes, or as the text that they are (all but those of messages). */
type Key = Uint8Array | string

/** Throws DamagedRecord unless the record is whole and belongs to this key. */
export function check(key: Key, record: Buffer): void {
  if (record.length < headBytes) throw new DamagedRecord('the record ends too early')
  if (record[0] !== version) throw new DamagedRecord(`the record has version ${record[0]}, not ${version}`)
  if (record.readUInt32BE(1) !== sum(key, record)) throw new DamagedRecord('the checksum does not match')
}

/** The same, and the error says what is damaged. */
export function checkNamed(key: Buffer | string, record: Buffer, what: string): void {
  try {
    check(key, record)
  } catch (error) {
    throw new DamagedRecord(`${what} (key ${keys.shown(key)}): ${errorText(error)}`)
  }
}

function seal(key: Uint8Array): Buffer {
  const record = writer.finish(headBytes)
  record[0] = version
  record.writeUInt32BE(sum(key, record), 1)
  return record
}

function sum(key: Key, record: Buffer): number {
  return crc32From(record, headBytes, typeof key === 'string' ? crc32OfText(key) : crc32From(key, 0, 0))
}

/** Several small numbers: the watermark, a batch, an inbound packet identifier, what a stream dropped. */
export function encodeNumbers(key: Uint8Array, numbers: readonly number[]): Buffer {
  writer.reset()
  for (const number of numbers) writer.f64(number)
  return seal(key)
}

export function decodeNumbers(record: Buffer, start = 0, end: number = record.length): number[] {
  const reader = new ByteReader(record, start + headBytes, end)
  const numbers: number[] = []
  while (reader.left > 0) numbers.push(reader.f64())
  return numbers
}

export function encodeLog(key: Uint8Array, message: Message, streams: readonly string[]): Buffer {
  writer.reset().u16(streams.length)
  for (const stream of streams) writer.text(stream)
  writeMessage(writer, message)
  return seal(key)
}

export function decodeLogMessage(record: Buffer): Message {
  const reader = new ByteReader(record, headBytes)
  for (let left = reader.u16(); left > 0; left -= 1) reader.skipText()
  return readMessage(reader)
}

/** What the start needs of a message: the streams that hold it, when it was published, and its topic if asked for. */
export function decodeLogHead(record: Buffer): { names: string[]; publishedAt: number; topic: () => string } {
  const reader = new ByteReader(record, headBytes)
  const names: string[] = []
  for (let left = reader.u16(); left > 0; left -= 1) names.push(reader.text())
  reader.u8()
  const publishedAt = reader.f64()
  return { names, publishedAt, topic: () => topicBehindHead(reader) }
}

function topicBehindHead(reader: ByteReader): string {
  reader.f64()
  reader.skipText()
  reader.skipText()
  return reader.text()
}

/** The part of the record that `decodeLogHead` reads. */
export function logHead(record: Buffer): Buffer {
  const reader = new ByteReader(record, headBytes)
  for (let left = reader.u16(); left > 0; left -= 1) reader.skipText()
  reader.raw(9)
  return record.subarray(0, record.length - reader.left)
}

export function encodeRetained(key: Uint8Array, message: Message): Buffer {
  writer.reset()
  writeMessage(writer, message)
  return seal(key)
}

/** Reads from a record that may be a part of a larger buffer. */
export function decodeRetained(buffer: Buffer, start: number, end: number): Message {
  return readMessage(new ByteReader(buffer, start + headBytes, end))
}

/** The record without its payload, in bytes of its own. Its checksum is that of the whole. */
export function retainedHead(record: Buffer): Buffer {
  const { payload } = decodeRetained(record, 0, record.length)
  return Buffer.from(record.subarray(0, record.length - payload.length))
}

/** Without the work of reading the whole message. */
export function decodeRetainedHead(
  buffer: Buffer,
  start: number,
  end: number,
): { username: string; expiresAt: number } {
  const reader = new ByteReader(buffer, start + headBytes, end)
  reader.raw(9)
  return { expiresAt: reader.f64(), username: reader.text() }
}

export function encodeSession(key: Uint8Array, session: SessionRecord): Buffer {
  writer.reset().text(session.clientId).text(session.username).f64(session.expiryS)
  writer.f64(session.disconnectedAt ?? Number.NaN).f64(session.createdAt)
  if (session.member !== undefined) writeFormerClient(session.member)
  return seal(key)
}

export function decodeSession(record: Buffer, start = 0, end: number = record.length): SessionRecord {
  const reader = new ByteReader(record, start + headBytes, end)
  return {
    clientId: reader.text(),
    username: reader.text(),
    expiryS: reader.f64(),
    disconnectedAt: optional(reader.f64()),
    createdAt: reader.f64(),
    ...(reader.left > 0 && { member: readFormerClient(reader) }),
  }
}

/** A Subscription Identifier has 28 bits (MQTT-3.8.2.1.2); those above it say whether the house made the subscription. */
const automaticBit = 2 ** 28
const automaticKinds = [undefined, 'only', 'too'] as const

export function encodeSubscription(key: Uint8Array, subscription: SubscriptionRecord): Buffer {
  const flags =
    subscription.qos |
    (subscription.noLocal ? 4 : 0) |
    (subscription.retainAsPublished ? 8 : 0) |
    (subscription.retainHandling << 4) |
    (subscription.retainedPending ? 64 : 0) |
    (subscription.keptUntil > 0 ? 128 : 0)
  writer
    .reset()
    .u8(flags)
    .f64(subscription.since)
    .u32((subscription.subscriptionId ?? 0) + automaticBit * automaticKinds.indexOf(subscription.automatic))
    .text(subscription.filter)
  // At the end and with a flag of its own: records without it are those of before it was there.
  if (subscription.keptUntil > 0) writer.f64(subscription.keptUntil)
  return seal(key)
}

export function decodeSubscription(record: Buffer, start = 0, end: number = record.length): SubscriptionRecord {
  const reader = new ByteReader(record, start + headBytes, end)
  const flags = reader.u8()
  const since = reader.f64()
  const numbers = reader.u32()
  const subscriptionId = numbers % automaticBit
  const automatic = automaticKinds[Math.floor(numbers / automaticBit)]
  return {
    filter: reader.text(),
    qos: (flags & 3) as QoS,
    noLocal: (flags & 4) !== 0,
    retainAsPublished: (flags & 8) !== 0,
    retainHandling: ((flags >> 4) & 3) as 0 | 1 | 2,
    // 0 is not a Subscription Identifier (MQTT-3.8.2.1.2).
    subscriptionId: subscriptionId === 0 ? undefined : subscriptionId,
    since,
    retainedPending: (flags & 64) !== 0,
    keptUntil: (flags & 128) === 0 ? 0 : reader.f64(),
    ...(automatic !== undefined && { automatic }),
  }
}

export function encodeCursor(key: Uint8Array, cursor: Cursor): Buffer {
  writer.reset().f64(cursor.position).u32(cursor.done.length)
  for (const sequence of cursor.done) writer.f64(sequence)
  writer.u32(cursor.inflight.length)
  for (const { packetId, sequence, qos, released } of cursor.inflight) {
    writer
      .u16(packetId)
      .u8(qos | (released ? 4 : 0))
      .f64(sequence)
  }
  return seal(key)
}

export function decodeCursor(record: Buffer, start = 0, end: number = record.length): Cursor {
  const reader = new ByteReader(record, start + headBytes, end)
  const position = reader.f64()
  const done: number[] = []
  for (let left = reader.u32(); left > 0; left -= 1) done.push(reader.f64())
  const inflight: InflightRecord[] = []
  for (let left = reader.u32(); left > 0; left -= 1) {
    const packetId = reader.u16()
    const flags = reader.u8()
    inflight.push({ packetId, sequence: reader.f64(), qos: (flags & 3) as 1 | 2, released: (flags & 4) !== 0 })
  }
  return { position, done, inflight }
}

/** What plugins put into an identity is theirs, and it is rare: JSON does here. */
function writeFormerClient({ identity, provenBy, address, listener }: FormerClient): void {
  const bytes = Buffer.from(JSON.stringify({ ...identity, provenBy, address, listener }))
  writer.u32(bytes.length).raw(bytes)
}

function readFormerClient(reader: ByteReader): FormerClient {
  const text = reader.raw(reader.u32()).toString()
  const { provenBy, address, listener, ...identity } = JSON.parse(text) as Identity & Omit<FormerClient, 'identity'>
  return { identity, provenBy, address, listener }
}

export function encodeWill(key: Uint8Array, will: WillRecord): Buffer {
  writer.reset().f64(will.delayS)
  writer.f64(will.firesAt ?? Number.NaN)
  writeFormerClient(will)
  writeMessage(writer, will.message)
  return seal(key)
}

export function decodeWill(record: Buffer): WillRecord {
  const reader = new ByteReader(record, headBytes)
  const delayS = reader.f64()
  const firesAt = optional(reader.f64())
  const leftBy = readFormerClient(reader)
  return { ...leftBy, message: readMessage(reader), delayS, firesAt }
}

function optional(value: number): number | undefined {
  return Number.isNaN(value) ? undefined : value
}
