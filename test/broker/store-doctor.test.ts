// The doctor: whatever happens to a file of the store shows, and every record that is whole is saved.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { cp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { examineStore, repairStore } from '../../broker/store/doctor.ts'
import { createLevelStore } from '../../broker/store/level.ts'
import { runCommand } from '../helpers/command.ts'
import { type Random, seeded } from '../helpers/random.ts'
import {
  committed,
  makeFolder,
  matchedBy,
  messageOf,
  recordLog,
  subscriptionOf,
  testLimits,
  willOf,
} from '../helpers/store.ts'

const limits = { ...testLimits, queueMessages: 100_000, queueBytes: 100_000_000 }
const rounds = 40
/** So many keys of a table are written as what differs from the one before: with one of them the others may be lost. */
const keysTogether = 16

test('doctor: damage of every kind shows, and every record that is whole is saved', { timeout: 180_000 }, async (t) => {
  const random = seeded(t)
  const { path, payloads } = await makeData(t)
  const files = (await readdir(path, { recursive: true })).filter((name) => isData(name) && name !== 'level')
  const found = { atOpen: 0, byDoctor: 0 }
  let lost = 0
  for (let round = 0; round < rounds; round += 1) {
    const copy = join(await makeFolder(t), 'data')
    await cp(path, copy, { recursive: true })
    const { what, allowed } = await damage(copy, files.sort(), random)
    const before = await digestOf(copy)

    const examination = await examineStore(copy)
    assert.ok(examination.problems.length > 0, `the doctor did not notice: ${what}`)
    found.byDoctor += 1
    const saved = join(copy, '..', 'saved')
    await repairStore(copy, saved)
    assert.deepEqual(await digestOf(copy), before, `the original was changed: ${what}`)

    const recovered = new Set(await contentOf(saved))
    for (const payload of recovered) assert.ok(payloads.has(payload), `something was made up: ${what}`)
    const bytes = await allBytes(copy)
    const missed = [...payloads].filter((payload) => !recovered.has(payload) && bytes.includes(payload, 0, 'latin1'))
    assert.ok(missed.length <= allowed, `${missed.length} whole records were left: ${what}`)
    lost += payloads.size - recovered.size
    assert.deepEqual((await examineStore(saved)).problems, [])

    if (await isNoticedAtOpen(copy, payloads)) found.atOpen += 1
    await rm(join(copy, '..'), { recursive: true })
  }
  t.diagnostic(`of ${rounds}: ${found.atOpen} found at open, ${found.byDoctor} by the doctor; ${lost} records lost`)
})

test('doctor: a good folder has no damage, and a repaired copy of it is the same', { timeout: 60_000 }, async (t) => {
  const { path, payloads } = await makeData(t)
  const before = await digestOf(path)
  const examination = await examineStore(path)
  assert.deepEqual(examination.problems, [])
  assert.deepEqual(examination.notes, [])
  const counts = { messages: 600, sessions: 50, subscriptions: 100, cursors: 50, wills: 1, 'retained messages': 300 }
  for (const [kind, count] of Object.entries(counts)) assert.equal(examination.counts[kind as 'messages'], count, kind)
  const saved = join(await makeFolder(t), 'saved')
  assert.deepEqual((await repairStore(path, saved)).counts, examination.counts)
  assert.deepEqual(await digestOf(path), before)
  assert.deepEqual(new Set(await contentOf(saved)), payloads)
  assert.deepEqual(await sessionsIn(saved), await sessionsIn(path))
})

test('doctor: the command prints one line for each kind, and exits with 1 on damage', {
  timeout: 60_000,
}, async (t) => {
  const { path } = await makeData(t)
  const good = await runCommand(t, ['doctor', path])
  assert.equal(good.exitCode, 0, good.stderr)
  assert.match(good.stdout, /^messages +600\nsessions +50\n/)
  assert.match(good.stdout, /: no damage\n$/)
  await rm(join(path, 'level', 'CURRENT'))
  const bad = await runCommand(t, ['doctor', path])
  assert.equal(bad.exitCode, 1)
  assert.match(bad.stdout, /^damage: CURRENT: the file is missing$/m)
  const repaired = await runCommand(t, ['doctor', path, '--repair', `${path}-new`])
  assert.equal(repaired.exitCode, 0, repaired.stderr)
  assert.match(repaired.stdout, /^\d+ records copied into .*data-new; .*data is as it was$/m)
  assert.equal((await runCommand(t, ['doctor', `${path}-new`])).exitCode, 0)
  const again = await runCommand(t, ['doctor', path, '--repair', `${path}-new`])
  assert.match(again.stderr, /ORI_STORE_OPEN: .* is not empty/)
  const nothing = await runCommand(t, ['doctor', join(path, 'nowhere')])
  assert.match(nothing.stderr, /ORI_STORE_OPEN: there is no data in .*nowhere/)
  assert.equal(nothing.exitCode, 1)
})

test('doctor: data in use is refused and left alone', { timeout: 60_000 }, async (t) => {
  const { path } = await makeData(t)
  const store = createLevelStore({ path, durability: 'disk', limits, log: recordLog() })
  await store.open()
  t.after(() => store.close())
  const other = await runCommand(t, ['doctor', path])
  assert.match(other.stderr, /ORI_STORE_LOCKED: .* is in use by another process; stop the broker/)
  assert.equal(other.exitCode, 1)
  await assert.rejects(examineStore(path), { code: 'ORI_STORE_LOCKED' })
  await committed(store)
})

/** Two tables and a log, with messages, sessions and all that belongs to them. The payloads are random, so they are unique. */
async function makeData(t: TestContext): Promise<{ path: string; payloads: ReadonlySet<string> }> {
  const path = join(await makeFolder(t), 'data')
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
  return { what: `${name} flipped at ${at} of ${size}`, allowed: name.endsWith('.log') ? 1 : keysTogether }
}

/** The payloads of all messages and retained messages. */
async function contentOf(path: string, log = recordLog()): Promise<string[]> {
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

async function sessionsIn(path: string): Promise<unknown[]> {
  const store = createLevelStore({ path, durability: 'disk', limits, log: recordLog() })
  const { sessions, wills } = await store.open()
  const found = [...sessions, ...wills]
  await store.close()
  return found
}

/** A start that refuses, or that says what it left out. One that does neither must have everything. */
async function isNoticedAtOpen(path: string, payloads: ReadonlySet<string>): Promise<boolean> {
  const log = recordLog()
  try {
    const content = new Set(await contentOf(path, log))
    if (log.errors.length > 0) return true
    assert.deepEqual(content, payloads, 'a start lost something without a word')
    return false
  } catch (error) {
    assert.equal((error as { code?: string }).code, 'ORI_STORE_DAMAGED', String(error))
    return true
  }
}

/** The lock, and the diary that LevelDB keeps for people, are not: whether data is in use is found out with them. */
function isData(name: string): boolean {
  return !/LOCK$|LOG$|LOG\.old$/.test(name)
}

async function digestOf(path: string): Promise<string[]> {
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
