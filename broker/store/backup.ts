// A backup of a store that is running: all its records as they are at one moment, written into a new data folder.
import { OrioleError } from '../errors.ts'
import { type Database, damaged } from './database.ts'
import * as keys from './keys.ts'
import { type Counts, kindOf, noCounts } from './kinds.ts'
import { isWhole } from './raw-entry.ts'
import { decodeNumbers } from './records.ts'
import type { Store } from './store.ts'
import { copyRest, StoreWriter } from './store-writer.ts'

export interface Backup {
  readonly counts: Counts
  /** Messages whose checksum does not match: left out, as a start leaves them out. */
  readonly damagedMessages: number
}

export interface DiskStore extends Store {
  /** Copies what is committed now into a new or empty folder, while all goes on. Throws OrioleError; then nothing is left there. */
  backup(newPath: string, signal: AbortSignal): Promise<Backup>
  /** At once what else happens every minute: what is too old goes, and what only speaks of it. */
  sweep(): Promise<void>
}

/** LevelDB shows an iterator the database as it was when the iterator was made, and batches are never seen in part. */
export async function backup(database: Database, path: string, newPath: string, signal: AbortSignal): Promise<Backup> {
  const writer = await StoreWriter.create(path, newPath)
  const counts = noCounts()
  let damagedMessages = 0
  let watermark: number | undefined
  try {
    for await (const step of database.steps(keys.everything)) {
      if (signal.aborted) throw new OrioleError('ORI_STORE_OPEN', 'the broker stops; make the backup again')
      const whole = step.filter(([key, record]) => isWhole(key, record) || leaveOut(key))
      damagedMessages += step.length - whole.length
      for (const [key, record] of whole) {
        const kind = kindOf(key)
        if (kind !== undefined) counts[kind] += 1
        else if (key.equals(keys.watermarkKey)) watermark = decodeNumbers(record)[0]
      }
      await writer.add(whole)
    }
    if (watermark === undefined) throw damaged(path, 'the watermark is missing')
    await copyRest(path, newPath)
    await writer.finish(watermark)
    return { counts, damagedMessages }
  } catch (error) {
    await writer.abandon()
    throw error
  }

  /** Anything else than a message would be missed by what points to it. */
  function leaveOut(key: Buffer): false {
    if (kindOf(key) === 'messages') return false
    throw damaged(path, `a record (key ${JSON.stringify(key.toString('latin1'))}) is not what was written`)
  }
}
