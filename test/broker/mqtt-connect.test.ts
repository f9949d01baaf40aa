// CONNECT and the end of connections: versions, client ids, keepalive, and packets out of their place (MQTT 3.1, 3.2, 3.14).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startBroker } from '../helpers/broker.ts'
import { openWith } from '../helpers/open-config.ts'
import { connectPacket, connectRaw, kept, openRaw, tryConnect } from '../helpers/raw-client.ts'

const timeout = 20_000

for (const version of [3, 4, 5] as const) {
  test(`connect: protocol level ${version} is welcome`, { timeout }, async (t) => {
    const port = (await startBroker(t)).port()
    const { client, code, connack } = await tryConnect(t, port, { version, clientId: 'c' })
    assert.equal(code, 0)
    assert.equal(connack.sessionPresent, false)
    await client.nothing()
    await client.leave()
  })

  test(`connect: a second CONNECT ends the connection (protocol level ${version})`, { timeout }, async (t) => {
    const port = (await startBroker(t)).port()
    const client = await connectRaw(t, port, { version, clientId: 'c' })
    client.send(connectPacket({ version, clientId: 'c' }))
    await client.disconnected(0x82)
  })

  test(`connect: what comes before CONNECT ends the connection without an answer (protocol level ${version})`, {
    timeout,
  }, async (t) => {
    const port = (await startBroker(t)).port()
    const client = await openRaw(t, port, { version })
    client.send({ cmd: 'pingreq' })
    await client.closed()
  })
}

test('connect: an empty client id is given one, or refused where the standard says so', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const old = await openRaw(t, port, { version: 3 })
  old.bytes([0x10, 14, 0, 6, ...Buffer.from('MQIsdp'), 3, 2, 0, 60, 0, 0])
  assert.equal((await old.expect('connack')).returnCode, 2, 'MQTT 3.1 knows no empty one')
  assert.equal((await tryConnect(t, port, { version: 4, clean: true })).code, 0)
  const refused = await openRaw(t, port, { version: 4 })
  refused.bytes([0x10, 12, 0, 4, ...Buffer.from('MQTT'), 4, 0, 0, 60, 0, 0])
  assert.equal((await refused.expect('connack')).returnCode, 2, 'nobody could come back to it')
  await refused.closed()
  const one = await tryConnect(t, port, { clean: true })
  const two = await tryConnect(t, port, { ...kept(''), clean: true })
  const given = [one, two].map(({ connack }) => connack.properties?.assignedClientIdentifier)
  assert.equal(typeof given[0], 'string')
  assert.notEqual(given[0], given[1])
  await two.client.leave()
  const back = await tryConnect(t, port, kept(given[1]!))
  assert.equal(back.connack.sessionPresent, true, 'the given client id is a client id like any other')
  assert.equal(back.connack.properties?.assignedClientIdentifier, undefined)
})

test('connect: a version that nobody speaks is answered with return code 1 and the end', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  for (const level of [1, 3, 6]) {
    const client = await openRaw(t, port, { version: 4 })
    client.bytes([0x10, 13, 0, 4, 0x4d, 0x51, 0x54, 0x54, level, 2, 0, 60, 0, 1, 0x63])
    assert.equal((await client.expect('connack')).returnCode, 1)
    await client.closed()
  }
})

test('connect: a client id over the limit, or with control characters, is refused', { timeout }, async (t) => {
  const port = (await startBroker(t, openWith({ limits: 'clientIdMaxBytes: 10' }))).port()
  assert.equal((await tryConnect(t, port, { clientId: '1234567890' })).code, 0)
  assert.equal((await tryConnect(t, port, { clientId: '1234567890a' })).code, 0x85)
  assert.equal((await tryConnect(t, port, { version: 4, clientId: '12345678é\u00e9' })).code, 2)
  assert.equal((await tryConnect(t, port, { clientId: 'a\nb' })).code, 0x85)
})

