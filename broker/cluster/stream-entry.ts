// The entries of a node's Redis Stream: messages of another node's log, or something else that must not be lost.
import type { Message } from '../message.ts'
import { ByteReader, ByteWriter } from '../store/bytes.ts'
import { messageFromBytes, messageToBytes } from './message-bytes.ts'

interface Sender {
  readonly node: string
  readonly storeId: number
  readonly run: string
}

/**
 * Entries of one sender are a chain: this one holds what lies above `after` up to `through`. What lies at or below `base`
 * will not come any more. So whoever reads sees what is missing between two entries, and takes neither it nor what follows.
 */
export interface MessagesEntry {
  readonly type: 'messages'
  readonly from: Sender
  readonly base: number
  readonly after: number
  readonly through: number
  readonly messages: readonly { readonly sequence: number; readonly message: Message }[]
}

/** The numbers of a run of the sender begin with 1; `base` as above. */
export interface ItemEntry {
  readonly type: 'item'
  readonly from: Sender
  readonly base: number
  readonly number: number
  readonly kind: string
  readonly body: Buffer
}

const types = ['messages', 'item'] as const
const writer = new ByteWriter()

export function encodeEntry(entry: MessagesEntry | ItemEntry): Buffer {
  // Each message needs the common writer of messages, so theirs come first.
  const bodies = entry.type === 'messages' ? entry.messages.map(({ message }) => messageToBytes(message)) : []
  const { node, storeId, run } = entry.from
  writer.reset().u8(types.indexOf(entry.type)).text(node).f64(storeId).text(run).f64(entry.base)
  if (entry.type === 'item') {
    writer.f64(entry.number).text(entry.kind).raw(entry.body)
    return writer.finish(0)
  }
  writer.f64(entry.after).f64(entry.through)
  for (const [index, { sequence }] of entry.messages.entries()) {
    const body = bodies[index]!
    writer.f64(sequence).u32(body.length).raw(body)
  }
  return writer.finish(0)
}

/** Payloads and bodies are views into `bytes`. Throws when it is no entry. */
export function decodeEntry(bytes: Buffer): MessagesEntry | ItemEntry {
  const reader = new ByteReader(bytes, 0)
  const type = types[reader.u8()]
  const from = { node: reader.text(), storeId: whole(reader.f64()), run: reader.text() }
  const base = whole(reader.f64())
  if (type === 'item') {
    return { type, from, base, number: whole(reader.f64()), kind: reader.text(), body: reader.rest() }
  }
  if (type === undefined) throw new Error('no entry of a stream')
  const after = whole(reader.f64())
  const through = whole(reader.f64())
  const messages: { sequence: number; message: Message }[] = []
  while (reader.left > 0) {
    const sequence = whole(reader.f64())
    messages.push({ sequence, message: messageFromBytes(reader.raw(reader.u32())) })
  }
  return { type, from, base, after, through, messages }
}

function whole(number: number): number {
  if (!Number.isSafeInteger(number) || number < 0) throw new Error('no number of a message')
  return number
}

/** What a node tells a sender of its progress: one field of `taken:NODE`, by the sender's store. */
export interface Progress {
  readonly sequence: number
  /** The last item, and of which run of the sender. */
  readonly run: string
  readonly item: number
}

export function progressText({ sequence, run, item }: Progress): string {
  return `${sequence} ${item} ${run}`
}

/** Undefined: nothing is known. */
export function parseProgress(text: string | null): Progress | undefined {
  const [sequence, item, run] = (text ?? '').split(' ')
  if (sequence === undefined || run === undefined) return undefined
  const progress = { sequence: Number(sequence), run, item: Number(item) }
  return Number.isSafeInteger(progress.sequence) && Number.isSafeInteger(progress.item) ? progress : undefined
}
