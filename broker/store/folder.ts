// The data folder: private, marked with a format version, and never mistaken for an empty one when files are gone.
import { randomUUID } from 'node:crypto'
import { chmod, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { errorText, OrioleError } from '../errors.ts'
import { damaged } from './database.ts'

const markerName = 'oriole-store.json'
/** The marker while the database is being made. */
const makingName = `${markerName}.new`
const databaseName = 'level'
const format = 1

export interface DataFolder {
  /** Where LevelDB keeps its files. */
  readonly databasePath: string
  /** True: nothing was there; `markMade` is to be called when the database is. */
  readonly isNew: boolean
  markMade(): Promise<void>
}

/** Throws OrioleError: not writable, not a data folder of this version, or files missing. */
export async function openFolder(path: string): Promise<DataFolder> {
  // LevelDB makes files as long as it runs; this is how all of them get 0600 and 0700.
  process.umask(0o077)
  const databasePath = join(path, databaseName)
  const names = await listPrivately(path)
  if (names.includes(markerName)) {
    await checkMarker(path)
    await checkDatabaseFiles(path, databasePath)
    return { databasePath, isNew: false, markMade: async () => {} }
  }
  await prepareNew(path, databasePath, names)
  return { databasePath, isNew: true, markMade: () => markMade(path) }
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
    await writeSynced(join(path, makingName), markerContent())
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

async function checkMarker(path: string): Promise<void> {
  const file = join(path, markerName)
  let marker: unknown
  try {
    marker = JSON.parse(await readFile(file, 'utf8'))
  } catch (error) {
    throw damaged(path, `${markerName} cannot be read`, error)
  }
  const found = typeof marker === 'object' && marker !== null && 'format' in marker ? marker.format : undefined
  if (found === format) return
  const message = `the data in ${path} has format ${String(found)}, this version of oriole reads ${format}; use the version that wrote it`
  throw new OrioleError('ORI_STORE_OPEN', message)
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

function markerContent(): string {
  return `${JSON.stringify({ format, id: randomUUID(), madeAt: new Date().toISOString() })}\n`
}

async function writeSynced(path: string, content: string): Promise<void> {
  const file = await open(path, 'w', 0o600)
  try {
    await file.writeFile(content)
    await file.sync()
  } finally {
    await file.close()
  }
}

async function markMade(path: string): Promise<void> {
  await rename(join(path, makingName), join(path, markerName))
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
