// The newest entry of each key out of all files of a database, sorted on disk so that memory stays small.
import { Database } from './database.ts'
import * as keys from './keys.ts'
import { isWhole, type RawEntry } from './raw-entry.ts'
import { type Findings, salvage } from './salvage.ts'

export type StoredRecord = readonly [key: Buffer, record: Buffer]

const writeEntries = 1_000

const deleted = 0
const whole = 1
const broken = 2

/** What is to be kept of a record while it is sorted. */
export type Keep = (key: Buffer, record: Buffer) => Buffer

/** `scratchPath` must not exist; the caller removes it. Records that are not whole are counted in `onDamaged`. */
export async function* merged(
  databasePath: string,
  scratchPath: string,
  findings: Findings,
  keep: Keep,
  onDamaged: (key: Buffer) => void,
): AsyncGenerator<StoredRecord[]> {
  const scratch = new Database(scratchPath)
  await scratch.open(true)
  try {
    for await (const entries of salvage(databasePath, findings)) await collect(scratch, entries, keep)
    yield* newest(scratch, onDamaged)
  } finally {
    await scratch.close()
  }
}

async function collect(scratch: Database, entries: Iterable<RawEntry>, keep: Keep): Promise<void> {
  let operations: { type: 'put'; key: Buffer; value: Buffer }[] = []
  for (const entry of entries) {
    operations.push({ type: 'put', key: sortKey(entry), value: sortValue(entry, keep) })
    if (operations.length < writeEntries) continue
    await scratch.write(operations, false)
    operations = []
  }
  if (operations.length > 0) await scratch.write(operations, false)
}

async function* newest(scratch: Database, onDamaged: (key: Buffer) => void): AsyncGenerator<StoredRecord[]> {
  let done: Buffer | undefined
  for await (const step of scratch.steps(keys.everything)) {
    const records: StoredRecord[] = []
    for (const [sorted, value] of step) {
      const key = sorted.subarray(4, 4 + sorted.readUInt32BE(0))
      if (done?.equals(key)) continue
      // An older one is better than none.
      if (value[0] === broken) {
        onDamaged(key)
        continue
      }
      done = key
      if (value[0] === whole) records.push([key, value.subarray(1)])
    }
    yield records
  }
}

/** The newest of a key comes first. */
function sortKey({ key, order }: RawEntry): Buffer {
  const sorted = Buffer.allocUnsafe(4 + key.length + 8)
  sorted.writeUInt32BE(key.length)
  key.copy(sorted, 4)
  sorted.writeBigUInt64BE(BigInt(Number.MAX_SAFE_INTEGER - Math.min(order, Number.MAX_SAFE_INTEGER)), 4 + key.length)
  return sorted
}

function sortValue({ key, value }: RawEntry, keep: Keep): Buffer {
  if (value === undefined) return Buffer.of(deleted)
  if (!isWhole(key, value)) return Buffer.of(broken)
  return Buffer.concat([Buffer.of(whole), keep(key, value)])
}
