// A full disk: no commit without storage, reads go on, and when space returns the store goes on without a restart.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, rmdir, statfs, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'
import { createLevelStore } from '../../broker/store/level.ts'
import type { Store } from '../../broker/store/store.ts'
import { committed, messageOf, readAll, recordLog, subscriptionOf, testLimits } from '../helpers/store.ts'

const run = promisify(execFile)
const limits = { ...testLimits, queueMessages: 100_000, queueBytes: 100_000_000 }

test('level store: a full disk is survived, and nothing is promised meanwhile', { timeout: 60_000 }, async (t) => {
  const mount = await mkdtemp(join(tmpdir(), 'oriole-full-'))
  if (!(await mountSmall(mount))) {
    await rmdir(mount)
    t.skip('mounting a tmpfs needs root')
    return
  }
  const path = join(mount, 'data')
  const log = recordLog()
  const open = () => createLevelStore({ path, durability: 'disk', limits, log })
  let store: Store = open()
  t.after(async () => {
    await store.close()
    await run('umount', [mount])
    await rmdir(mount)
  })
  await store.open()
  await committed(store)
  const ballast = await fill(mount, 2_000_000)

  const kept: number[] = []
  const refused = await appendUntilRefused(store, kept)
  assert.match(store.failure?.message ?? '', /cannot write to .*; free space or check the disk/)
  assert.ok(kept.length > 0)
  // While it fails: every commit is refused, state is remembered, reads go on.
  for (let n = 0; n < 10; n += 1) {
    refused.push(store.append(messageOf('a', 'refused'), ['a']))
    await assert.rejects(committed(store), { code: 'ORI_STORE_WRITE' })
  }
  store.putSession({ clientId: 'c', username: 'u', expiryS: 1, disconnectedAt: undefined, createdAt: 1 })
  store.putSubscription('c', subscriptionOf('gone'))
  store.deleteSession('c')
  store.putSession({ clientId: 'c', username: 'u', expiryS: 1, disconnectedAt: undefined, createdAt: 2 })
  store.putSubscription('c', subscriptionOf('x'))
  store.putRetained(messageOf('r', 'kept'))
  await assertHolds(store, kept)

  await rm(ballast)
  while (store.failure !== undefined) await wait(20)
  kept.push(store.append(messageOf('a', 'after'), ['a']))
  await committed(store)
  await assertHolds(store, kept)

  await store.close()
  store = open()
  const { sessions } = await store.open()
  await assertHolds(store, kept)
  assert.deepEqual(
    [...sessions].map(({ session, subscriptions }) => [session.createdAt, subscriptions.map(({ filter }) => filter)]),
    [[2, ['x']]],
  )
  assert.equal(store.getRetained('r')?.payload?.toString(), 'kept')
  assert.ok(store.lastSequence >= Math.max(...refused))
  assert.equal(log.errors.filter((phrase) => phrase.startsWith('nothing can be stored')).length, 1)
})

/** These and no others, and nobody is told of a loss. */
async function assertHolds(store: Store, kept: readonly number[]): Promise<void> {
  const { sequences, skipped } = await readAll(store, [{ stream: 'a', after: 0 }])
  assert.deepEqual(sequences, kept)
  assert.equal(skipped, 0)
}

/** False: not allowed here. */
async function mountSmall(path: string): Promise<boolean> {
  try {
    await run('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', path])
    return true
  } catch {
    return false
  }
}

/** Leaves so many bytes free. */
async function fill(folder: string, leave: number): Promise<string> {
  const { bavail, bsize } = await statfs(folder)
  const path = join(folder, 'ballast')
  await writeFile(path, Buffer.alloc(bavail * bsize - leave))
  return path
}

/** Adds what was committed to `kept` and returns what was not. */
async function appendUntilRefused(store: Store, kept: number[]): Promise<number[]> {
  for (;;) {
    const sequences: number[] = []
    for (let n = 0; n < 10; n += 1) sequences.push(store.append(messageOf('a', randomBytes(2_000)), ['a']))
    try {
      await committed(store)
    } catch {
      return sequences
    }
    kept.push(...sequences)
  }
}
