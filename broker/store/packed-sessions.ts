// The sessions that the start found, kept as packed records: each is decoded when it is asked for.
import { DamagedRecord } from './bytes.ts'
import * as keys from './keys.ts'
import * as records from './records.ts'
import type { Cursor, RecoveredSession, RecoveredSessions, SessionRecord, SubscriptionRecord } from './store.ts'

/** Key and record, each behind its length, one pair after the other. */
interface Slab {
  readonly buffer: Buffer
  used: number
}

const slabBytes = 1_048_576
/** The letter of the record of the session itself. It comes first, because it is the lowest. */
const sessionLetter = 0x61

/** Takes the records of sessions in the order of their keys. A million of them are a few hundred buffers. */
export class PackedSessions implements RecoveredSessions {
  readonly #slabs: Slab[] = []
  /** Where each session begins: slab and place in it. A slab larger than others holds one record, which begins it. */
  readonly #starts: number[] = []

  get length(): number {
    return this.#starts.length
  }

  add(key: Buffer, record: Buffer): void {
    const length = 8 + key.length + record.length
    let slab = this.#slabs[this.#slabs.length - 1]
    if (slab === undefined || slab.used + length > slab.buffer.length) {
      slab = { buffer: Buffer.allocUnsafeSlow(Math.max(slabBytes, length)), used: 0 }
      this.#slabs.push(slab)
    }
    if (key[keys.sessionKeyEnd(key)] === sessionLetter) {
      this.#starts.push((this.#slabs.length - 1) * slabBytes + slab.used)
    }
    let at = slab.buffer.writeUInt32BE(key.length, slab.used)
    at = slab.buffer.writeUInt32BE(record.length, at)
    at += key.copy(slab.buffer, at)
    slab.used = at + record.copy(slab.buffer, at)
  }

  at(index: number): RecoveredSession | undefined {
    const start = this.#starts[index]
    if (start === undefined) return undefined
    let parts: Parts | undefined
    for (const [key, record] of this.#from(start)) {
      const letterAt = keys.sessionKeyEnd(key)
      const letter = key[letterAt]
      if (letter === sessionLetter) {
        if (parts !== undefined) break
        parts = { session: records.decodeSession(record), subscriptions: [], cursor: undefined, inbound: [] }
      } else if (parts !== undefined) take(parts, key, letterAt, record)
    }
    return parts
  }

  *[Symbol.iterator](): IterableIterator<RecoveredSession> {
    for (let index = 0; index < this.#starts.length; index += 1) yield this.at(index)!
  }

  *#from(start: number): IterableIterator<[key: Buffer, record: Buffer]> {
    let at = start % slabBytes
    for (let index = Math.floor(start / slabBytes); index < this.#slabs.length; index += 1) {
      const { buffer, used } = this.#slabs[index]!
      while (at < used) {
        const keyStart = at + 8
        const recordStart = keyStart + buffer.readUInt32BE(at)
        const end = recordStart + buffer.readUInt32BE(at + 4)
        yield [buffer.subarray(keyStart, recordStart), buffer.subarray(recordStart, end)]
        at = end
      }
      at = 0
    }
  }
}

interface Parts {
  readonly session: SessionRecord
  readonly subscriptions: SubscriptionRecord[]
  cursor: Cursor | undefined
  readonly inbound: number[]
}

function take(parts: Parts, key: Buffer, letterAt: number, record: Buffer): void {
  // A subscription or cursor without its session: the session was never written, or is being deleted.
  if (key.toString('utf8', 1, letterAt - 1) !== parts.session.clientId) return
  const letter = String.fromCharCode(key[letterAt]!)
  if (letter === 'f') parts.subscriptions.push(records.decodeSubscription(record))
  else if (letter === 'c') parts.cursor = records.decodeCursor(record)
  else if (letter === 'q') parts.inbound.push(records.decodeNumbers(record)[0]!)
  else throw new DamagedRecord(`a session has a record of the unknown kind ${JSON.stringify(letter)}`)
}
