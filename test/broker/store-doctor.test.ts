// The doctor: whatever happens to a file of the store shows, and every record that is whole is saved.
import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { examineStore, repairStore } from '../../broker/store/doctor.ts'
import { createLevelStore } from '../../broker/store/level.ts'
import { decompressDamaged } from '../../broker/store/snappy.ts'
import { contentOf, damageOnce, digestOf, makeData } from '../chaos/damage.ts'
import { runCommand } from '../helpers/command.ts'
import { seeded } from '../helpers/random.ts'
import { committed, makeFolder, recordLog, testLimits } from '../helpers/store.ts'

const limits = { ...testLimits, queueMessages: 100_000, queueBytes: 100_000_000 }
const rounds = 40

test('doctor: damage of every kind shows, and every record that is whole is saved', { timeout: 180_000 }, async (t) => {
  const random = seeded(t)
  const data = await makeData(t)
  let found = 0
  for (let round = 0; round < rounds; round += 1) {
    if ((await damageOnce(t, data, random)).isFoundAtOpen) found += 1
  }
  t.diagnostic(`${rounds} found by the doctor, ${found} of them by a start as well`)
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

async function sessionsIn(path: string): Promise<unknown[]> {
  const store = createLevelStore({ path, durability: 'disk', limits, log: recordLog() })
  const { sessions, wills } = await store.open()
  const found = [...sessions, ...wills]
  await store.close()
  return found
}

test('doctor: of a compressed block that is cut right behind a record, that record is there', () => {
  const record = Buffer.from('a whole record')
  // Snappy: the length of the whole, then a literal.
  const cut = Buffer.concat([Buffer.from([100, (record.length - 1) << 2]), record])
  assert.deepEqual(decompressDamaged(cut), record)
})
