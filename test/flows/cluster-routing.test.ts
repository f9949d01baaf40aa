// Two nodes that share nothing but a Redis: what is published at one arrives at the other.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connectClient } from '../helpers/client.ts'
import { startNode } from '../helpers/cluster-node.ts'
import { startRedis } from '../helpers/redis.ts'

test('cluster: a message of each QoS reaches a subscriber on the other node', { timeout: 20_000 }, async (t) => {
  const redis = await startRedis(t)
  const [a, b] = [await startNode(t, 'a', redis), await startNode(t, 'b', redis)]
  const receiver = await connectClient(t, b.url())
  await receiver.client.subscribeAsync('news/#', { qos: 2 })
  const sender = await connectClient(t, a.url())
  for (const qos of [0, 1, 2] as const) await sender.client.publishAsync(`news/${qos}`, `q${qos}`, { qos })
  const messages = await receiver.messages(3)
  assert.deepEqual(messages.map(({ text }) => text).sort(), ['q0', 'q1', 'q2'])
  assert.deepEqual(messages.map(({ packet }) => packet.qos).sort(), [0, 1, 2])
})
