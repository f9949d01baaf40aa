// Looks at all records of a store: counts them by kind, and finds what should not be or points to what is not there.
import { DamagedRecord } from './bytes.ts'
import * as keys from './keys.ts'
import { type Kind, kindOf, noCounts } from './kinds.ts'
import * as records from './records.ts'
import { missingBatches } from './recover.ts'
import type { Findings } from './salvage.ts'
import type { Cursor } from './store.ts'

export class Examiner {
  readonly counts = noCounts()
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
    const kind = kindOf(key)
    if (kind === undefined) {
      this.#takeNumber(key, record)
      return
    }
    if (kind === 'messages') this.#takeMessage(keys.sequenceOf(key), record)
    else if (kind === 'retained messages') records.decodeRetained(record, 0, record.length)
    else if (kind === 'wills') records.decodeWill(record)
    else if (kind === 'streams' || kind === 'marks' || kind === 'removals') records.decodeNumbers(record)
    else this.#takeOfSession(kind, key, record)
    this.counts[kind] += 1
  }

  #takeNumber(key: Buffer, record: Buffer): void {
    const number = records.decodeNumbers(record)[0]
    if (keys.isBatchKey(key) && number !== undefined) this.#batches.push(number)
    else if (key.equals(keys.watermarkKey)) this.#watermark = number
    else throw new DamagedRecord('a record of an unknown kind')
  }

  #takeMessage(sequence: number, record: Buffer): void {
    records.decodeLogHead(record)
    this.#messages.add(sequence)
    this.#highestSequence = Math.max(this.#highestSequence, sequence)
  }

  #takeOfSession(kind: Kind, key: Buffer, record: Buffer): void {
    const clientId = key.toString('utf8', 1, keys.sessionKeyEnd(key) - 1)
    if (kind === 'sessions') {
      records.decodeSession(record)
      this.#sessions.add(clientId)
      return
    }
    this.#owners.add(clientId)
    if (kind === 'subscriptions') records.decodeSubscription(record)
    else if (kind === 'cursors') this.#cursors.set(clientId, records.decodeCursor(record))
  }
}

function nameOf(key: Buffer): string {
  const letter = String.fromCharCode(key[0] ?? 0)
  if (letter === 'm' && key.length === keys.messageKeyBytes) return `message ${keys.sequenceOf(key)}`
  if (letter === 'r') return `the retained message of ${JSON.stringify(key.toString('utf8', 1))}`
  return `key ${JSON.stringify(key.toString('latin1'))}`
}
