// The marker of a data folder: the format of the data, and how far it is known to reach, outside of LevelDB.
import { randomUUID } from 'node:crypto'
import { open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { OrioleError } from '../errors.ts'
import { crc32 } from './crc32.ts'
import { damaged } from './database.ts'

export const markerName = 'oriole-store.json'
/** The marker while the database is being made. */
export const makingName = `${markerName}.new`
const nextName = `${markerName}.next`
export const format = 1

export interface Marker {
  readonly format: number
  readonly id: string
  readonly madeAt: string
  /** The last batch that is known to have been written: a later start that finds fewer has lost some. */
  readonly batch: number
}

export function newMarker(): Marker {
  return { format, id: randomUUID(), madeAt: new Date().toISOString(), batch: 0 }
}

/** Throws OrioleError: damaged, or of another version. */
export async function readMarker(path: string): Promise<Marker> {
  let found: Record<string, unknown>
  try {
    found = JSON.parse(await readFile(join(path, markerName), 'utf8')) as Record<string, unknown>
    if (typeof found !== 'object' || found === null) throw new Error('it is no object')
  } catch (error) {
    throw damaged(path, `${markerName} cannot be read`, error)
  }
  const { sum, ...marker } = found
  if (sum !== undefined && sum !== sumOf(marker)) throw damaged(path, `${markerName} does not say what was written`)
  if (typeof marker.format === 'number' && marker.format !== format) {
    const message = `the data in ${path} has format ${marker.format}, this version of oriole reads ${format}; use the version that wrote it`
    throw new OrioleError('ORI_STORE_OPEN', message)
  }
  // The first version wrote neither of the two.
  if (Object.keys(found).join() === 'format,id,madeAt') return { ...marker, batch: 0 } as Marker
  if (sum === undefined) throw damaged(path, `${markerName} does not say what was written`)
  return marker as unknown as Marker
}

/** First under the name that says that the database is being made. */
export async function writeMakingMarker(path: string): Promise<void> {
  await writeSynced(join(path, makingName), contentOf(newMarker()))
}

export async function finishMakingMarker(path: string): Promise<void> {
  await rename(join(path, makingName), join(path, markerName))
  await syncFolder(path)
}

/** Replaces the marker, or makes one: whole or not at all. */
export async function writeMarker(path: string, marker: Marker): Promise<void> {
  await writeSynced(join(path, nextName), contentOf(marker))
  await rename(join(path, nextName), join(path, markerName))
  await syncFolder(path)
}

export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
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

function contentOf(marker: Marker): string {
  return `${JSON.stringify({ ...marker, sum: sumOf({ ...marker }) })}\n`
}

function sumOf(marker: Record<string, unknown>): number {
  return crc32(Buffer.from(JSON.stringify(marker)))
}
