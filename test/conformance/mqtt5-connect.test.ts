// MQTT 5.0, 3.1: what the broker makes of CONNECT. Wills and time are in mqtt5-will.test.ts.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openConfig, startBroker } from '../helpers/broker.ts'
import { connectPacket, connectRaw, kept, openRaw, tryConnect } from '../helpers/raw-client.ts'
import { tap } from './wire.ts'

const timeout = 20_000
const tooLongId = 'x'.repeat(1_000)

test('connect: a clean start discards the session that was there', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const before = await connectRaw(t, port, kept('c'))
  await before.subscribe('a', { qos: 1 })
  before.publish('b', '', { qos: 2, messageId: 5 })
  await before.expect('pubrec')
  await before.leave()
  const publisher = await connectRaw(t, port)
  assert.equal(await publisher.publishAcknowledged('a', 'missed'), 0)

  const { client, connack } = await tryConnect(t, port, { ...kept('c'), clean: true })
  assert.deepEqual([connack.sessionPresent, connack.reasonCode], [false, 0])
  assert.equal(await publisher.publishAcknowledged('a', 'not subscribed'), 0x10)
  await client.nothing()
  client.send({ cmd: 'pubrel', messageId: 5 })
  assert.equal((await client.expect('pubcomp')).reasonCode, 0x92)
})

test('connect: without a clean start the session goes on where it was', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const before = await connectRaw(t, port, kept('c'))
  await before.subscribe('a', { qos: 1 })
  before.publish('b', '', { qos: 2, messageId: 5 })
  await before.expect('pubrec')
  await before.cut()
  const publisher = await connectRaw(t, port)
  await publisher.publishAcknowledged('a', 'missed')

  const { client, connack } = await tryConnect(t, port, kept('c'))
  assert.equal(connack.sessionPresent, true)
  assert.deepEqual(await client.texts(1), ['missed'])
  client.send({ cmd: 'pubrel', messageId: 5 })
  assert.equal((await client.expect('pubcomp')).reasonCode ?? 0, 0)
  await publisher.publishAcknowledged('a', 'live')
  assert.deepEqual(await client.texts(1), ['live'])
})

test('connect: without a clean start and without a session a new one begins', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const { client, connack } = await tryConnect(t, port, kept('new'))
  assert.equal(connack.sessionPresent, false)
  await client.subscribe('a', { qos: 1 })
  await client.leave()
  assert.equal((await tryConnect(t, port, kept('new'))).connack.sessionPresent, true)
})

test('connect: the state of a session belongs to its client id', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const publisher = await connectRaw(t, port)
  // Case and Unicode form make other client ids.
  const ids = ['id', 'ID', 'id ', '\u00e9', 'e\u0301']
  for (const clientId of ids) {
    const client = await connectRaw(t, port, kept(clientId))
    await client.subscribe(`to/${clientId}`, { qos: 1 })
    await client.leave()
  }
  for (const clientId of ids) await publisher.publishAcknowledged(`to/${clientId}`, clientId)
  for (const clientId of ids) {
    const { client, connack } = await tryConnect(t, port, kept(clientId))
    assert.equal(connack.sessionPresent, true)
    assert.deepEqual(await client.texts(1), [clientId])
    await client.nothing()
  }
})

test('connect: every client id of 1 to 23 letters and digits is allowed', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const characters = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'
  for (let length = 1; length <= 23; length += 1) {
    for (let from = 0; from < characters.length; from += length) {
      const { client, code, connack } = await tryConnect(t, port, { clientId: characters.slice(from, from + length) })
      assert.equal(code, 0)
      assert.equal(connack.properties?.assignedClientIdentifier, undefined)
      client.socket.destroy()
    }
  }
})

test('connect: who gives no client id gets one of its own, and its session is kept under it', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const options = { ...kept(''), clean: true }
  const connects = await Promise.all(Array.from({ length: 20 }, () => tryConnect(t, port, options)))
  const assigned = connects.map(({ connack }) => connack.properties?.assignedClientIdentifier)
  assert.equal(new Set(assigned).size, 20)
  const clientId = assigned[7]
  assert.ok(clientId !== undefined && clientId.length > 0)
  // The same as if the client had sent it: a second connection takes over.
  const { connack, client } = await tryConnect(t, port, kept(clientId))
  await connects[7]?.client.disconnected(0x8e)
  assert.equal(connack.sessionPresent, true)
  assert.equal(connack.properties?.assignedClientIdentifier, undefined)
  await client.nothing()
  // Also without a clean start, which mqtt-packet does not write.
  const other = await openRaw(t, port)
  other.bytes(Buffer.from('100d00044d5154540500003c000000', 'hex'))
  const answer = await other.expect('connack')
  assert.deepEqual([answer.reasonCode, answer.sessionPresent], [0, false])
  assert.ok(!assigned.includes(answer.properties?.assignedClientIdentifier))
})

