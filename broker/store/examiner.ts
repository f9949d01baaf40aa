// Looks at all records of a store: counts them by kind, and finds what should not be or points to what is not there.
import { DamagedRecord } from './bytes.ts'
import * as keys from './keys.ts'
import * as records from './records.ts'
import { missingBatches } from './recover.ts'
import type { Findings } from './salvage.ts'
import type { Cursor } from './store.ts'

export type Counts = Record<Kind, number>

export const kinds = [
  'messages',
  'sessions',
  'subscriptions',
  'cursors',
  'inbound identifiers',
  'retained messages',
  'wills',
  'streams',
] as const

export type Kind = (typeof kinds)[number]

export class Examiner {
  readonly counts = Object.fromEntries(kinds.map((kind) => [kind, 0])) as Counts
  readonly #findings: Findings
  readonly #sessions = new Set<string>()
  /** Sessions that other records name. */
  readonly #owners = new Set<string>()
  readonly #cursors = new Map<string, Cursor>()
  readonly #batches: number[] = []
  #highestSequence = 0
  readonly #messages = new Set<number>()
  #watermark: number | undefined
  #damagedRecords = 0

  constructor(findings: Findings) {
    this.#findings = findings
  }

  /** A sequence number that no message has been given yet, as far as the records tell. */
  get safeWatermark(): number {
    // Numbers were given that nothing here shows.
    return this.#watermark === undefined
      ? this.#highestSequence + 1_000_000
      : Math.max(this.#highestSequence, this.#watermark)
  }

  get damagedRecords(): number {
    return this.#damagedRecords
  }

  /** The record is whole; of a message the head is enough. */
  take(key: Buffer, record: Buffer): void {
    try {
      this.#take(key, record)
    } catch (error) {
      if (!(error instanceof DamagedRecord)) throw error
      this.damaged(key)
    }
  }

  damaged(key: Buffer): void {
    this.#damagedRecords += 1
    // Each by name, as long as somebody may read it.
    if (this.#damagedRecords <= 20) this.#findings.problems.push(`a damaged record: ${nameOf(key)}`)
  }

  /** `leastBatch`: the last batch that is known to have been written. */
  finish(leastBatch: number): void {
    const { problems } = this.#findings
    if (this.#damagedRecords > 20) problems.push(`${this.#damagedRecords - 20} more damaged records`)
    if (this.#watermark === undefined) problems.push('the watermark is missing')
    else if (this.#highestSequence > this.#watermark) {
      problems.push(`message ${this.#highestSequence} is above the watermark ${this.#watermark}`)
    }
    const lost = missingBatches(this.#batches, leastBatch)
    if (lost > 0) problems.push(`${lost} of the latest batches are missing`)
    this.#dangling()
  }

  #dangling(): void {
    const { notes } = this.#findings
    const ownerless = [...this.#owners].filter((clientId) => !this.#sessions.has(clientId))
    if (ownerless.length > 0) {
      notes.push(`records of ${ownerless.length} sessions that are not there, such as ${JSON.stringify(ownerless[0])}`)
    }
    let gone = 0
    for (const { inflight } of this.#cursors.values()) {
      // A released message is not needed any more; 0 is one that the log never had.
      for (const { sequence, released } of inflight)
        if (!released && sequence > 0 && !this.#messages.has(sequence)) gone += 1
    }
    if (gone > 0) notes.push(`${gone} messages on their way to a session are not there any more`)
  }

  #take(key: Buffer, record: Buffer): void {
    const letter = String.fromCharCode(key[0]!)
    if (letter === 'm' && key.length === keys.messageKeyBytes) this.#takeMessage(keys.sequenceOf(key), record)
    else if (letter === 's') this.#takeOfSession(key, record)
    else if (letter === 'r') {
      records.decodeRetained(record, 0, record.length)
      this.counts['retained messages'] += 1
    } else if (letter === 'w') {
      records.decodeWill(record)
      this.counts.wills += 1
    } else if (letter === 'f') {
      records.decodeNumbers(record)
      this.counts.streams += 1
    } else if (letter === 'b') this.#batches.push(records.decodeNumbers(record)[0]!)
    else if (key.equals(keys.watermarkKey)) this.#watermark = records.decodeNumbers(record)[0]!
    else throw new DamagedRecord('unknown')
  }

  #takeMessage(sequence: number, record: Buffer): void {
    records.decodeLogHead(record)
    this.counts.messages += 1
    this.#messages.add(sequence)
    this.#highestSequence = Math.max(this.#highestSequence, sequence)
  }

  #takeOfSession(key: Buffer, record: Buffer): void {
    const letterAt = keys.sessionKeyEnd(key)
    const clientId = key.toString('utf8', 1, letterAt - 1)
    const letter = String.fromCharCode(key[letterAt]!)
    if (letter === 'a') {
      records.decodeSession(record)
      this.#sessions.add(clientId)
      this.counts.sessions += 1
      return
    }
    this.#owners.add(clientId)
    if (letter === 'f') {
      records.decodeSubscription(record)
      this.counts.subscriptions += 1
    } else if (letter === 'c') {
      this.#cursors.set(clientId, records.decodeCursor(record))
      this.counts.cursors += 1
    } else if (letter === 'q') this.counts['inbound identifiers'] += 1
    else throw new DamagedRecord('unknown')
  }
}

function nameOf(key: Buffer): string {
  const letter = String.fromCharCode(key[0] ?? 0)
  if (letter === 'm' && key.length === keys.messageKeyBytes) return `message ${keys.sequenceOf(key)}`
  if (letter === 'r') return `the retained message of ${JSON.stringify(key.toString('utf8', 1))}`
  return `key ${JSON.stringify(key.toString('latin1'))}`
}
