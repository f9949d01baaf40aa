// The shortest way through the house: one publisher, one subscriber, each QoS, both versions.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startBroker } from '../helpers/broker.ts'
import { connectClient } from '../helpers/client.ts'

for (const protocolVersion of [4, 5] as const) {
  for (const qos of [0, 1, 2] as const) {
    test(`broker: a QoS ${qos} message arrives once over protocol level ${protocolVersion}`, {
      timeout: 10_000,
    }, async (t) => {
      const broker = await startBroker(t)
      const subscriber = await connectClient(t, broker.url(), { protocolVersion })
      const publisher = await connectClient(t, broker.url('ws'), { protocolVersion })
      await subscriber.client.subscribeAsync('a/+', { qos })
      await publisher.client.publishAsync('a/b', 'hello', { qos })
      await publisher.client.publishAsync('a/c', 'end', { qos })
      const received = await subscriber.messages(2)
      assert.deepEqual(
        received.map(({ topic, text }) => [topic, text]),
        [
          ['a/b', 'hello'],
          ['a/c', 'end'],
        ],
      )
    })
  }
}
