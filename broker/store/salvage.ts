// Reads a LevelDB database from its files alone, without opening it: nothing is written, and damage hides only itself.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { errorText } from '../errors.ts'
import { DamagedRecord } from './bytes.ts'
import { readLogFile } from './log-file.ts'
import { type Manifest, readManifest } from './manifest.ts'
import { findEntries, type RawEntry, readBatch } from './raw-entry.ts'
import { highestOrder, tableEntries } from './table-entries.ts'
import { checkTable } from './table-file.ts'

export interface Findings {
  /** What is damaged or missing, one line each. */
  readonly problems: string[]
  /** What is worth knowing and no damage. */
  readonly notes: string[]
}

interface FileList {
  readonly tables: readonly number[]
  readonly logs: readonly number[]
  readonly manifest: Manifest | undefined
  nameOf(number: number): string
}

/** All entries, one table or log at a time; of several with one key the one with the highest order counts. */
export async function* salvage(databasePath: string, findings: Findings): AsyncGenerator<Iterable<RawEntry>> {
  const files = await listFiles(databasePath, findings)
  let orderMax = files.manifest?.lastOrder ?? 0
  if (files.manifest === undefined) {
    for (const number of files.tables) orderMax = Math.max(orderMax, highestOrder(await read(files, number)))
  }
  for (const number of files.tables) {
    const file = await read(files, number)
    const problem = problemOf(file, files.manifest?.tables.get(number))
    if (problem !== undefined) findings.problems.push(`${files.nameOf(number)}: ${problem}`)
    // Logs may hold newer entries than the manifest knows; tables do not.
    yield tableEntries(file, orderMax)
  }
  for (const number of files.logs) {
    const entries = logEntries(await read(files, number), files.nameOf(number), orderMax, findings)
    orderMax = entries.reduce((highest, { order }) => Math.max(highest, order), orderMax)
    yield entries
  }

  function read({ nameOf }: FileList, number: number): Promise<Buffer> {
    return readFile(join(databasePath, nameOf(number)))
  }
}

async function listFiles(path: string, { problems, notes }: Findings): Promise<FileList> {
  const names = new Map<number, string>()
  const all = await readdir(path)
  for (const name of all) {
    const number = /^(\d+)\.(?:ldb|sst|log)$/.exec(name)?.[1]
    if (number !== undefined) names.set(Number(number), name)
  }
  const manifest = await findManifest(path, all, problems)
  const numbers = [...names.keys()].sort((a, b) => a - b)
  const isLog = (number: number) => names.get(number)!.endsWith('.log')
  const tables = numbers.filter((number) => !isLog(number) && (manifest?.tables.has(number) ?? true))
  const logs = numbers.filter((number) => isLog(number) && number >= (manifest?.firstLog ?? 0))
  for (const number of manifest?.tables.keys() ?? []) {
    if (!tables.includes(number)) problems.push(`${String(number).padStart(6, '0')}.ldb: the table is missing`)
  }
  if (manifest !== undefined && !logs.includes(manifest.firstLog)) problems.push('the log file is missing')
  else if (logs.length === 0) problems.push('the log file is missing')
  const unused = numbers.length - tables.length - logs.length
  if (unused > 0) notes.push(`${unused} files are left over and not in use`)
  return { tables, logs, manifest, nameOf: (number) => names.get(number)! }
}

async function findManifest(path: string, names: readonly string[], problems: string[]): Promise<Manifest | undefined> {
  if (!names.includes('CURRENT')) {
    problems.push('CURRENT: the file is missing')
    return undefined
  }
  const current = await readFile(join(path, 'CURRENT'), 'latin1')
  const name = /^(MANIFEST-\d+)\n$/.exec(current)?.[1]
  if (name === undefined) {
    problems.push('CURRENT: it names no manifest')
    return undefined
  }
  if (!names.includes(name)) {
    problems.push(`${name}: the manifest is missing`)
    return undefined
  }
  try {
    return readManifest(await readFile(join(path, name)))
  } catch (error) {
    problems.push(`${name}: ${errorText(error)}`)
    return undefined
  }
}

function problemOf(file: Buffer, length: number | undefined): string | undefined {
  if (length !== undefined && file.length !== length) return `it has ${file.length} bytes, not ${length}`
  try {
    checkTable(file)
    return undefined
  } catch (error) {
    return errorText(error)
  }
}

function logEntries(file: Buffer, name: string, orderBefore: number, { problems, notes }: Findings): RawEntry[] {
  const { records, damagedAt, isTorn } = readLogFile(file)
  if (damagedAt !== undefined) problems.push(`${name}: it is damaged at byte ${damagedAt}`)
  else if (isTorn) notes.push(`${name}: it ends in the middle of a write, as after a kill`)
  const entries: RawEntry[] = []
  let last = orderBefore
  for (const { content, isSound } of records) {
    const found = isSound ? soundBatch(content, last) : findEntries(content, last)
    for (const entry of found) entries.push(entry)
    last = found.reduce((highest, { order }) => Math.max(highest, order), last)
  }
  return entries
}

function soundBatch(content: Buffer, orderBefore: number): RawEntry[] {
  try {
    return readBatch(content)
  } catch (error) {
    if (error instanceof DamagedRecord) return findEntries(content, orderBefore)
    throw error
  }
}
