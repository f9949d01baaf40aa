// MQTT 5.0, 3.2: CONNACK, what it says and when it comes.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openConfig, startBroker } from '../helpers/broker.ts'
import { type ConnectOptions, connectPacket, connectRaw, kept, openRaw, tryConnect } from '../helpers/raw-client.ts'
import { tap } from './wire.ts'

const timeout = 20_000
const limits = '\nlimits: { willMaxBytes: 10, retainedMaxBytes: 5, connectsPerClient: { perS: 1, burst: 2 } }\n'

test('connack: it comes before everything else, and once', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const before = await connectRaw(t, port, kept('c'))
  await before.subscribe('a', { qos: 2 })
  await before.leave()
  const publisher = await connectRaw(t, port)
  for (const text of ['1', '2', '3']) await publisher.publishAcknowledged('a', text)

  const client = await openRaw(t, port)
  const packets = tap(client)
  // What is queued, what is published meanwhile and what the client asks for at once.
  client.send(connectPacket(kept('c')), { cmd: 'pingreq' })
  publisher.publish('a', '4', { qos: 1 })
  const types = new Map<string, number>()
  for (let count = 0; count < 6; count += 1) {
    const { cmd } = await client.next()
    types.set(cmd, (types.get(cmd) ?? 0) + 1)
  }
  assert.equal(packets[0]?.[0], 0x20)
  assert.deepEqual(Object.fromEntries(types), { connack: 1, publish: 4, pingresp: 1 })
  client.send(connectPacket(kept('c')))
  await client.disconnected(0x82)
})

test('connack: session present is 1 only for a session that goes on, and the other bits are 0', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const flagsOf = async (options: ConnectOptions): Promise<number | undefined> => {
    const client = await openRaw(t, port)
    const packets = tap(client)
    client.send(connectPacket(options))
    const { reasonCode } = await client.expect('connack')
    if (reasonCode === 0) await client.leave()
    return packets[0]?.[2]
  }
  assert.equal(await flagsOf({ ...kept('c'), clean: true, username: 'alice' }), 0, 'nothing was there')
  assert.equal(await flagsOf({ ...kept('c'), username: 'alice' }), 1, 'it was kept')
  assert.equal(await flagsOf({ ...kept('c'), username: 'bob' }), 0, 'refused, it is the session of alice')
  assert.equal(await flagsOf({ ...kept('c'), username: 'alice', will: badWill }), 0, 'refused for its will')
  assert.equal(await flagsOf({ ...kept('c'), username: 'alice' }), 1, 'and it is still there')
  assert.equal(await flagsOf({ ...kept('c'), clean: true, username: 'alice' }), 0, 'a clean start')
})

const badWill = { topic: '$SYS/a', payload: Buffer.alloc(0), qos: 0, retain: false } as const
const will = { ...badWill, topic: 'a' }

const refusals: readonly (readonly [code: number, what: string, options: ConnectOptions])[] = [
  [0x85, 'a client id that is too long', { clientId: 'x'.repeat(1_000) }],
  [0x85, 'a client id with a control character', { clientId: 'a\tb' }],
  [0x87, 'a will that may not be published', { will: badWill }],
  [0x8c, 'an unknown authentication method', { properties: { authenticationMethod: 'none' } }],
  [0x90, 'a will topic of too many levels', { will: { ...will, topic: '/'.repeat(40) } }],
  [0x95, 'a will that is too large', { will: { ...will, payload: Buffer.alloc(11) } }],
  [0x97, 'a retained will that is too large', { will: { ...will, retain: true, payload: Buffer.alloc(6) } }],
  [
    0x99,
    'a will that is not the UTF-8 that it claims to be',
    { will: { ...will, payload: Buffer.from([0xff]), properties: { payloadFormatIndicator: true } } },
  ],
]

for (const [reasonCode, what, options] of refusals) {
  test(`connack: ${what} is refused with a code of its table, and the connection closed`, { timeout }, async (t) => {
    const port = (await startBroker(t, openConfig + limits)).port()
    const { client, code } = await tryConnect(t, port, options)
    assert.equal(code, reasonCode)
    await client.closed()
  })
}

test('connack: who connects too often is refused with a code of its table, and closed', { timeout }, async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() })
  const port = (await startBroker(t, openConfig + limits)).port()
  for (const expected of [0, 0, 0x9f]) {
    const { client, code } = await tryConnect(t, port, { clientId: 'c' })
    assert.equal(code, expected)
    if (expected > 0) await client.closed()
  }
})

test('connack: a protocol version that is not known is told so, and closed', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  for (const level of [6, 0, 255]) {
    const client = await openRaw(t, port, { version: 4 })
    client.bytes([0x10, 0x0d, 0x00, 0x04, 0x4d, 0x51, 0x54, 0x54, level, 0x02, 0x00, 0x3c, 0x00, 0x00, 0x00])
    assert.equal((await client.expect('connack')).returnCode, 1)
    await client.closed()
  }
})

test('connack: all of MQTT is available: every QoS, retained messages, wildcards, shared subscriptions', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const greatWill = { topic: 'will', payload: Buffer.from('x'), qos: 2, retain: true } as const
  const { client, connack } = await tryConnect(t, port, { will: greatWill })
  assert.equal(connack.reasonCode, 0)
  const properties = connack.properties ?? {}
  for (const limited of ['maximumQoS', 'retainAvailable', 'wildcardSubscriptionAvailable'] as const) {
    assert.equal(properties[limited], undefined)
  }
  assert.equal(properties.subscriptionIdentifiersAvailable, undefined)
  assert.equal(properties.sharedSubscriptionAvailable, undefined)
  const granted = await client.subscribe([
    { topic: 'a/+', qos: 0 },
    { topic: 'b/#', qos: 1 },
    { topic: '$share/g/c', qos: 2 },
  ])
  assert.deepEqual(granted, [0, 1, 2])
  client.publish('x', 'retained', { qos: 2, retain: true })
  assert.equal((await client.expect('pubrec')).reasonCode, 0x10)
  const watcher = await connectRaw(t, port)
  await watcher.subscribe('will', { qos: 2 })
  await client.cut()
  assert.equal((await watcher.expect('publish')).qos, 2)
})

test('connack: it has no reason string and no user properties', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  for (const clientId of ['', 'x'.repeat(1_000)]) {
    const { properties } = (await tryConnect(t, port, { clientId })).connack
    assert.equal(properties?.reasonString, undefined)
    assert.equal(properties?.userProperties, undefined)
  }
})

test('connack: one that is larger than the client takes is not sent, the connection is closed', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  // A refusal has 5 bytes.
  const refused = await tryConnect(t, port, { clientId: 'x'.repeat(1_000), properties: { maximumPacketSize: 5 } })
  assert.equal(refused.code, 0x85)
  for (const clientId of ['x'.repeat(1_000), 'c']) {
    const client = await openRaw(t, port)
    client.send(connectPacket({ clientId, properties: { maximumPacketSize: 4 } }))
    await client.closed()
  }
})
