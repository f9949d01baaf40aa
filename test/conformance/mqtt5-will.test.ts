// MQTT 5.0, 3.1.2.5 - 3.1.2.11, 3.1.3.2: wills, the keepalive and the end of sessions. Only the date is faked.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { openConfig, startBroker } from '../helpers/broker.ts'
import { connectRaw, kept, type RawClient, tryConnect } from '../helpers/raw-client.ts'

const timeout = 20_000
const will = { topic: 'will', payload: Buffer.from('gone'), qos: 1, retain: false } as const

/** The date stands still, but for what `forward` adds. The broker looks at it once a second. */
function holdDate(t: TestContext): { forward(seconds: number): void } {
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() })
  return { forward: (seconds) => t.mock.timers.tick(seconds * 1000) }
}

/** Moves the date by two seconds and resolves when the broker has looked at it. */
async function roundOver(t: TestContext, port: number, date: { forward(seconds: number): void }): Promise<void> {
  const clientId = `round-${Math.random()}`
  const watcher = await connectRaw(t, port, { keepalive: 0 })
  await watcher.subscribe(clientId)
  const options = { ...kept(clientId), will: { ...will, topic: clientId, properties: { willDelayInterval: 1 } } }
  await leaveWithWill(await connectRaw(t, port, options))
  date.forward(2)
  await watcher.expect('publish')
}

/** As if the network had failed, but when this resolves the broker knows it. */
async function leaveWithWill(client: RawClient): Promise<void> {
  await client.leave(undefined, 0x04)
}

async function watchWills(t: TestContext, port: number): Promise<RawClient> {
  const watcher = await connectRaw(t, port, { keepalive: 0 })
  await watcher.subscribe('will/#', { qos: 1, rap: true })
  return watcher
}

/** The next message is this one: of those sent before it, none was left out and none too many. */
async function expectWill(watcher: RawClient, text: string): Promise<void> {
  const packet = await watcher.expect('publish')
  assert.equal(packet.payload.toString(), text)
  watcher.acknowledge(packet)
}

type Lose = (client: RawClient, t: TestContext, port: number) => Promise<unknown>

const losses: Readonly<Record<string, Lose>> = {
  'the network fails': (client) => client.cut(),
  'the client closes without DISCONNECT': async (client) => {
    client.socket.end()
    await client.closed()
  },
  'the client breaks the protocol': async (client) => {
    client.send({ cmd: 'pingresp' })
    await client.disconnected(0x82)
  },
  'the client sends DISCONNECT with 0x04': leaveWithWill,
  'another connection takes over': async (client, t, port) => {
    const next = await connectRaw(t, port, kept('c'))
    await client.disconnected(0x8e)
    await next.leave()
  },
}

for (const [name, lose] of Object.entries(losses)) {
  test(`will: it is published when ${name}`, { timeout }, async (t) => {
    const port = (await startBroker(t)).port()
    const watcher = await watchWills(t, port)
    for (const options of [{ clientId: 'c' }, kept('c')]) {
      const client = await connectRaw(t, port, { ...options, will })
      await watcher.nothing()
      await lose(client, t, port)
      await expectWill(watcher, 'gone')
    }
    await watcher.nothing()
  })
}

test('will: it waits for its delay, or for the end of the session if that is earlier', { timeout }, async (t) => {
  const date = holdDate(t)
  const port = (await startBroker(t)).port()
  const watcher = await watchWills(t, port)
  const delayed = (clientId: string, willDelayInterval: number, sessionExpiryInterval: number) =>
    connectRaw(t, port, {
      clientId,
      properties: { sessionExpiryInterval },
      will: { ...will, payload: Buffer.from(clientId), properties: { willDelayInterval } },
    })
  await leaveWithWill(await delayed('delay 20', 20, 100))
  await leaveWithWill(await delayed('session 10', 100, 10))
  await leaveWithWill(await delayed('no session', 100, 0))
  await expectWill(watcher, 'no session')
  date.forward(8)
  await roundOver(t, port, date)
  await watcher.nothing()
  date.forward(2)
  await expectWill(watcher, 'session 10')
  date.forward(6)
  await roundOver(t, port, date)
  await watcher.nothing()
  date.forward(4)
  await expectWill(watcher, 'delay 20')
})

test('will: a client that is back before the delay is over has not been away', { timeout }, async (t) => {
  const date = holdDate(t)
  const port = (await startBroker(t)).port()
  const watcher = await watchWills(t, port)
  const options = { ...kept('c'), keepalive: 0, will: { ...will, properties: { willDelayInterval: 10 } } }
  await leaveWithWill(await connectRaw(t, port, options))
  date.forward(5)
  const { will: _, ...without } = options
  await connectRaw(t, port, without)
  date.forward(100)
  await roundOver(t, port, date)
  await watcher.nothing()
})

