// One file of a store is truncated, deleted or gets a wrong bit: it must show, and every record that is whole be saved.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { cp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { examineStore, repairStore } from '../../broker/store/doctor.ts'
import { createLevelStore } from '../../broker/store/level.ts'
import { type Cleanup, temporaryFolder } from '../helpers/broker.ts'
import type { Random } from '../helpers/random.ts'
import { committed, matchedBy, messageOf, recordLog, subscriptionOf, testLimits, willOf } from '../helpers/store.ts'

const limits = { ...testLimits, queueMessages: 100_000, queueBytes: 100_000_000 }
export interface DamageReport {
  readonly what: string
  readonly isFoundAtOpen: boolean
  readonly lostRecords: number
}

export async function damageRun(t: Cleanup, random: Random): Promise<DamageReport> {
  return damageOnce(t, await makeData(t), random)
}

/** Throws AssertionError when a promise is broken. */
export async function damageOnce(t: Cleanup, { path, payloads }: Data, random: Random): Promise<DamageReport> {
  const files = (await readdir(path, { recursive: true })).filter((name) => isData(name) && name !== 'level').sort()
  const folder = await temporaryFolder(t)
  const copy = join(folder, 'data')
  await cp(path, copy, { recursive: true })
  const { what, allowed } = await damage(copy, files, random)
  const before = await digestOf(copy)

  const examination = await examineStore(copy)
  assert.ok(examination.problems.length > 0, `the doctor did not notice: ${what}`)
  const saved = join(folder, 'saved')
  await repairStore(copy, saved)
  assert.deepEqual(await digestOf(copy), before, `the original was changed: ${what}`)

  const recovered = new Set(await contentOf(saved))
  for (const payload of recovered) assert.ok(payloads.has(payload), `something was made up: ${what}`)
  const bytes = await allBytes(copy)
  const missed = [...payloads].filter((payload) => !recovered.has(payload) && bytes.includes(payload, 0, 'latin1'))
  assert.ok(missed.length <= allowed, `${missed.length} whole records were left: ${what}`)
  assert.deepEqual((await examineStore(saved)).problems, [])
  const isFoundAtOpen = await isNoticedAtOpen(copy, payloads, what)
  await rm(folder, { recursive: true })
  return { what, isFoundAtOpen, lostRecords: payloads.size - recovered.size }
}

export interface Data {
  readonly path: string
  readonly payloads: ReadonlySet<string>
}

/** Two tables and a log, with messages, sessions and all that belongs to them. The payloads are random, so they are unique. */
export async function makeData(t: Cleanup): Promise<Data> {
  const path = join(await temporaryFolder(t), 'data')
  const payloads = new Set<string>()
  const payload = () => {
    const bytes = randomBytes(150)
    payloads.add(bytes.toString('latin1'))
    return bytes
  }
  for (let run = 0; run < 3; run += 1) {
    const store = createLevelStore({ path, durability: 'disk', limits, log: recordLog() })
    await store.open()
    for (let n = 0; n < 200; n += 1) {
      store.append(messageOf('topic', payload()), ['stream', `other ${n % 3}`])
      if (n % 2 === 0) store.putRetained(messageOf(`retained/${run}/${n}`, payload()))
      if (n % 7 === 0) await committed(store)
    }
    for (let n = run; n < 50; n += 3) {
      const clientId = `client ${n}`
      store.putSession({ clientId, username: 'u', expiryS: 1, disconnectedAt: undefined, createdAt: n })
      store.putSubscription(clientId, subscriptionOf('stream'))
      store.putSubscription(clientId, subscriptionOf(`other ${n % 3}`))
      store.putCursor(clientId, { position: n, done: [], inflight: [] })
    }
    if (run === 1) store.putWill('client 1', willOf(messageOf('will', 'payload')))
    await store.close()
  }
  return { path, payloads }
}

/** `allowed`: how many records may be lost although their payload is still there. */
async function damage(
  folder: string,
  files: readonly string[],
  random: Random,
): Promise<{ what: string; allowed: number }> {
  const name = random.pick(files)
  const path = join(folder, name)
  const { size } = await stat(path)
  const kind = random.pick(['truncated', 'flipped', 'deleted'])
  if (kind === 'deleted') {
    await rm(path)
    return { what: `${name} deleted`, allowed: 0 }
  }
  const at = random.below(size)
  if (kind === 'truncated') {
    await truncate(path, at)
    return { what: `${name} truncated to ${at} of ${size}`, allowed: 0 }
  }
  const content = await readFile(path)
  content[at]! ^= 1 << random.below(8)
  await writeFile(path, content)
  return { what: `${name} flipped at ${at} of ${size}`, allowed: name.endsWith('.log') ? 1 : 0 }
}

/** The payloads of all messages and retained messages. */
export async function contentOf(path: string, log = recordLog()): Promise<string[]> {
  const store = createLevelStore({ path, durability: 'disk', limits, log })
  await store.open()
  try {
    const messages: string[] = []
    for (let after = 0; ; ) {
      const { entries, end, through } = await store.read([{ stream: 'stream', after }], 1_000)
      for (const { message } of entries) messages.push(message.payload.toString('latin1'))
      if (end) break
      after = through
    }
    return [...messages, ...matchedBy(store, '#').map((message) => message.payload.toString('latin1'))]
  } finally {
    await store.close()
  }
}

/** A start that refuses, or that says what it left out. One that does neither must have everything. */
async function isNoticedAtOpen(path: string, payloads: ReadonlySet<string>, what: string): Promise<boolean> {
  const log = recordLog()
  try {
    const content = new Set(await contentOf(path, log))
    if (log.errors.length > 0) return true
    assert.deepEqual(content, payloads, `a start lost something without a word: ${what}`)
    return false
  } catch (error) {
    assert.equal((error as { code?: string }).code, 'ORI_STORE_DAMAGED', `${what}: ${String(error)}`)
    return true
  }
}

/** The lock, and the diary that LevelDB keeps for people, are not: whether data is in use is found out with them. */
function isData(name: string): boolean {
  return !/LOCK$|LOG$|LOG\.old$/.test(name)
}

export async function digestOf(path: string): Promise<string[]> {
  const lines: string[] = []
  for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !isData(entry.name)) continue
    const hash = createHash('sha256').update(await readFile(join(entry.parentPath, entry.name)))
    lines.push(`${entry.name} ${hash.digest('hex')}`)
  }
  return lines.sort()
}

async function allBytes(path: string): Promise<Buffer> {
  const all: Buffer[] = []
  for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) all.push(await readFile(join(entry.parentPath, entry.name)))
  }
  return Buffer.concat(all)
}
