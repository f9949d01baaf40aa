// Takeover: of any number of connections with one client id exactly one lives, and it belongs to the owner (MQTT-3.1.4-3).
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { startBroker, temporaryFolder } from '../helpers/broker.ts'
import { metric, openWith } from '../helpers/open-config.ts'
import { connectPacket, connectRaw, kept, openRaw, type RawClient, tryConnect } from '../helpers/raw-client.ts'

const timeout = 60_000
const manyConnects = 'connectsPerClient: { perS: 10000, burst: 10000 }'

test('takeover: the connection before is told 0x8E, before MQTT 5 it is closed', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const five = await connectRaw(t, port, { clientId: 'c' })
  const four = await connectRaw(t, port, { clientId: 'c', version: 4 })
  await five.disconnected(0x8e)
  const last = await connectRaw(t, port, { clientId: 'c' })
  await four.disconnected(0)
  await last.nothing()
})

for (const [name, options] of [
  ['clean sessions', { clientId: 'c', clean: true, version: 5 }],
  ['kept sessions', { ...kept('c'), version: 5 }],
  ['MQTT 3.1.1', { ...kept('c', 4), version: 4 }],
] as const) {
  test(`takeover: five at once, two hundred times, ${name}: one lives, and the count is right`, {
    timeout,
  }, async (t) => {
    const folder = await temporaryFolder(t)
    const broker = await startBroker(t, openWith({ limits: manyConnects, metrics: true, folder }), folder)
    for (let round = 0; round < 200; round += 1) {
      const clients = await Promise.all(
        Array.from({ length: 5 }, () => openRaw(t, broker.port(), { version: options.version })),
      )
      for (const client of clients) client.send(connectPacket(options))
      const survivors = await survivorsOf(clients)
      assert.equal(survivors.length, 1, `round ${round}`)
      assert.equal(await metric(broker, 'oriole_connections'), 1)
      assert.equal(await metric(broker, 'oriole_sessions'), 1)
    }
  })
}

/** Four of them end; the others answer a PINGREQ. */
async function survivorsOf(clients: readonly RawClient[]): Promise<readonly RawClient[]> {
  const ended = new Set<RawClient>()
  await new Promise<void>((resolve) => {
    for (const client of clients) {
      void (client.socket.closed ? Promise.resolve() : once(client.socket, 'close')).then(() => {
        ended.add(client)
        if (ended.size === clients.length - 1) resolve()
      })
    }
  })
  // Goodbye is said only to who was welcomed [MQTT-3.14.0-1].
  for (const client of ended) assert.notEqual(client.pending[0]?.cmd, 'disconnect')
  const survivors = clients.filter((client) => !ended.has(client))
  for (const client of survivors) {
    await client.expect('connack')
    await client.nothing()
  }
  return survivors
}

/** Publishes who comes and goes. */
const witness = (zod: string): string => `
import { z } from '${zod}'
export default {
  name: 'witness',
  config: z.strictObject({}),
  setup: (broker) => ({
    onConnected: ({ id }) => broker.publish({ topic: 'witness/' + id, payload: 'came' }),
    onDisconnected: ({ id }) => broker.publish({ topic: 'witness/' + id, payload: 'went' }),
  }),
}
`

test('takeover: plugins hear of each client that came and went, in turn', { timeout }, async (t) => {
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'witness.mjs'), witness(import.meta.resolve('zod')))
  const plugins = '[auth-anonymous, acl-open, ./witness.mjs]'
  const port = (await startBroker(t, openWith({ folder, plugins, limits: manyConnects }), folder)).port()
  const watching = await connectRaw(t, port)
  await watching.subscribe(['witness/c', 'end'])
  for (let round = 0; round < 10; round += 1) {
    const clients = await Promise.all(Array.from({ length: 5 }, () => openRaw(t, port)))
    for (const client of clients) client.send(connectPacket(kept('c')))
    for (const client of await survivorsOf(clients)) await client.leave()
  }
  watching.publish('end')
  const heard: string[] = []
  for (;;) {
    const { topic, payload } = await watching.expect('publish')
    if (topic === 'end') break
    heard.push(payload.toString())
  }
  assert.ok(heard.length >= 20)
  assert.deepEqual(
    heard,
    heard.map((_, index) => (index % 2 === 0 ? 'came' : 'went')),
  )
})

test('takeover: another user is refused, with and without clean start, and the owner notices nothing', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const owner = await connectRaw(t, port, { ...kept('c'), username: 'alice' })
  await owner.subscribe('a', { qos: 1 })
  for (const version of [4, 5] as const) {
    for (const clean of [true, false]) {
      const { client, code } = await tryConnect(t, port, { clientId: 'c', clean, version, username: 'mallory' })
      assert.equal(code, version === 5 ? 0x87 : 5)
      await client.closed()
    }
  }
  await owner.nothing()
  await owner.leave()
  assert.equal((await tryConnect(t, port, { clientId: 'c', clean: true, username: 'mallory' })).code, 0x87)
  const back = await tryConnect(t, port, { ...kept('c'), username: 'alice' })
  assert.equal(back.connack.sessionPresent, true)
})

test('takeover: what the first connection did not acknowledge comes again over the second, with DUP', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const first = await connectRaw(t, port, kept('c'))
  await first.subscribe('a', { qos: 2 })
  const publisher = await connectRaw(t, port)
  await publisher.publishAcknowledged('a', 'one')
  publisher.publish('a', 'two', { qos: 2 })
  const one = await first.expect('publish')
  const two = await first.expect('publish')
  const second = await connectRaw(t, port, kept('c'))
  for (const before of [one, two]) {
    const again = await second.expect('publish')
    assert.deepEqual(
      [again.messageId, String(again.payload), again.qos, again.dup],
      [before.messageId, String(before.payload), before.qos, true],
    )
  }
})
