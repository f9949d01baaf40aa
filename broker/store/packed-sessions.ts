// The sessions that the start found, kept as packed records until whoever takes them has come to each one.
import { DamagedRecord } from './bytes.ts'
import * as keys from './keys.ts'
import * as records from './records.ts'
import type { Cursor, RecoveredSession, SessionRecord, SubscriptionRecord } from './store.ts'

/** Key and record, each behind its length, one pair after the other. */
interface Slab {
  readonly buffer: Buffer
  used: number
}

const slabBytes = 1_048_576

/** Takes the records of sessions in the order of their keys. A million of them are a few hundred buffers. */
export class PackedSessions {
  readonly #slabs: Slab[] = []

  add(key: Buffer, record: Buffer): void {
    const length = 8 + key.length + record.length
    let slab = this.#slabs[this.#slabs.length - 1]
    if (slab === undefined || slab.used + length > slab.buffer.length) {
      slab = { buffer: Buffer.allocUnsafeSlow(Math.max(slabBytes, length)), used: 0 }
      this.#slabs.push(slab)
    }
    let at = slab.buffer.writeUInt32BE(key.length, slab.used)
    at = slab.buffer.writeUInt32BE(record.length, at)
    at += key.copy(slab.buffer, at)
    slab.used = at + record.copy(slab.buffer, at)
  }

  /** Decodes each session when it is asked for. Once only: what has been walked is let go. */
  walk(): Iterable<RecoveredSession> {
    return decodeSessions(this.#slabs.reverse())
  }
}

/** Lets go of each slab when it has been walked. */
function* unpack(slabs: Slab[]): IterableIterator<[key: Buffer, record: Buffer]> {
  for (;;) {
    const slab = slabs.pop()
    if (slab === undefined) return
    const { buffer, used } = slab
    for (let at = 0; at < used; ) {
      const keyStart = at + 8
      const recordStart = keyStart + buffer.readUInt32BE(at)
      const end = recordStart + buffer.readUInt32BE(at + 4)
      yield [buffer.subarray(keyStart, recordStart), buffer.subarray(recordStart, end)]
      at = end
    }
  }
}

interface Parts {
  readonly session: SessionRecord
  readonly subscriptions: SubscriptionRecord[]
  cursor: Cursor | undefined
  readonly inbound: number[]
}

/** The record of a session comes first, because its letter is the lowest. */
function* decodeSessions(slabs: Slab[]): IterableIterator<RecoveredSession> {
  let parts: Parts | undefined
  for (const [key, record] of unpack(slabs)) {
    const letterAt = keys.sessionKeyEnd(key)
    const letter = String.fromCharCode(key[letterAt]!)
    if (letter === 'a') {
      if (parts !== undefined) yield parts
      parts = { session: records.decodeSession(record), subscriptions: [], cursor: undefined, inbound: [] }
      continue
    }
    // A subscription or cursor without its session: the session was never written, or is being deleted.
    if (parts === undefined || key.toString('utf8', 1, letterAt - 1) !== parts.session.clientId) continue
    if (letter === 'f') parts.subscriptions.push(records.decodeSubscription(record))
    else if (letter === 'c') parts.cursor = records.decodeCursor(record)
    else if (letter === 'q') parts.inbound.push(records.decodeNumbers(record)[0]!)
    else throw new DamagedRecord(`a session has a record of the unknown kind ${JSON.stringify(letter)}`)
  }
  if (parts !== undefined) yield parts
}
