// A will as it lies in Redis.
import { ByteReader, ByteWriter } from '../store/bytes.ts'
import type { WillRecord } from '../store/store.ts'
import type { Meeting } from './meeting.ts'
import { messageFromBytes, messageToBytes } from './message-bytes.ts'

const writer = new ByteWriter()

export function willToBytes({ message, ...rest }: WillRecord): Buffer {
  // The message needs the common writer of messages, so it comes first.
  const body = messageToBytes(message)
  const head = Buffer.from(JSON.stringify(rest))
  return writer.reset().u32(head.length).raw(head).raw(body).finish(0)
}

/** Throws when it is none. */
export function willFromBytes(bytes: Buffer): WillRecord {
  const reader = new ByteReader(bytes, 0)
  const rest = JSON.parse(reader.raw(reader.u32()).toString()) as Omit<WillRecord, 'message' | 'firesAt'> & {
    readonly firesAt?: number
  }
  return { ...rest, firesAt: rest.firesAt, message: messageFromBytes(Buffer.from(reader.rest())) }
}

/** What lies there for survivors, and what they have published. */
export function willKeys(meeting: Meeting, node: string): [wills: string, published: string] {
  return [meeting.key('wills', node), meeting.key('wills-published', node)]
}

export function willContext(node: string, clientId: string): string[] {
  return ['will', node, clientId]
}
