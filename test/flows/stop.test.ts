// Stopping: clients are told, the store is flushed, and everything that was acknowledged is there at the next start.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { IDisconnectPacket } from 'mqtt'
import { type BrokerProcess, spawnBroker, temporaryFolder } from '../helpers/broker.ts'
import { connectClient, type TestClient } from '../helpers/client.ts'

const watcher = { clientId: 'watcher', clean: false, protocolVersion: 4 } as const

test('stop: SIGTERM tells MQTT 5 clients 0x8B, ends with 0, and keeps all that was acknowledged', {
  timeout: 30_000,
}, async (t) => {
  const { start } = await makeHouse(t)
  const broker = await start()
  await subscribeAndLeave(t, broker)
  const listener = await connectClient(t, broker.urls[0]!, { protocolVersion: 5 })
  const told = new Promise<IDisconnectPacket>((resolve) => listener.client.once('disconnect', resolve))
  const flood = await startFlood(t, broker)

  const startedAt = performance.now()
  const exit = await broker.kill('SIGTERM')
  const tookMs = performance.now() - startedAt

  assert.equal(exit, 0, broker.output())
  assert.ok(tookMs < 10_000, `${tookMs} ms`)
  assert.equal((await told).reasonCode, 0x8b)
  await assertAllAreThere(t, await start(), await flood.acknowledged())
})

test('stop: a second signal stops at once, whatever a plugin waits for, and still flushes', {
  timeout: 30_000,
}, async (t) => {
  const { folder, start } = await makeHouse(t, ['./never-ready.mjs'])
  // Without the second signal it would be waited for three seconds.
  await writeFile(
    join(folder, 'never-ready.mjs'),
    `import { z } from 'zod'
     export default {
       name: 'never-ready',
       config: z.strictObject({}),
       setup(broker) { broker.onStop(() => new Promise(() => {})); return {} },
     }`.replace("'zod'", `'${import.meta.resolve('zod')}'`),
  )
  const broker = await start()
  await subscribeAndLeave(t, broker)
  const flood = await startFlood(t, broker)

  const startedAt = performance.now()
  // Two of a kind that arrive at once count as one, and so does a SIGINT soon after another signal.
  const ended = broker.kill('SIGTERM')
  broker.child.kill('SIGHUP')
  const exit = await ended
  const tookMs = performance.now() - startedAt

  assert.equal(exit, 0, broker.output())
  assert.ok(tookMs < 2_500, `${tookMs} ms`)
  await assertAllAreThere(t, await start(), await flood.acknowledged())
})

interface House {
  readonly folder: string
  start(): Promise<BrokerProcess>
}

/** The same folder at each start. */
async function makeHouse(t: TestContext, plugins: readonly string[] = []): Promise<House> {
  const folder = await temporaryFolder(t)
  const configPath = join(folder, 'oriole.yaml')
  const lines = [
    'listeners: [{ name: tcp, type: tcp, port: 0 }]',
    'limits: { queueMessages: 100000 }',
    'store: { type: level, path: ./data, durability: disk }',
    'admin: { enabled: false }',
    `plugins: [${['auth-anonymous', 'acl-open', ...plugins].join(', ')}]`,
  ]
  await writeFile(configPath, `${lines.join('\n')}\n`)
  return { folder, start: () => spawnBroker(t, configPath, folder) }
}

async function subscribeAndLeave(t: TestContext, broker: BrokerProcess): Promise<void> {
  const { client, end } = await connectClient(t, broker.urls[0]!, watcher)
  await client.subscribeAsync('flood/#', { qos: 1 })
  await end()
}

interface Flood {
  /** What was acknowledged, once the connection is gone. */
  acknowledged(): Promise<readonly string[]>
}

/** Publishes without a pause until the connection ends; resolves when some were acknowledged. */
async function startFlood(t: TestContext, broker: BrokerProcess): Promise<Flood> {
  const { client }: TestClient = await connectClient(t, broker.urls[0]!, { protocolVersion: 4 })
  const acknowledged: string[] = []
  const closed = new Promise<void>((resolve) => client.once('close', () => resolve()))
  let number = 0
  const publishNext = (): void => {
    const text = String(number)
    number += 1
    client.publish('flood/a', text, { qos: 1 }, (error) => {
      // The package calls back with an error for what it gives up at the end.
      if (error) return
      acknowledged.push(text)
      if (client.connected) publishNext()
    })
  }
  for (let started = 0; started < 50; started += 1) publishNext()
  while (acknowledged.length < 500) await new Promise((resolve) => setImmediate(resolve))
  return {
    async acknowledged() {
      await closed
      return acknowledged
    },
  }
}

async function assertAllAreThere(
  t: TestContext,
  broker: BrokerProcess,
  acknowledged: readonly string[],
): Promise<void> {
  const back = await connectClient(t, broker.urls[0]!, watcher)
  const publisher = await connectClient(t, broker.urls[0]!)
  await publisher.client.publishAsync('flood/a', 'end', { qos: 1 })
  let count = 0
  while (back.received.at(-1)?.text !== 'end') count = (await back.messages(count + 1)).length
  const there = back.received.map(({ text }) => text)
  const found = new Set(there)
  assert.deepEqual(
    acknowledged.filter((text) => !found.has(text)),
    [],
  )
  // In order and once each; those at the end may lack an acknowledgement.
  assert.deepEqual(
    there.slice(0, -1).map(Number),
    Array.from({ length: there.length - 1 }, (_, index) => index),
  )
}
