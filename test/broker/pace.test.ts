// The limit on the rate of publishing: a fast client is read more slowly, loses nothing, and is not taken for dead.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openConfig, startBroker } from '../helpers/broker.ts'
import { connectClient } from '../helpers/client.ts'

for (const [limit, seconds] of [
  ['publishPerS: 50', 2],
  ['publishBytesPerS: 5000', 2],
] as const) {
  test(`pace: with ${limit} a burst of 150 messages of 100 bytes takes its time and arrives whole`, {
    timeout: 30_000,
  }, async (t) => {
    const broker = await startBroker(t, `${openConfig}limits: { ${limit} }\n`)
    const subscriber = await connectClient(t, broker.url())
    await subscriber.client.subscribeAsync('a', { qos: 1 })
    const publisher = await connectClient(t, broker.url(), { keepalive: 1 })
    const other = await connectClient(t, broker.url())
    const begin = performance.now()
    const burst = Array.from({ length: 150 }, (_, index) => `${index}`.padEnd(100))
    const published = burst.map((text) => publisher.client.publishAsync('a', text, { qos: 1 }))
    await other.client.publishAsync('b', 'not held up', { qos: 1 })
    assert.ok(performance.now() - begin < 1_000, 'another client was held up')
    await Promise.all(published)
    assert.ok(performance.now() - begin > (seconds * 1000) / 2, 'the limit does not hold')
    assert.deepEqual(
      (await subscriber.messages(150)).map(({ text }) => text),
      burst,
    )
  })
}
