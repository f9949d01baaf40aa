// Makes a new data folder out of the records of another one: for repairs and backups. Throws OrioleError.
import { cp, lstat, mkdir, readdir, rm, stat } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { errorText, OrioleError } from '../errors.ts'
import { Database } from './database.ts'
import { databaseName, openFolder } from './folder.ts'
import * as keys from './keys.ts'
import { markerName } from './marker.ts'
import type { StoredRecord } from './merged.ts'
import * as records from './records.ts'
import { storeIdMark } from './store.ts'
import { syncTree } from './sync-tree.ts'

const storeIdKey = keys.markKey(storeIdMark)

export class StoreWriter {
  readonly path: string
  readonly #database: Database
  readonly #markMade: () => Promise<void>

  /** The folder is made, or is empty, and does not lie in the one that is copied. */
  static async create(from: string, path: string): Promise<StoreWriter> {
    await assertEmpty(from, path)
    const folder = await openFolder(path)
    const database = new Database(folder.databasePath)
    await database.open(true)
    return new StoreWriter(path, database, folder.markMade)
  }

  private constructor(path: string, database: Database, markMade: () => Promise<void>) {
    this.path = path
    this.#database = database
    this.#markMade = markMade
  }

  /** Numbers of batches and the watermark are its own; who it is among others is found at its first start. */
  async add(step: readonly StoredRecord[]): Promise<void> {
    const operations = step
      .filter(([key]) => !keys.isBatchKey(key) && !key.equals(keys.watermarkKey) && !key.equals(storeIdKey))
      .map(([key, value]) => ({ type: 'put' as const, key, value }))
    if (operations.length > 0) await this.#database.write(operations, false)
  }

  /** Resolves when all of it is on disk: only then it is a data folder. */
  async finish(watermark: number): Promise<void> {
    const value = records.encodeNumbers(keys.watermarkKey, [watermark])
    await this.#database.write([{ type: 'put', key: keys.watermarkKey, value }], true)
    await this.#database.close()
    await syncTree(this.path)
    await this.#markMade()
  }

  /** Takes away what was made. */
  async abandon(): Promise<void> {
    await this.#database.close()
    await removeContent(this.path)
  }
}

/** Throws OrioleError when somebody has files there, or it lies in the folder that is copied into it. */
export async function assertEmpty(from: string, path: string): Promise<void> {
  if (!relative(from, path).startsWith('..')) {
    throw new OrioleError('ORI_STORE_OPEN', `${path} lies in ${from}, which is copied; name a folder outside of it`)
  }
  const names = await readdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw new OrioleError('ORI_STORE_OPEN', `cannot use ${path}: ${errorText(error)}; name another folder`)
  })
  if (names.length === 0) return
  throw new OrioleError(
    'ORI_STORE_OPEN',
    `${path} is not empty (${names[0]}); name a folder that is empty or not there`,
  )
}

/** What lies beside the database, such as the files of plugins. Sockets stay where they are. */
export async function copyRest(from: string, to: string): Promise<void> {
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const isOurs = entry.name === databaseName || entry.name.startsWith(markerName) || entry.name === 'oriole-probe'
    if (isOurs || !(entry.isFile() || entry.isDirectory())) continue
    await cp(join(from, entry.name), join(to, entry.name), { recursive: true, filter: isFileOrFolder })
  }
}

/** The files of a database that nobody has open. */
export async function copyDatabase(from: string, to: string): Promise<void> {
  await mkdir(join(to, databaseName), { mode: 0o700 })
  for (const name of await readdir(join(from, databaseName))) {
    // A new one is made, and copying it would end the lock of whoever holds it in this process.
    if (name === 'LOCK') continue
    await cp(join(from, databaseName, name), join(to, databaseName, name))
  }
}

/** A copy that is used later gives sequence numbers again that its original gave: it must not be taken for it. */
export async function forgetStoreId(path: string): Promise<void> {
  const database = new Database(join(path, databaseName))
  await database.open(false)
  try {
    await database.write([{ type: 'del', key: storeIdKey }], true)
  } finally {
    await database.close()
  }
}

export async function removeContent(path: string): Promise<void> {
  for (const name of await readdir(path)) await rm(join(path, name), { recursive: true })
}

export async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() === true
}

async function isFileOrFolder(path: string): Promise<boolean> {
  const found = await lstat(path)
  return found.isFile() || found.isDirectory()
}