test('connect: CONNACK of MQTT 5 tells our limits, and only what differs from the wish', { timeout }, async (t) => {
  const limits = 'inflightIn: 7, topicAliasMax: 3, packetMaxBytes: 5000, keepaliveMaxS: 50, sessionExpiryMaxS: 100'
  const port = (await startBroker(t, openWith({ limits }))).port()
  const { connack } = await tryConnect(t, port, {
    keepalive: 60,
    properties: { sessionExpiryInterval: 1000, requestResponseInformation: true },
    clientId: 'c',
  })
  assert.deepEqual(
    { ...connack.properties },
    {
      sessionExpiryInterval: 100,
      receiveMaximum: 7,
      maximumPacketSize: 5000,
      topicAliasMaximum: 3,
      serverKeepAlive: 50,
      responseInformation: 'reply/c',
    },
  )
  const { connack: modest } = await tryConnect(t, port, { keepalive: 50, properties: { sessionExpiryInterval: 100 } })
  assert.equal(modest.properties?.serverKeepAlive, undefined)
  assert.equal(modest.properties?.sessionExpiryInterval, undefined)
  assert.equal(modest.properties?.responseInformation, undefined)
})

test('connect: a keepalive of 0 becomes the longest there is', { timeout }, async (t) => {
  const port = (await startBroker(t, openWith({ limits: 'keepaliveMaxS: 1' }))).port()
  const { client, connack } = await tryConnect(t, port, { keepalive: 0 })
  assert.equal(connack.properties?.serverKeepAlive, 1)
  await client.disconnected(0x8d)
})

test('connect: a silent client is ended after one and a half keepalives, one that pings is not', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const silent = await connectRaw(t, port, { keepalive: 1 })
  const old = await connectRaw(t, port, { keepalive: 1, version: 4 })
  const lively = await connectRaw(t, port, { keepalive: 1 })
  // Bytes that are no packet are no sign of life [MQTT-3.1.2-22].
  const trickling = await connectRaw(t, port, { keepalive: 1 })
  trickling.bytes([0x30, 100])
  const pings = setInterval(() => {
    lively.send({ cmd: 'pingreq' })
    trickling.bytes([0])
  }, 400)
  t.after(() => clearInterval(pings))
  const startedAt = performance.now()
  await Promise.all([silent.disconnected(0x8d), old.disconnected(0), trickling.disconnected(0x8d)])
  assert.ok(performance.now() - startedAt > 1_400)
  assert.ok(lively.pending.length > 2)
  assert.ok(lively.pending.every(({ cmd }) => cmd === 'pingresp'))
})

test('connect: who does not send CONNECT in time is ended, also when bytes trickle', { timeout }, async (t) => {
  const port = (await startBroker(t, openWith({ limits: 'connectTimeoutMs: 1000' }))).port()
  const client = await openRaw(t, port)
  client.bytes([0x10, 100])
  const trickle = setInterval(() => client.bytes([0]), 200)
  t.after(() => clearInterval(trickle))
  await client.closed()
})

test('connect: DISCONNECT may shorten the session, and may not prolong one that ends with its connection', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const one = await connectRaw(t, port, kept('one'))
  await one.leave({ sessionExpiryInterval: 0 })
  assert.equal((await tryConnect(t, port, kept('one'))).connack.sessionPresent, false)
  const two = await connectRaw(t, port, { clientId: 'two' })
  two.send({ cmd: 'disconnect', reasonCode: 0, properties: { sessionExpiryInterval: 10 } })
  await two.disconnected(0x82)
})

test('connect: the server says goodbye when it shuts down, but never before CONNACK', { timeout }, async (t) => {
  const broker = await startBroker(t)
  const five = await connectRaw(t, broker.port())
  const four = await connectRaw(t, broker.port(), { version: 4 })
  const nobody = await openRaw(t, broker.port())
  await five.nothing()
  await Promise.all([broker.stop(), five.disconnected(0x8b), four.disconnected(0), nobody.closed()])
})

test('connect: DISCONNECT from the server carries no reason string for who wants no problem information', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  for (const requestProblemInformation of [true, false]) {
    const client = await connectRaw(t, port, { properties: { requestProblemInformation } })
    client.send(connectPacket({}))
    const { properties } = await client.expect('disconnect')
    assert.equal(properties?.reasonString === undefined, !requestProblemInformation)
  }
})
