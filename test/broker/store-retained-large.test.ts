// Large retained messages: only what finds them is in memory, and subscribers get them whole.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLevelStore } from '../../broker/store/level.ts'
import { startBroker } from '../helpers/broker.ts'
import { openWith } from '../helpers/open-config.ts'
import { connectRaw, kept } from '../helpers/raw-client.ts'
import { committed, makeFolder, messageOf, noise, recordLog, testLimits } from '../helpers/store.ts'

test('large retained: the payload leaves the memory when it is on disk, and a start does not read it in', {
  timeout: 30_000,
}, async (t) => {
  const path = await makeFolder(t)
  const open = async () => {
    const store = createLevelStore({ path, durability: 'disk', limits: testLimits, log: recordLog() })
    await store.open()
    t.after(() => store.close())
    return store
  }
  const first = await open()
  const payload = noise(100_000, 1)
  first.putRetained(messageOf('large', payload, { retain: true }))
  assert.deepEqual(first.getRetained('large')?.payload, payload)
  await committed(first)
  assert.equal(first.getRetained('large')?.payload, undefined)
  assert.equal(first.getRetained('large')?.username, 'alice')
  await first.close()
  const second = await open()
  assert.equal(second.getRetained('large')?.payload, undefined)
  assert.deepEqual((await second.loadRetained('large'))?.payload, payload)
  assert.equal(second.retainedCountOf('alice'), 1)
})

test('large retained: subscribers get them whole, each once, with those of the log behind them', {
  timeout: 30_000,
}, async (t) => {
  const folder = await makeFolder(t)
  const config = openWith({ folder, limits: 'inflightOut: 3' })
  const publisherOf = (n: number) => `${n}`.repeat(n % 2 === 0 ? 20_000 : 1)
  let broker = await startBroker(t, config)
  const publisher = await connectRaw(t, broker.port())
  for (let n = 0; n < 20; n += 1) await publisher.publishAcknowledged(`r/${n}`, publisherOf(n), { retain: true })
  await broker.stop()
  broker = await startBroker(t, config)
  for (const qos of [0, 1] as const) {
    const client = await connectRaw(t, broker.port(), { ...kept(`client-${qos}`), answers: true })
    await client.subscribe('r/#', { qos })
    const texts = await client.texts(20)
    assert.deepEqual(texts.sort(), Array.from({ length: 20 }, (_, n) => publisherOf(n)).sort())
    await client.nothing()
    await client.leave()
  }
})
