// The data folder: private, never taken for an empty one, never shared, and damage is found before anyone relies on it.
import assert from 'node:assert/strict'
import { cp, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createLevelStore } from '../../broker/store/level.ts'
import type { Store } from '../../broker/store/store.ts'
import {
  committed,
  makeFolder,
  matchedBy,
  messageOf,
  readAll,
  recordLog,
  subscriptionOf,
  testLimits,
} from '../helpers/store.ts'

const deadline = { timeout: 30_000 }

function storeAt(path: string, log = recordLog()): Store {
  return createLevelStore({ path, durability: 'disk', limits: testLimits, log })
}

/** A closed store with a session, a retained message and five queued ones. */
async function makeData(t: TestContext): Promise<string> {
  const path = join(await makeFolder(t), 'data')
  const store = storeAt(path)
  await store.open()
  for (let n = 0; n < 5; n += 1) store.append(messageOf('topic', `payload number ${n}`), ['stream'])
  store.putSession({ clientId: 'client', username: 'u', expiryS: 1, disconnectedAt: undefined, createdAt: 1 })
  store.putSubscription('client', subscriptionOf('filter/#'))
  store.putRetained(messageOf('retained', 'the retained payload'))
  await committed(store)
  await store.close()
  return path
}

test('level store: the folder is 0700 and every file in it 0600', deadline, async (t) => {
  const path = await makeData(t)
  assert.equal((await stat(path)).mode & 0o777, 0o700)
  for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) {
    const { mode } = await stat(join(entry.parentPath, entry.name))
    assert.equal(mode & 0o777, entry.isDirectory() ? 0o700 : 0o600, entry.name)
  }
})

test('level store: a folder that another store uses is refused', deadline, async (t) => {
  const path = await makeData(t)
  const first = storeAt(path)
  await first.open()
  t.after(() => first.close())
  await assert.rejects(storeAt(path).open(), { code: 'ORI_STORE_LOCKED', message: new RegExp(`${path}.* in use`) })
})

test('level store: a folder that cannot be written is refused', deadline, async (t) => {
  const folder = await makeFolder(t)
  await writeFile(join(folder, 'file'), '')
  const refused = { code: 'ORI_STORE_OPEN', message: /set store\.path/ }
  await assert.rejects(storeAt(join(folder, 'file')).open(), refused)
  await assert.rejects(storeAt(join(folder, 'file', 'data')).open(), refused)
})

test('level store: a folder with files of someone else is refused', deadline, async (t) => {
  const folder = await makeFolder(t)
  await writeFile(join(folder, 'letter.txt'), 'dear')
  await assert.rejects(storeAt(folder).open(), { code: 'ORI_STORE_OPEN', message: /letter\.txt/ })
  assert.deepEqual(await readdir(folder), ['letter.txt'])
})

test('level store: data of a later format is refused and left alone', deadline, async (t) => {
  const path = await makeData(t)
  await writeFile(join(path, 'oriole-store.json'), '{"format":2}')
  await assert.rejects(storeAt(path).open(), { code: 'ORI_STORE_OPEN', message: /format 2/ })
})

test('level store: a process that ended while it made the folder does not block the next one', deadline, async (t) => {
  const path = await makeFolder(t)
  await mkdir(join(path, 'level'))
  await writeFile(join(path, 'level', 'LOCK'), '')
  await writeFile(join(path, 'oriole-store.json.new'), '')
  const store = storeAt(path)
  await store.open()
  await store.close()
  assert.deepEqual((await readdir(path)).sort(), ['level', 'oriole-store.json'])
})

for (const [what, remove] of Object.entries({
  'the whole database': /^level$/,
  'the marker': /^oriole-store\.json$/,
  CURRENT: /CURRENT$/,
  'the manifest': /MANIFEST-/,
  'the log': /\.log$/,
})) {
  test(`level store: ${what} is missing: it is not taken for an empty store`, deadline, async (t) => {
    const path = await makeData(t)
    for (const name of await readdir(path, { recursive: true })) {
      if (remove.test(name)) await rm(join(path, name), { recursive: true })
    }
    await assert.rejects(storeAt(path).open(), { code: 'ORI_STORE_DAMAGED', message: /oriole doctor/ })
  })
}

test('level store: a batch that LevelDB lost without a word is found at the start', deadline, async (t) => {
  const path = await makeFolder(t)
  const store = storeAt(path)
  await store.open()
  // Blocks of LevelDB's log are 32 KiB: a flipped bit in one costs all batches in it, and only those.
  for (let n = 0; n < 20; n += 1) {
    store.putRetained(messageOf(`t/${n}`, Buffer.alloc(8_000, n)))
    await committed(store)
  }
  // A copy of the running store is what a kill leaves behind.
  const copy = join(await makeFolder(t), 'copy')
  await cp(path, copy, { recursive: true })
  await store.close()
  await flip(join(copy, 'level', await nameOf(join(copy, 'level'), '.log')), 40_000)
  await assert.rejects(storeAt(copy).open(), { code: 'ORI_STORE_DAMAGED', message: /batches are missing/ })
})

test('level store: a flipped bit in a table never becomes a wrong message', deadline, async (t) => {
  const path = await makeData(t)
  // Opening writes the log into a table.
  const wanted = await contentOf(path)
  const table = await nameOf(join(path, 'level'), '.ldb')
  const { size } = await stat(join(path, 'level', table))
  let silent = 0
  for (let offset = 0; offset < size; offset += 13) {
    const copy = join(await makeFolder(t), 'copy')
    await cp(path, copy, { recursive: true })
    await flip(join(copy, 'level', table), offset)
    const log = recordLog()
    try {
      const content = await contentOf(copy, log)
      for (const line of content) assert.ok(wanted.includes(line), `${line} was never written`)
      if (log.errors.length === 0 && content.length < wanted.length) silent += 1
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'ORI_STORE_DAMAGED', String(error))
    }
  }
  t.diagnostic(`${silent} of ${Math.ceil(size / 13)} flips lost something without a word`)
  assert.equal(silent, 0)
})

/** All that a start finds. */
async function contentOf(path: string, log = recordLog()): Promise<string[]> {
  const store = storeAt(path, log)
  const { sessions } = await store.open()
  try {
    const messages = (await readAll(store, [{ stream: 'stream', after: 0 }])).payloads
    const retained = matchedBy(store, '#').map(({ topic, payload }) => `${topic} ${payload.toString()}`)
    return [...messages, ...retained, ...[...sessions].map((session) => JSON.stringify(session))]
  } finally {
    await store.close()
  }
}

async function nameOf(folder: string, ending: string): Promise<string> {
  const name = (await readdir(folder)).find((candidate) => candidate.endsWith(ending))
  assert.ok(name !== undefined, `no ${ending} in ${folder}`)
  return name
}

async function flip(path: string, offset: number): Promise<void> {
  const content = await readFile(path)
  content[offset]! ^= 1 << (offset % 8)
  await writeFile(path, content)
}
