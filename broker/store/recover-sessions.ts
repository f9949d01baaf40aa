// Reads the sessions back: kept as packed records until whoever takes them has come to each one.
import { DamagedRecord } from './bytes.ts'
import type { Database } from './database.ts'
import * as keys from './keys.ts'
import * as records from './records.ts'
import type { Cursor, RecoveredSession, SessionRecord, SubscriptionRecord } from './store.ts'

/** Keys and records of one step, one after the other; each behind its length. */
type Slab = Buffer

/** Checks every record now; decodes each session when it is asked for. To be walked once. */
export async function readSessions(database: Database): Promise<Iterable<RecoveredSession>> {
  const slabs: Slab[] = []
  for await (const step of database.steps(keys.rangeOf('s'))) {
    for (const [key, record] of step) records.checkNamed(key, record, 'the record of a session')
    slabs.push(pack(step))
  }
  return decodeSessions(slabs.reverse())
}

function pack(step: readonly [Buffer, Buffer][]): Slab {
  let length = 0
  for (const [key, record] of step) length += 8 + key.length + record.length
  const slab = Buffer.allocUnsafeSlow(length)
  let at = 0
  for (const [key, record] of step) {
    at = slab.writeUInt32BE(key.length, at)
    at = slab.writeUInt32BE(record.length, at)
    at += key.copy(slab, at)
    at += record.copy(slab, at)
  }
  return slab
}

/** Lets go of each slab when it has been walked. */
function* unpack(slabs: Slab[]): IterableIterator<[key: Buffer, record: Buffer]> {
  for (;;) {
    const slab = slabs.pop()
    if (slab === undefined) return
    for (let at = 0; at < slab.length; ) {
      const keyStart = at + 8
      const recordStart = keyStart + slab.readUInt32BE(at)
      const end = recordStart + slab.readUInt32BE(at + 4)
      yield [slab.subarray(keyStart, recordStart), slab.subarray(recordStart, end)]
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
