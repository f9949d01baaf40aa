// DISCONNECT in both directions, and the end of a connection that broke the standard (MQTT 5.0, 3.14, 4.13; 3.1.1, 4.8).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startBroker } from '../helpers/broker.ts'
import { connectPacket, connectRaw, openRaw, tryConnect } from '../helpers/raw-client.ts'

const timeout = 20_000
const versions = [4, 5] as const

test('conformance: no DISCONNECT comes from the broker before a CONNACK that accepts', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const silent = ['c000', '820700010000016100', 'e000', '10', 'f00100', '100c00044d5154540502003c0000']
  for (const hex of silent) {
    const client = await openRaw(t, port)
    client.bytes(Buffer.from(hex, 'hex'))
    // The last two are no whole packet; the end of the client's side ends the wait.
    client.socket.end()
    await client.closed()
  }
  const { client, code } = await tryConnect(t, port, { clientId: 'x'.repeat(200) })
  assert.equal(code, 0x85)
  await client.closed()
})

test('conformance: DISCONNECT and AUTH with flags in their fixed header end the connection', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  for (let flags = 1; flags < 16; flags += 1) {
    for (const version of versions) {
      const client = await connectRaw(t, port, { version })
      client.bytes([0xe0 | flags, 0])
      await client.disconnected(0x81)
    }
    const client = await connectRaw(t, port)
    client.bytes([0xf0 | flags, 2, 0x18, 0])
    await client.disconnected(0x81)
  }
})

test('conformance: a DISCONNECT with a reason code that is none, or only a server may send, is a protocol error', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  for (const code of [0x01, 0x05, 0x18, 0x87, 0x89, 0x8b, 0x8e, 0x9c, 0xff]) {
    const client = await connectRaw(t, port)
    client.bytes([0xe0, 1, code])
    await client.disconnected(0x82)
  }
})

test('conformance: the DISCONNECT of the broker has a code of the table, no Session Expiry Interval, and is the last packet', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const publisher = await connectRaw(t, port)
  const wrong: readonly (readonly [code: number, bytes: string])[] = [
    [0x81, '8003000100'],
    [0x82, '8203000100'],
    [0x90, '300500022b2f00'],
    [0x94, '3008000161032300ff6d'],
    [0x8f, '82080001000002612300'],
  ]
  for (const [code, bytes] of wrong) {
    const client = await connectRaw(t, port, { properties: { sessionExpiryInterval: 60 }, clientId: `wrong-${code}` })
    await client.subscribe('last')
    // What follows in the same piece is not processed: neither PINGRESP nor the messages of others come any more.
    client.bytes(Buffer.from(`${bytes}c000`, 'hex'))
    const goodbye = await client.expect('disconnect')
    assert.equal(goodbye.reasonCode, code)
    assert.equal(goodbye.properties?.sessionExpiryInterval, undefined)
    publisher.publish('last', 'too late')
    await client.closed()
  }
})

test('conformance: a second connection takes over, and the first is told so before its end', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const first = await connectRaw(t, port, { clientId: 'same', properties: { sessionExpiryInterval: 60 } })
  const second = await connectRaw(t, port, { clientId: 'same', properties: { sessionExpiryInterval: 60 } })
  const goodbye = await first.expect('disconnect')
  assert.deepEqual([goodbye.reasonCode, goodbye.properties?.sessionExpiryInterval], [0x8e, undefined])
  await first.closed()
  await second.nothing()
})

test('conformance: after DISCONNECT nothing of the client is processed, and the broker closes', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const witness = await connectRaw(t, port)
  await witness.subscribe('#')
  for (const version of versions) {
    const client = await connectRaw(t, port, { version })
    client.send(
      { cmd: 'disconnect' },
      { cmd: 'publish', topic: 'after', payload: '', qos: 0, dup: false, retain: false },
      { cmd: 'pingreq' },
    )
    await client.closed()
    await witness.nothing()
  }
})

test('conformance: what was answered before DISCONNECT arrives before the end', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  for (const version of versions) {
    const client = await openRaw(t, port, { version })
    const errors: Error[] = []
    client.socket.on('error', (error) => errors.push(error))
    client.send(connectPacket({ version }), { cmd: 'pingreq' }, { cmd: 'pingreq' }, { cmd: 'disconnect' })
    await client.expect('connack')
    await client.expect('pingresp')
    await client.expect('pingresp')
    await client.closed()
    assert.deepEqual(errors, [], 'it was no reset')
  }
})

test('conformance: DISCONNECT discards the will, a DISCONNECT with 0x04 does not', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const witness = await connectRaw(t, port)
  await witness.subscribe('will/#')
  for (const version of versions) {
    const clientId = `will-${version}`
    const will = { topic: `will/${version}`, payload: Buffer.from('gone'), qos: 0, retain: false } as const
    const leaving = await connectRaw(t, port, { version, clientId, will })
    await leaving.leave()
    // Nor does it come with the next connection of the client.
    const again = await connectRaw(t, port, { version, clientId })
    await again.cut()
    await witness.nothing()
    const cut = await connectRaw(t, port, { version, clientId, will })
    await cut.cut()
    assert.equal((await witness.expect('publish')).topic, `will/${version}`)
  }
  const will = { topic: 'will/asked', payload: Buffer.from('gone'), qos: 0, retain: false } as const
  const asking = await connectRaw(t, port, { will })
  await asking.leave(undefined, 4)
  assert.equal((await witness.expect('publish')).topic, 'will/asked')
})

test('conformance: a session that ends with its connection is not prolonged by DISCONNECT', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const client = await connectRaw(t, port, { clientId: 'short' })
  client.send({ cmd: 'disconnect', reasonCode: 0, properties: { sessionExpiryInterval: 60 } })
  await client.disconnected(0x82)
})

test('conformance: a malformed packet and a protocol error end the connection, with the reason where one may be told', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const rows: readonly (readonly [bytes: string, code: number])[] = [
    ['3600', 0x81],
    ['c0ffffffff7f', 0x81],
    ['4000', 0x81],
    ['c00100', 0x81],
    ['3003000561', 0x81],
    ['101000044d5154540502003c000003616263', 0x82],
    ['2000', 0x82],
    ['d000', 0x82],
    ['32050001610000', 0x82],
  ]
  for (const [bytes, code] of rows) {
    for (const version of versions) {
      const client = await connectRaw(t, port, { version })
      client.bytes(Buffer.from(bytes, 'hex'))
      await client.disconnected(code)
    }
  }
})

test('conformance: CONNACK and DISCONNECT with 0x80 or more are followed by the end', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const { client, code } = await tryConnect(t, port, { clientId: 'c\u0001' })
  assert.equal(code, 0x85)
  await client.closed()
  const told = await connectRaw(t, port)
  told.bytes([0xe0, 1, 0xff])
  await told.disconnected(0x82)
  // A client that takes only small packets is told without a reason string.
  const small = await connectRaw(t, port, { clientId: 's', properties: { maximumPacketSize: 16 } })
  small.send({ ...connectPacket({ clientId: 's' }) })
  assert.equal((await small.expect('disconnect')).properties, undefined)
  await small.closed()
})