test('connect: a client id that is connected already takes over, and the one before is told and closed', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  for (const clean of [false, true]) {
    const before = await connectRaw(t, port, kept('c'))
    const { client, code } = await tryConnect(t, port, { ...kept('c'), clean })
    assert.equal(code, 0)
    await before.disconnected(0x8e)
    await client.nothing()
    await client.leave()
  }
})

test('connect: a client that fails authentication is refused and closed', { timeout }, async (t) => {
  // No plugin knows anybody.
  const broker = await startBroker(t, openConfig.replace('auth-anonymous, ', ''))
  const { client, code } = await tryConnect(t, broker.port(), { clientId: 'c', username: 'alice' })
  assert.equal(code, 0x86)
  await client.closed()
})

test('connect: nothing that follows a refused CONNECT is taken up', { timeout }, async (t) => {
  const broker = await startBroker(t)
  const watcher = await connectRaw(t, broker.port())
  await watcher.subscribe('#')
  const refused = await openRaw(t, broker.port())
  refused.send(
    connectPacket({ clientId: tooLongId }),
    { cmd: 'publish', topic: 'a', payload: 'x', qos: 1, messageId: 1, dup: false, retain: true },
    { cmd: 'subscribe', messageId: 2, subscriptions: [{ topic: 'b', qos: 0 }] },
    { cmd: 'pingreq' },
  )
  assert.equal((await refused.expect('connack')).reasonCode, 0x85)
  await refused.closed()
  await watcher.nothing()
  await watcher.subscribe('a')
  await watcher.nothing()
})

test('connect: what follows an accepted CONNECT in the same write is answered after CONNACK', {
  timeout,
}, async (t) => {
  const broker = await startBroker(t)
  for (const options of [{}, kept('c')]) {
    const client = await openRaw(t, broker.port())
    client.send(
      connectPacket(options),
      { cmd: 'pingreq' },
      { cmd: 'publish', topic: 'a', payload: 'kept', qos: 1, messageId: 1, dup: false, retain: true },
      { cmd: 'subscribe', messageId: 2, subscriptions: [{ topic: 'a', qos: 0 }] },
    )
    assert.equal((await client.expect('connack')).reasonCode, 0)
    await client.expect('pingresp')
    await client.expect('puback')
    await client.expect('suback')
    assert.deepEqual(await client.texts(1), ['kept'])
    await client.nothing()
    await client.leave()
  }
})

test('connect: response information is given to those who ask', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const informationOf = async (properties: object) =>
    (await tryConnect(t, port, { clientId: 'c', properties })).connack.properties?.responseInformation
  assert.equal(await informationOf({}), undefined)
  assert.equal(await informationOf({ requestResponseInformation: false }), undefined)
  assert.equal(await informationOf({ requestResponseInformation: true }), 'reply/c')
})

test('connect: who wants no problem information gets no reason strings but on DISCONNECT', { timeout }, async (t) => {
  // Nobody may publish or subscribe.
  const port = (await startBroker(t, openConfig.replace(', acl-open', ''))).port()
  for (const requestProblemInformation of [true, false]) {
    const client = await openRaw(t, port)
    const packets = tap(client)
    client.send(connectPacket({ properties: { requestProblemInformation } }))
    assert.equal((await client.expect('connack')).reasonCode, 0)
    client.publish('a', '', { qos: 1, messageId: 1 })
    const { reasonCode, properties } = await client.expect('puback')
    assert.equal(reasonCode, 0x87)
    assert.equal(properties?.reasonString, requestProblemInformation ? 'not authorized' : undefined)
    client.publish('a', '', { qos: 2, messageId: 2 })
    await client.expect('pubrec')
    client.send({ cmd: 'pubrel', messageId: 3 })
    await client.expect('pubcomp')
    client.send({ cmd: 'pubrec', messageId: 3 })
    await client.expect('pubrel')
    assert.deepEqual(await client.subscribe('a'), [0x87])
    client.send({ cmd: 'unsubscribe', messageId: 9, unsubscriptions: ['a'] })
    await client.expect('unsuback')
    if (requestProblemInformation) continue
    const answers = packets.slice(1).map((packet) => packet.toString('hex'))
    assert.deepEqual(answers, ['4003000187', '5003000287', '7003000392', '6203000392', '900400010087', 'b00400090011'])
  }
})