test('will: it is gone after DISCONNECT with 0x00, and once it was published', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const watcher = await watchWills(t, port)
  const polite = await connectRaw(t, port, { ...kept('c'), will })
  await polite.leave()
  // Nor does the next connection of the session have it.
  await (await connectRaw(t, port, kept('c'))).cut()
  await watcher.nothing()
  await (await connectRaw(t, port, { ...kept('c'), will })).cut()
  await expectWill(watcher, 'gone')
  await (await connectRaw(t, port, kept('c'))).cut()
  await watcher.nothing()
})

test('will: it is retained if the client asked for that, and else not', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const watcher = await watchWills(t, port)
  for (const retain of [true, false]) {
    const client = await connectRaw(t, port, { clientId: 'c', will: { ...will, topic: `will/${retain}`, retain } })
    await client.cut()
    const packet = await watcher.expect('publish')
    assert.equal(packet.retain, retain)
    watcher.acknowledge(packet)
  }
  const later = await connectRaw(t, port)
  await later.subscribe('will/+')
  assert.equal((await later.expect('publish')).topic, 'will/true')
  await later.nothing()
})

test('will: its properties arrive, user properties in their order', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const watcher = await watchWills(t, port)
  const userProperties = { z: '1', a: '2', m: '' }
  const properties = {
    payloadFormatIndicator: true,
    contentType: 'text/plain',
    responseTopic: 'answers',
    correlationData: Buffer.from([0, 255]),
    userProperties,
  }
  await (await connectRaw(t, port, { clientId: 'c', will: { ...will, properties } })).cut()
  const got = (await watcher.expect('publish')).properties
  assert.deepEqual({ ...got, userProperties: undefined }, { ...properties, userProperties: undefined })
  assert.deepEqual(Object.entries(got?.userProperties ?? {}), Object.entries(userProperties))
})

test('keepalive: who is silent for one and a half of it is closed as if the network had failed', {
  timeout,
}, async (t) => {
  const date = holdDate(t)
  const port = (await startBroker(t)).port()
  const watcher = await watchWills(t, port)
  const { client: patient, connack } = await tryConnect(t, port, { keepalive: 60, clientId: 'c', will })
  assert.equal(connack.properties?.serverKeepAlive, undefined, 'the keepalive of the client holds')
  const hasty = await connectRaw(t, port, { keepalive: 40 })
  date.forward(57)
  await roundOver(t, port, date)
  await hasty.nothing()
  date.forward(29)
  await roundOver(t, port, date)
  // 90 seconds are not more than one and a half of 60; the other one was heard 31 seconds ago.
  await hasty.nothing()
  date.forward(1)
  await patient.disconnected(0x8d)
  await hasty.nothing()
  date.forward(61)
  await hasty.disconnected(0x8d)
  await expectWill(watcher, 'gone')
})

test('keepalive: the server names its own where it does not take that of the client', { timeout }, async (t) => {
  const date = holdDate(t)
  const port = (await startBroker(t, `${openConfig}\nlimits: { keepaliveMaxS: 100 }\n`)).port()
  const keepaliveOf = async (keepalive: number) =>
    (await tryConnect(t, port, { keepalive })).connack.properties?.serverKeepAlive
  assert.equal(await keepaliveOf(99), undefined)
  assert.equal(await keepaliveOf(100), undefined)
  assert.equal(await keepaliveOf(101), 100)
  const { client, connack } = await tryConnect(t, port, { keepalive: 0 })
  assert.equal(connack.properties?.serverKeepAlive, 100)
  date.forward(151)
  await client.disconnected(0x8d)
})

test('session: its state is kept after the connection for as long as the client asked', { timeout }, async (t) => {
  const date = holdDate(t)
  const port = (await startBroker(t)).port()
  const options = { clientId: 'c', clean: false, properties: { sessionExpiryInterval: 100 } }
  const first = await connectRaw(t, port, options)
  await first.subscribe('a', { qos: 1 })
  await first.leave()
  date.forward(95)
  await roundOver(t, port, date)
  await (await connectRaw(t, port)).publishAcknowledged('a', 'missed')
  const { client, connack } = await tryConnect(t, port, options)
  assert.equal(connack.sessionPresent, true)
  const message = await client.expect('publish')
  assert.equal(message.payload.toString(), 'missed')
  client.acknowledge(message)
  await client.leave()
  date.forward(102)
  assert.equal((await tryConnect(t, port, { clientId: 'c', clean: false })).connack.sessionPresent, false)
})
