// Retention rules through a whole broker, and what a change of the rules does at the next start.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLevelStore } from '../../broker/store/level.ts'
import type { HistoryRule, Store } from '../../broker/store/store.ts'
import { committed, historyOf, makeFolder, messageOf, recordLog, testLimits } from '../helpers/store.ts'

async function open(path: string, history: readonly HistoryRule[]): Promise<Store> {
  const store = createLevelStore({ path, durability: 'disk', limits: testLimits, history, log: recordLog() })
  await store.open()
  return store
}

test('history: a rule that was lowered or removed lets go at the next start', { timeout: 30_000 }, async (t) => {
  const path = await makeFolder(t)
  let store = await open(path, [{ filter: '#', days: 1 }])
  for (let n = 0; n < 20; n += 1) for (const topic of ['a', 'b']) store.append(messageOf(topic, `${n}`), [])
  await committed(store)
  await store.close()
  store = await open(path, [{ filter: 'a', messages: 2 }])
  assert.deepEqual(await historyOf(store, 'a', { limit: 100 }), ['18', '19', 'end'])
  assert.deepEqual(await historyOf(store, 'b', { limit: 100 }), ['end'])
  const last = store.lastSequence
  await store.close()
  // With the old rules again nothing comes back: it is gone from the disk.
  store = await open(path, [{ filter: '#', days: 1 }])
  t.after(() => store.close())
  assert.deepEqual(await historyOf(store, '#', { limit: 100 }), ['18', '19', 'end'])
  assert.ok(store.lastSequence >= last)
})
