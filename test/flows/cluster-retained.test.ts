// Retained messages of a node that was not there when they were published.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connectClient } from '../helpers/client.ts'
import { startNode } from '../helpers/cluster-node.ts'
import { startRedis } from '../helpers/redis.ts'

const timeout = 60_000

test('cluster: a node that is new has the retained messages of the others, also large ones, and no removed ones', {
  timeout,
}, async (t) => {
  const redis = await startRedis(t)
  const a = await startNode(t, 'a', redis)
  const sender = await connectClient(t, a.url())
  const large = 'x'.repeat(200_000)
  await Promise.all(
    Array.from({ length: 2_500 }, (_, index) =>
      sender.client.publishAsync(`state/${index}`, String(index), { qos: 1, retain: true }),
    ),
  )
  for (let index = 0; index < 8; index += 1) {
    await sender.client.publishAsync(`large/${index}`, large, { qos: 1, retain: true })
  }
  await sender.client.publishAsync('state/7', '', { qos: 1, retain: true })
  const b = await startNode(t, 'b', redis)
  const late = await connectClient(t, b.url())
  await late.client.subscribeAsync(['state/+', 'large/+'], { qos: 1 })
  await late.messages(2_507)
  const found = new Map(late.received.map(({ topic, text }) => [topic, text]))
  assert.equal(found.get('state/2499'), '2499')
  assert.equal(found.has('state/7'), false)
  assert.equal(found.get('large/7'), large)
})

test('cluster: retained messages that fell off the outbox for a node that was away are made up for', {
  timeout,
}, async (t) => {
  const redis = await startRedis(t)
  const a = await startNode(t, 'a', redis, { cluster: 'outboxMaxBytes: 1048576' })
  const b = await startNode(t, 'b', redis)
  await b.stop()
  const sender = await connectClient(t, a.url())
  for (let index = 0; index < 40; index += 1) {
    await sender.client.publishAsync(`state/${index}`, 'x'.repeat(200_000), { qos: 1, retain: true })
  }
  const again = await startNode(t, 'b', redis, { folder: b.folder })
  const late = await connectClient(t, again.url())
  // They come behind the start, so it looks until all are there.
  const found = new Set<string>()
  while (found.size < 40) {
    const { length } = late.received
    await late.client.subscribeAsync('state/+', { qos: 1 })
    await late.messages(length + 1)
    for (const { topic } of late.received) found.add(topic)
  }
})
