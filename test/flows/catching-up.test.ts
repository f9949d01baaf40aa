// A session that catches up with what it missed while others go on publishing: in order, once each, nothing left out.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startBroker, temporaryFolder } from '../helpers/broker.ts'
import { connectClient, type TestClient } from '../helpers/client.ts'

const queued = 2_000
const live = 2_000
const inFlight = 20
const away = { clientId: 'away', clean: false } as const

for (const qos of [1, 2] as const) {
  test(`catching up: what was missed comes before what is published meanwhile, QoS ${qos}`, {
    timeout: 30_000,
  }, async (t) => {
    const folder = await temporaryFolder(t)
    const config = `
listeners: [{ name: tcp, type: tcp, port: 0 }]
limits: { queueMessages: 100000 }
store: { type: level, path: ${folder}/data }
admin: { enabled: false }
plugins: [auth-anonymous, acl-open]
`
    const before = await startBroker(t, config, folder)
    const first = await connectClient(t, before.url(), away)
    await first.client.subscribeAsync('a/#', { qos })
    await first.end()
    const publisher = await connectClient(t, before.url())
    await publishAll(publisher, numbers(0, queued), qos)
    await before.stop()

    // After a new start the queue is on disk only, so that reading it takes its time.
    const broker = await startBroker(t, config, folder)
    const again = await connectClient(t, broker.url())
    const back = connectClient(t, broker.url(), away)
    await publishAll(again, numbers(queued, live), qos)
    const received = await (await back).messages(queued + live)
    assert.deepEqual(
      received.map(({ text }) => text),
      numbers(0, queued + live),
    )
  })
}

/** A few at a time: over 1,000 unreleased QoS 2 messages the broker ends the connection. */
async function publishAll({ client }: TestClient, texts: readonly string[], qos: 1 | 2): Promise<void> {
  for (let start = 0; start < texts.length; start += inFlight) {
    const some = texts.slice(start, start + inFlight)
    await Promise.all(some.map((text) => client.publishAsync('a/b', text, { qos })))
  }
}

function numbers(from: number, count: number): string[] {
  return Array.from({ length: count }, (_, index) => String(from + index))
}
