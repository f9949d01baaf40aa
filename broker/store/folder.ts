// The data folder: private, marked with a format version, and never mistaken for an empty one when files are gone.
import { chmod, mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { errorText, OrioleError } from '../errors.ts'
import { damaged } from './database.ts'
import { finishMakingMarker, makingName, markerName, readMarker, writeMakingMarker, writeMarker } from './marker.ts'

export const databaseName = 'level'

/** Where LevelDB keeps the files of a data folder. */
export function databasePathOf(path: string): string {
  return join(path, databaseName)
}

export interface DataFolder {
  /** Where LevelDB keeps its files. */
  readonly databasePath: string
  /** True: nothing was there; `markMade` is to be called when the database is. */
  readonly isNew: boolean
  /** The last batch that is known to have been written. */
  readonly leastBatch: number
  markMade(): Promise<void>
  /** This batch is in the database for good. */
  noteBatch(batch: number): Promise<void>
}

/** Throws OrioleError: not writable, not a data folder of this version, or files missing. */
export async function openFolder(path: string): Promise<DataFolder> {
  // LevelDB makes files as long as it runs; this is how all of them get 0600 and 0700.
  process.umask(0o077)
  const databasePath = join(path, databaseName)
  const names = await listPrivately(path)
  if (names.includes(markerName)) {
    const { batch } = await readMarker(path)
    await checkDatabaseFiles(path, databasePath)
    return { ...folderAt(path), isNew: false, leastBatch: batch }
  }
  await prepareNew(path, databasePath, names)
  return { ...folderAt(path), isNew: true, leastBatch: 0 }
}

function folderAt(path: string): Omit<DataFolder, 'isNew' | 'leastBatch'> {
  return {
    databasePath: join(path, databaseName),
    markMade: () => finishMakingMarker(path),
    async noteBatch(batch) {
      const marker = await readMarker(path)
      if (batch > marker.batch) await writeMarker(path, { ...marker, batch })
    },
  }
}

async function prepareNew(path: string, databasePath: string, names: readonly string[]): Promise<void> {
  const strange = names.find((name) => name !== databaseName && name !== makingName)
  if (strange !== undefined) {
    const message = `${path} holds other files (${strange}) and no ${markerName}; set store.path to a folder of its own`
    throw new OrioleError('ORI_STORE_OPEN', message)
  }
  if (names.includes(databaseName)) {
    if (!names.includes(makingName)) throw damaged(path, `${markerName} is missing beside the database`)
    // The process ended while it made the database: nothing was acknowledged yet.
    await rm(databasePath, { recursive: true })
  }
  try {
    await writeMakingMarker(path)
  } catch (error) {
    throw unusable(path, error)
  }
}

async function listPrivately(path: string): Promise<string[]> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 })
    await chmod(path, 0o700)
    return await readdir(path)
  } catch (error) {
    throw unusable(path, error)
  }
}

function unusable(path: string, error: unknown): OrioleError {
  const message = `cannot use ${path} for the data: ${errorText(error)}; set store.path to a folder that this user may write`
  return new OrioleError('ORI_STORE_OPEN', message, { cause: error })
}

/** LevelDB opens an empty database, or one without its latest writes, when these are gone. */
async function checkDatabaseFiles(path: string, databasePath: string): Promise<void> {
  let names: string[]
  try {
    names = await readdir(databasePath)
  } catch (error) {
    throw damaged(path, `the folder ${databaseName} is missing`, error)
  }
  if (!names.includes('CURRENT')) throw damaged(path, 'the file CURRENT is missing')
  if (!names.some((name) => name.startsWith('MANIFEST-'))) throw damaged(path, 'the MANIFEST file is missing')
  if (!names.some((name) => name.endsWith('.log'))) throw damaged(path, 'the log file is missing')
}
