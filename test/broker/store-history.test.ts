// Retention rules through a whole broker, and what a change of the rules does at the next start.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { loadConfig } from '../../broker/config/load.ts'
import { createLevelStore } from '../../broker/store/level.ts'
import type { HistoryRule, Store } from '../../broker/store/store.ts'
import { startBroker } from '../helpers/broker.ts'
import { openWith } from '../helpers/open-config.ts'
import { connectRaw } from '../helpers/raw-client.ts'
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

test('history: messages with QoS 1 and 2 that nobody waits for outlive the broker; QoS 0 does not', {
  timeout: 30_000,
}, async (t) => {
  const folder = await makeFolder(t)
  const broker = await startBroker(t, `${openWith({ folder })}\nhistory:\n  - { filter: im/#, days: 1 }\n`)
  const client = await connectRaw(t, broker.port())
  assert.equal(await client.publishAcknowledged('im/g/all/bob', 'kept'), 0x10)
  assert.equal(await client.publishAcknowledged('other', 'not kept'), 0x10)
  client.publish('im/g/all/bob', 'also not kept')
  const live = await connectRaw(t, broker.port())
  await live.subscribe('im/#', { qos: 1 })
  assert.equal(await client.publishAcknowledged('im/g/all/ann', 'given, and kept'), 0)
  assert.deepEqual(await live.texts(1), ['given, and kept'])
  await broker.stop()
  const store = await open(join(folder, 'data'), [{ filter: '#', days: 1 }])
  t.after(() => store.close())
  assert.deepEqual(await historyOf(store, '#', { limit: 10 }), ['kept', 'given, and kept', 'end'])
})

test('config: a retention rule needs a bound and a topic filter', { timeout: 20_000 }, async (t) => {
  const path = join(await makeFolder(t), 'oriole.yaml')
  await writeFile(
    path,
    `history:
  - { filter: im/#, days: 0.5 }
  - { filter: im/# }
  - { filter: im/#/x, messages: 3 }
  - { filter: $share/a/x, messages: 3 }
  - { filter: x, message: 3, bytes: 1 }
`,
  )
  const { problems } = await loadConfig(path, {})
  assert.deepEqual(
    problems.map(({ line, column, message }) => `${line}:${column}: ${message}`),
    [
      '3:5: history.1: has no bound: set days, messages or bytes',
      '4:15: history.2.filter: has # before its end',
      '5:15: history.3.filter: is a shared subscription, not a topic filter',
      '6:18: history.4.message: is not a setting; did you mean "messages"?',
    ],
  )
})
