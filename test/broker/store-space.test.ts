// Space comes back: what nobody needs leaves the disk while the store runs, and nothing else does.
import assert from 'node:assert/strict'
import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as later } from 'node:timers/promises'
import type { DiskStore } from '../../broker/store/backup.ts'
import { Database } from '../../broker/store/database.ts'
import { databaseName } from '../../broker/store/folder.ts'
import { partsOf } from '../../broker/store/key-parts.ts'
import { rangeOf } from '../../broker/store/keys.ts'
import { createLevelStore } from '../../broker/store/level.ts'
import type { StoreLimits } from '../../broker/store/store.ts'
import {
  committed,
  folderBytes,
  makeFolder,
  messageOf,
  noise,
  readAll,
  recordLog,
  testLimits,
} from '../helpers/store.ts'

const MiB = 1_048_576
const manyLimits: StoreLimits = { queueMessages: 1_000_000, queueBytes: 1_000 * MiB, queueAgeS: 3_600 }

async function open(path: string, limits = manyLimits): Promise<DiskStore> {
  const store = createLevelStore({ path, durability: 'os', limits, log: recordLog() })
  await store.open()
  return store
}

test('space: 50 MB that all have read leave the disk without a restart, and what is left is whole', {
  timeout: 120_000,
}, async (t) => {
  const path = await makeFolder(t)
  const store = await open(path)
  t.after(() => store.close())
  const kept: string[] = []
  for (let n = 0; n < 1_000; n += 1) {
    store.append(messageOf('big', noise(50_000, n)), ['big'])
    if (n % 100 === 0) {
      store.append(messageOf('small', `${n}`), ['small', 'big'])
      kept.push(`${n}`)
      await committed(store)
    }
  }
  await committed(store)
  assert.ok((await folderBytes(path)) > 45 * MiB)
  store.trim('big', store.lastSequence)
  while ((await folderBytes(path)) > 4 * MiB) await later(200)
  assert.deepEqual((await readAll(store, [{ stream: 'small', after: 0 }])).payloads, kept)
  await store.close()
  const again = await open(path)
  t.after(() => again.close())
  assert.deepEqual((await readAll(again, [{ stream: 'small', after: 0 }])).payloads, kept)
  assert.deepEqual([...again.streams()], ['small'])
})

test('space: the record of a stream goes when none of its old messages is left', { timeout: 30_000 }, async (t) => {
  const path = await makeFolder(t)
  let store = await open(path, testLimits)
  for (let n = 0; n < 5; n += 1) store.append(messageOf('a', `${n}`), ['a', '#'])
  store.trim('a', 3)
  await committed(store)
  await store.sweep()
  await store.close()
  // '#' still holds the messages that 'a' has let go: without its record they would be back in 'a'.
  assert.deepEqual(await streamRecords(path), ['fa'])
  store = await open(path, testLimits)
  assert.deepEqual((await readAll(store, [{ stream: 'a', after: 0 }])).payloads, ['3', '4'])
  store.trim('#', 5)
  store.trim('a', 5)
  store.append(messageOf('b', 'x'), ['b'])
  await store.close()
  assert.deepEqual(await streamRecords(path), ['f#', 'fa'])
  store = await open(path, testLimits)
  store.trim('b', store.append(messageOf('b', 'y'), ['b']) - 1)
  await store.sweep()
  await store.close()
  assert.deepEqual(await streamRecords(path), [])
  store = await open(path, testLimits)
  t.after(() => store.close())
  assert.deepEqual([...store.streams()], ['b'])
})

test('space: what a stream dropped is remembered as long as somebody may ask', { timeout: 30_000 }, async (t) => {
  const path = await makeFolder(t)
  let store = await open(path, testLimits)
  for (let n = 0; n < 15; n += 1) store.append(messageOf('a', `${n}`), ['a'])
  await committed(store)
  await store.sweep()
  await store.close()
  assert.deepEqual(await streamRecords(path), ['fa'])
  store = await open(path, testLimits)
  assert.equal((await readAll(store, [{ stream: 'a', after: 0 }])).skipped, 5)
  for (const stream of [...store.streams()]) store.trim(stream, store.lastSequence)
  await store.close()
  store = await open(path, testLimits)
  await store.sweep()
  await store.close()
  assert.deepEqual(await streamRecords(path), [])
})

async function streamRecords(path: string): Promise<string[]> {
  const database = new Database(join(path, databaseName))
  await database.open(false)
  const found = await database.keys(rangeOf('f'))
  await database.close()
  return found.map((key) => key.toString())
}

test('space: a range of many keys is rewritten in parts, whatever the keys have in common', {
  timeout: 60_000,
}, async (t) => {
  const database = new Database(join(await makeFolder(t), 'database'))
  await database.open(true)
  t.after(() => database.close())
  const number = (n: number): string => String(n).padStart(5, '0')
  for (let n = 0; n < 5_000; n += 1) {
    // Two thirds behind one long prefix, and a third of large records.
    const key = n % 3 === 0 ? `r${number(n)}` : `rplant/north/hall 7/line 12/device/${number(n)}`
    await database.write(
      [{ type: 'put', key: Buffer.from(key), value: noise(n % 3 === 0 ? 20_000 : 10_000, n) }],
      false,
    )
  }
  const whole = rangeOf('r')
  await database.compact(whole)
  const parts = await partsOf(whole, 4 * MiB, (range) => database.sizeOf(range))
  const bytes = await Promise.all(parts.map((part) => database.sizeOf(part)))
  const all = bytes.reduce((sum, one) => sum + one, 0)
  assert.ok(all > 50 * MiB && all < 80 * MiB, `${all} bytes`)
  // LevelDB tells the size of a range by whole blocks.
  for (const one of bytes) assert.ok(one < 5 * MiB, `${one} bytes in one part`)
  assert.ok(parts.length < all / MiB, `${parts.length} parts`)
  const ends = [whole.gte, ...parts.map(({ lt }) => lt)]
  assert.deepEqual(
    parts.map(({ gte }) => gte),
    ends.slice(0, -1),
  )
  assert.deepEqual(ends.at(-1), whole.lt)
})

test('space: who waits for a database that cannot be opened again need not wait for ever', async (t) => {
  const folder = await makeFolder(t)
  const [path, elsewhere] = [join(folder, 'database'), join(folder, 'elsewhere')]
  const database = new Database(path)
  await database.open(true)
  await rename(path, elsewhere)
  await assert.rejects(database.reopen())
  const waiting = [database.sizeOf(rangeOf('m')), database.compact(rangeOf('m'))]
  database.giveUp()
  for (const outcome of await Promise.allSettled(waiting)) assert.equal(outcome.status, 'rejected')
  await database.close()
})
