// What can be done with a data folder while no broker uses it: examine, repair into a new one, back up, restore.
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { OrioleError } from '../errors.ts'
import { damaged, isInUse } from './database.ts'
import { Examiner } from './examiner.ts'
import { databaseName } from './folder.ts'
import type { Counts } from './kinds.ts'
import { type Marker, markerName, newMarker, readMarker, writeMarker } from './marker.ts'
import { type Keep, merged, type StoredRecord } from './merged.ts'
import * as records from './records.ts'
import {
  assertEmpty,
  copyDatabase,
  copyRest,
  forgetStoreId,
  isFolder,
  removeContent,
  StoreWriter,
} from './store-writer.ts'
import { syncTree } from './sync-tree.ts'

export { type Counts, kinds } from './kinds.ts'

export interface Examination {
  /** What is damaged or missing, one line each; none: all is well. */
  readonly problems: readonly string[]
  /** What is worth knowing and no damage. */
  readonly notes: readonly string[]
  /** Records that are whole. */
  readonly counts: Counts
  /** Records that were read and whose checksum does not match. */
  readonly damagedRecords: number
}

/** Reads everything and writes nothing into the folder. Throws OrioleError when it is in use or no data folder. */
export async function examineStore(path: string): Promise<Examination> {
  const { marker, problems } = await openMarker(path)
  const { examiner, ...found } = await examineHeads(path, marker)
  return { ...found, ...summaryOf(examiner), problems: [...problems, ...found.problems] }
}

/**
 * Copies every record that is whole into a new data folder, which is made or is empty, and what lies beside the
 * database. The original is only read. Throws OrioleError; then nothing is left in the new folder.
 */
export async function repairStore(path: string, newPath: string): Promise<Examination> {
  const { marker, problems } = await openMarker(path)
  const writer = await StoreWriter.create(path, newPath)
  try {
    const sorting = join(newPath, 'sorting')
    const all: Keep = (_key, record) => record
    const { examiner, ...found } = await examine(path, marker, sorting, all, (step) => writer.add(step))
    await rm(sorting, { recursive: true, force: true })
    await copyRest(path, newPath)
    await writer.finish(examiner.safeWatermark)
    return { ...found, ...summaryOf(examiner), problems: [...problems, ...found.problems] }
  } catch (error) {
    await writer.abandon()
    throw error
  }
}

/**
 * Copies a data folder that no broker uses into a new or empty one, and checks all of the copy: a backup of a stopped
 * broker, and a restore. Throws OrioleError; then nothing is left in the new folder.
 */
export async function copyStore(path: string, newPath: string): Promise<Counts> {
  await assertEmpty(path, newPath)
  const { marker, problems } = await openMarker(path)
  if (problems[0] !== undefined) throw damaged(path, problems[0])
  await mkdir(newPath, { recursive: true, mode: 0o700 })
  await chmod(newPath, 0o700)
  try {
    await copyDatabase(path, newPath)
    await copyRest(path, newPath)
    const { examiner, ...found } = await examineHeads(newPath, marker)
    if (found.problems[0] !== undefined) throw damaged(path, found.problems[0])
    if (examiner.counts.marks > 0) await forgetStoreId(newPath)
    await syncTree(newPath)
    // Last: only with it the folder is taken for one with data.
    await writeMarker(newPath, marker)
    return examiner.counts
  } catch (error) {
    await removeContent(newPath)
    throw error
  }
}

interface Examined {
  readonly examiner: Examiner
  readonly problems: readonly string[]
  readonly notes: readonly string[]
}

/** Of a message the head is enough: what is sorted stays small. */
async function examineHeads(path: string, marker: Marker): Promise<Examined> {
  const scratch = await mkdtemp(join(tmpdir(), 'oriole-doctor-'))
  try {
    const keep: Keep = (key, record) => (key[0] === 0x6d ? records.logHead(record) : record)
    return await examine(path, marker, join(scratch, 'sorting'), keep, async () => {})
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

async function examine(
  path: string,
  marker: Marker,
  scratchPath: string,
  keep: Keep,
  take: (step: StoredRecord[]) => Promise<void>,
): Promise<Examined> {
  const findings = { problems: [] as string[], notes: [] as string[] }
  const examiner = new Examiner(findings)
  const databasePath = join(path, databaseName)
  if (await isFolder(databasePath)) {
    for await (const step of merged(databasePath, scratchPath, findings, keep, (key) => examiner.damaged(key))) {
      for (const [key, record] of step) examiner.take(key, record)
      await take(step)
    }
  } else {
    findings.problems.push(`the folder ${databaseName} is missing`)
  }
  await assertNotInUse(path)
  examiner.finish(marker.batch)
  return { ...findings, examiner }
}

/** Throws OrioleError when there is no data folder that can be examined now. */
async function openMarker(path: string): Promise<{ marker: Marker; problems: string[] }> {
  const isData = (await isFolder(join(path, databaseName))) || (await readMarker(path).catch(() => undefined))
  if (!isData) {
    const message = `there is no data in ${path}; name the data folder, which is store.path in the config`
    throw new OrioleError('ORI_STORE_OPEN', message)
  }
  await assertNotInUse(path)
  try {
    return { marker: await readMarker(path), problems: [] }
  } catch (error) {
    if (!(error instanceof OrioleError) || error.code !== 'ORI_STORE_DAMAGED') throw error
    return { marker: newMarker(), problems: [`${markerName}: it is missing or does not say what was written`] }
  }
}

async function assertNotInUse(path: string): Promise<void> {
  if (!(await isInUse(join(path, databaseName)))) return
  const way = 'stop the broker, or make a backup with oriole backup and look at that'
  throw new OrioleError('ORI_STORE_LOCKED', `the data in ${path} is in use by another process; ${way}`)
}

function summaryOf({ counts, damagedRecords }: Examiner): Pick<Examination, 'counts' | 'damagedRecords'> {
  return { counts, damagedRecords }
}
