// The sessions that the start found, kept as packed records: each is decoded when it is asked for.
import { DamagedRecord } from './bytes.ts'
import * as records from './records.ts'
import type { Cursor, RecoveredSession, RecoveredSessions, SessionRecord, SubscriptionRecord } from './store.ts'

/** The letter of its key, the length of the record in 4 bytes, and the record; one after the other. */
interface Slab {
  readonly buffer: Buffer
  used: number
}

const slabBytes = 1_048_576
const headBytes = 5
/** Letters of keys (keys.ts). That of the record of the session itself comes first, because it is the lowest. */
const letters = { session: 0x61, cursor: 0x63, subscription: 0x66, inbound: 0x71 }
const known = new Set(Object.values(letters))

/** Takes the records of sessions in the order of their keys. A million of them are a few hundred buffers. */
export class PackedSessions implements RecoveredSessions {
  readonly #slabs: Slab[] = []
  /** Where each session begins: slab and place in it. A slab larger than others holds one record, which begins it. */
  readonly #starts: number[] = []
  /** How the keys of the session begin that was added last. */
  #prefix: string | undefined

  get length(): number {
    return this.#starts.length
  }

  add(key: string, record: Buffer): void {
    const letterAt = key.indexOf('\0', 1) + 1
    const letter = key.charCodeAt(letterAt)
    if (!known.has(letter))
      throw new DamagedRecord(`a session has a record of an unknown kind (key ${JSON.stringify(key)})`)
    const isFirst = letter === letters.session
    if (isFirst) this.#prefix = key.slice(0, letterAt)
    // A subscription or cursor without its session: the session was never written, or is being deleted.
    else if (this.#prefix === undefined || letterAt !== this.#prefix.length || !key.startsWith(this.#prefix)) return
    const slab = this.#slabFor(headBytes + record.length)
    if (isFirst) this.#starts.push((this.#slabs.length - 1) * slabBytes + slab.used)
    slab.buffer[slab.used] = letter
    slab.buffer.writeUInt32BE(record.length, slab.used + 1)
    slab.buffer.set(record, slab.used + headBytes)
    slab.used += headBytes + record.length
  }

  at(index: number): RecoveredSession | undefined {
    const start = this.#starts[index]
    if (start === undefined) return undefined
    let parts: Parts | undefined
    let at = start % slabBytes
    for (let slabIndex = Math.floor(start / slabBytes); slabIndex < this.#slabs.length; slabIndex += 1) {
      const { buffer, used } = this.#slabs[slabIndex]!
      while (at < used) {
        const letter = buffer[at]!
        const recordStart = at + headBytes
        const end = recordStart + buffer.readUInt32BE(at + 1)
        if (parts === undefined) {
          parts = {
            session: records.decodeSession(buffer, recordStart, end),
            subscriptions: [],
            cursor: undefined,
            inbound: [],
          }
        } else if (letter === letters.session) return parts
        else take(parts, letter, buffer, recordStart, end)
        at = end
      }
      at = 0
    }
    return parts
  }

  *[Symbol.iterator](): IterableIterator<RecoveredSession> {
    for (let index = 0; index < this.#starts.length; index += 1) yield this.at(index)!
  }

  #slabFor(bytes: number): Slab {
    const last = this.#slabs[this.#slabs.length - 1]
    if (last !== undefined && last.used + bytes <= last.buffer.length) return last
    const slab = { buffer: Buffer.allocUnsafeSlow(Math.max(slabBytes, bytes)), used: 0 }
    this.#slabs.push(slab)
    return slab
  }
}

interface Parts {
  readonly session: SessionRecord
  readonly subscriptions: SubscriptionRecord[]
  cursor: Cursor | undefined
  readonly inbound: number[]
}

function take(parts: Parts, letter: number, buffer: Buffer, start: number, end: number): void {
  if (letter === letters.subscription) parts.subscriptions.push(records.decodeSubscription(buffer, start, end))
  else if (letter === letters.cursor) parts.cursor = records.decodeCursor(buffer, start, end)
  else parts.inbound.push(records.decodeNumbers(buffer, start, end)[0]!)
}
