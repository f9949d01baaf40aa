// UTF-8 strings of MQTT, checked strictly: well-formed, no U+0000; with a fast path for ASCII.
import { ProtocolViolation } from './packets.ts'
import { reason } from './reason-codes.ts'

/**
 * The string in body[start, end). Throws ProtocolViolation 0x81 for ill-formed UTF-8 (overlong forms, surrogates,
 * above U+10FFFF) [MQTT-1.5.4-1] and for U+0000 [MQTT-1.5.4-2]. U+FEFF is kept [MQTT-1.5.4-3].
 */
export function readText(body: Buffer, start: number, end: number): string {
  for (let position = start; position < end; position++) {
    const byte = body[position]!
    if (byte === 0) throw new ProtocolViolation(reason.malformedPacket, 'a string contains U+0000')
    if (byte >= 0x80) return readBeyondAscii(body, start, position, end)
  }
  return body.toString('latin1', start, end)
}

function readBeyondAscii(body: Buffer, start: number, from: number, end: number): string {
  let position = from
  while (position < end) {
    const size = characterBytes(body, position, end)
    if (size === 0) throw new ProtocolViolation(reason.malformedPacket, 'a string is not well-formed UTF-8')
    position += size
  }
  return body.toString('utf8', start, end)
}

/** How many bytes the well-formed character at `position` has; 0: it is ill-formed, or U+0000 (RFC 3629, section 4). */
function characterBytes(body: Buffer, position: number, end: number): number {
  const first = body[position]!
  if (first < 0x80) return first === 0 ? 0 : 1
  if (first < 0xc2 || first > 0xf4) return 0
  const size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
  if (position + size > end) return 0
  // The second byte has a narrower range where overlong forms, surrogates and values above U+10FFFF would begin.
  const lowest = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80
  const highest = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf
  const second = body[position + 1]!
  if (second < lowest || second > highest) return 0
  for (let index = 2; index < size; index++) {
    if ((body[position + index]! & 0xc0) !== 0x80) return 0
  }
  return size
}

// Slots times bytes bounds the cache at 256 KiB. A topic that finds its slot taken replaces the one in it.
const cacheSlots = 2_048
const cachedMaxBytes = 128

/**
 * Remembers ASCII strings by their bytes. The caller decides what may be in the cache: here, valid topic names, so
 * that a hit needs no further check. A hit also hands out the very string that the router's maps have hashed already.
 */
export class TextCache {
  readonly #slots: (string | undefined)[] = new Array<string | undefined>(cacheSlots).fill(undefined)

  get(body: Buffer, start: number, end: number): string | undefined {
    if (end - start > cachedMaxBytes) return undefined
    const text = this.#slots[slotOf(body, start, end)]
    if (text === undefined || text.length !== end - start) return undefined
    for (let index = 0; index < text.length; index++) {
      if (text.charCodeAt(index) !== body[start + index]) return undefined
    }
    return text
  }

  /** Only ASCII is kept: one byte is one character there, which is what `get` compares. */
  set(body: Buffer, start: number, end: number, text: string): void {
    if (end - start > cachedMaxBytes || text.length !== end - start) return
    this.#slots[slotOf(body, start, end)] = text
  }
}

function slotOf(body: Buffer, start: number, end: number): number {
  let hash = end - start
  for (let position = start; position < end; position++) hash = (Math.imul(hash, 31) + body[position]!) | 0
  return (hash ^ (hash >>> 15)) & (cacheSlots - 1)
}
