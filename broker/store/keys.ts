// The layout of the keys: one letter for the kind, then what is looked up. U+0000 separates: no MQTT string holds it.

export const messageKeyBytes = 9

/** A message of the log: `m`, sequence number in 8 bytes, so that the order of the keys is the order of the log. */
export function messageKey(sequence: number): Buffer {
  const key = Buffer.allocUnsafe(messageKeyBytes)
  key[0] = 0x6d
  key.writeUInt32BE(Math.floor(sequence / 0x1_0000_0000), 1)
  key.writeUInt32BE(sequence % 0x1_0000_0000, 5)
  return key
}

export function sequenceOf(key: Buffer): number {
  return key.readUInt32BE(1) * 0x1_0000_0000 + key.readUInt32BE(5)
}

/** Up to this sequence number a message may have been given one. */
export const watermarkKey = Buffer.from('!watermark')

/** Batches are numbered; the last so many numbers are kept, so that a lost batch shows as a gap. */
export const batchSlots = 16_384

export function batchKey(batch: number): Buffer {
  return Buffer.from(`b${String(batch % batchSlots).padStart(5, '0')}`)
}

export function isBatchKey(key: Buffer): boolean {
  return key[0] === 0x62
}

/** What a stream dropped and let go: its floor. It lies before the messages, because the start needs it for them. */
export function streamKey(stream: string): Buffer {
  return Buffer.from(`f${stream}`)
}

export function retainedKey(topic: string): Buffer {
  return Buffer.from(`r${topic}`)
}

/** A retained message of this topic was removed. */
export function removalKey(topic: string): Buffer {
  return Buffer.from(`t${topic}`)
}

export function markKey(name: string): Buffer {
  return Buffer.from(`n${name}`)
}

export function willKey(clientId: string): Buffer {
  return Buffer.from(`w${clientId}`)
}

/**
 * All that belongs to a session lies side by side, so that the start reads it in one go and a delete is one range:
 * `s`, client id, U+0000, then a letter: `a` the session itself, `c` cursor, `f` subscription, `q` inbound identifier.
 */
export function sessionKey(clientId: string): Buffer {
  return Buffer.from(`s${clientId}\0a`)
}

export function cursorKey(clientId: string): Buffer {
  return Buffer.from(`s${clientId}\0c`)
}

export function subscriptionKey(clientId: string, filter: string): Buffer {
  return Buffer.from(`s${clientId}\0f${filter}`)
}

export function inboundKey(clientId: string, packetId: number): Buffer {
  return Buffer.from(`s${clientId}\0q${packetId}`)
}

/** All keys, in the order of the letters: `!`, b, f, m, n, r, s, t, w. */
export const everything = { gte: Buffer.of(0), lt: Buffer.of(0xff) } satisfies KeyRange

/** The same in parts: keys of messages are numbers, and all others are text. */
export const parts = {
  belowMessages: { gte: Buffer.of(0), lt: Buffer.from('m') },
  messages: { gte: Buffer.from('m'), lt: Buffer.from('n') },
  aboveMessages: { gte: Buffer.from('n'), lt: Buffer.of(0xff) },
} satisfies Record<string, KeyRange>

/** For an error or the log. */
export function shown(key: Buffer | string): string {
  return JSON.stringify(typeof key === 'string' ? key : key.toString('latin1'))
}

export interface KeyRange {
  readonly gte: Buffer
  readonly lt: Buffer
}

/** Every key that begins with this text. */
export function rangeOf(prefix: string): KeyRange {
  const gte = Buffer.from(prefix)
  const lt = Buffer.from(gte)
  lt[lt.length - 1]! += 1
  return { gte, lt }
}

export function sessionRange(clientId: string): KeyRange {
  return rangeOf(`s${clientId}\0`)
}

/** Where in a key of a session its letter stands. */
export function sessionKeyEnd(key: Buffer): number {
  return key.indexOf(0, 1) + 1
}
