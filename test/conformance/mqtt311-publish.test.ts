// PUBLISH of MQTT 3.1.1 and its acknowledgements, statement by statement (2.3.1, 3.3 - 3.7).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startBroker } from '../helpers/broker.ts'
import { connectRaw, kept } from '../helpers/raw-client.ts'
import { ofType, tap } from './wire.ts'

const timeout = 20_000
const version = 4

test('conformance 3.1.1: a packet identifier of 0 and PUBLISH with QoS 3 end the connection', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  for (const bytes of [
    '32050001610000',
    '34050001610000',
    '8206000000016100',
    'a2050000000161',
    '36050001610001',
    '3e050001610001',
  ]) {
    const client = await connectRaw(t, port, { version })
    client.bytes(Buffer.from(bytes, 'hex'))
    await client.closed()
  }
})

test('conformance 3.1.1: each answer has the packet identifier of what it answers, QoS 0 gets none', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const client = await connectRaw(t, port, { version })
  client.send({ cmd: 'subscribe', messageId: 65_535, subscriptions: [{ topic: 'a', qos: 0 }] })
  assert.equal((await client.expect('suback')).messageId, 65_535)
  client.publish('b', 'm', { qos: 0 })
  await client.nothing()
  client.publish('b', 'm', { qos: 1, messageId: 256 })
  assert.equal((await client.expect('puback')).messageId, 256)
  client.publish('b', 'm', { qos: 2, messageId: 513 })
  assert.equal((await client.expect('pubrec')).messageId, 513)
  client.send({ cmd: 'pubrel', messageId: 513 })
  assert.equal((await client.expect('pubcomp')).messageId, 513)
  client.send({ cmd: 'unsubscribe', messageId: 770, unsubscriptions: ['a'] })
  assert.equal((await client.expect('unsuback')).messageId, 770)
})

test('conformance 3.1.1: the topic comes first, unchanged, and matches the filter; U+FEFF stays', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const client = await connectRaw(t, port, { version })
  await client.subscribe('\ufeffa/+/#')
  const packets = tap(client)
  client.publish('a/\u00fc', 'no')
  client.publish('\ufeffa/\u00fc/b', 'yes')
  assert.equal((await client.expect('publish')).topic, '\ufeffa/\u00fc/b')
  const topic = Buffer.from('\ufeffa/\u00fc/b')
  const expected = Buffer.concat([Buffer.from([0x30, topic.length + 5, 0, topic.length]), topic, Buffer.from('yes')])
  assert.deepEqual(ofType(packets, 3), expected)
  await client.nothing()
})

test('conformance 3.1.1: a retained message is kept, replaced, removed by an empty one, and untouched by others', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const publisher = await connectRaw(t, port, { version, answers: true })
  const established = await connectRaw(t, port, { version, answers: true })
  await established.subscribe('r/+', { qos: 2 })
  const late = async (): Promise<(readonly [string, number, boolean])[]> => {
    const client = await connectRaw(t, port, { version, answers: true })
    await client.subscribe(['r/a', 'other'], { qos: 2 })
    client.send({ cmd: 'pingreq' })
    const got: (readonly [string, number, boolean])[] = []
    for (let packet = await client.next(); packet.cmd !== 'pingresp'; packet = await client.next()) {
      if (packet.cmd === 'publish') got.push([packet.payload.toString(), packet.qos, packet.retain])
    }
    await client.cut()
    return got
  }
  const publish = async (text: string, qos: 0 | 1 | 2, retain: boolean): Promise<void> => {
    publisher.publish('r/a', text, { qos, retain })
    await (qos === 0 ? publisher.nothing() : publisher.expect(qos === 1 ? 'puback' : 'pubrec'))
    // However the flag was set: for an established subscription it is 0.
    const live = await established.expect('publish')
    assert.deepEqual([live.payload.toString(), live.retain], [text, false])
  }
  assert.deepEqual(await late(), [])
  await publish('one', 1, true)
  assert.deepEqual(await late(), [['one', 1, true]])
  await publish('not kept', 1, false)
  await publish('', 0, false)
  assert.deepEqual(await late(), [['one', 1, true]])
  await publish('two', 2, true)
  assert.deepEqual(await late(), [['two', 2, true]])
  await publish('zero', 0, true)
  assert.deepEqual(await late(), [['zero', 0, true]])
  await publish('', 1, true)
  assert.deepEqual(await late(), [])
})

test('conformance 3.1.1: overlapping subscriptions deliver with the highest QoS of those that match', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const publisher = await connectRaw(t, port, { version, answers: true })
  // Whichever of them has the highest, and in whichever order they were made.
  for (const [all, exact, plus] of [
    [0, 2, 1],
    [2, 1, 0],
    [1, 0, 2],
    [0, 0, 1],
  ] as const) {
    const client = await connectRaw(t, port, { version, answers: true })
    await client.subscribe([
      { topic: 'o/#', qos: all },
      { topic: 'o/a', qos: exact },
      { topic: 'o/+', qos: plus },
    ])
    for (const qos of [0, 1, 2] as const) {
      publisher.publish('o/a', 'm', { qos })
      assert.equal((await client.expect('publish')).qos, Math.min(qos, Math.max(all, exact, plus)))
      await client.nothing()
    }
    await client.leave()
  }
})

test('conformance 3.1.1: a PUBLISH that is not authorized ends the connection and reaches nobody', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const witness = await connectRaw(t, port, { version })
  await witness.subscribe(['#', '$SYS2/#'])
  for (const qos of [0, 1, 2] as const) {
    const client = await connectRaw(t, port, { version })
    client.publish('$SYS/mine', 'm', { qos, retain: true })
    await client.closed()
  }
  await witness.nothing()
})

test('conformance 3.1.1: DUP is 1 when a message is sent again, and never passed on', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const options = kept('dup', version)
  const first = await connectRaw(t, port, options)
  await first.subscribe('dup', { qos: 2 })
  const publisher = await connectRaw(t, port, { version, answers: true })
  publisher.publish('dup', 'one', { qos: 1, dup: true })
  publisher.publish('dup', 'two', { qos: 2, dup: true })
  const one = await first.expect('publish')
  const two = await first.expect('publish')
  assert.deepEqual([one.dup, two.dup], [false, false])
  await first.cut()
  const second = await connectRaw(t, port, options)
  for (const before of [one, two]) {
    const again = await second.expect('publish')
    assert.deepEqual([again.dup, again.messageId], [true, before.messageId])
  }
  // DUP with QoS 0 is no packet of the standard.
  publisher.bytes([0x38, 4, 0, 1, 0x61, 0x6d])
  await publisher.expect('puback')
  await publisher.expect('pubrec')
  await publisher.closed()
})

test('conformance 3.1.1: reserved flags of PUBACK, PUBREC, PUBCOMP and PINGREQ end the connection', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  for (const header of [0x40, 0x50, 0x70]) {
    for (let flags = 1; flags < 16; flags += 1) {
      const client = await connectRaw(t, port, { version })
      client.bytes([header | flags, 2, 0, 7])
      await client.closed()
    }
  }
  for (let flags = 1; flags < 16; flags += 1) {
    const client = await connectRaw(t, port, { version })
    client.bytes([0xc0 | flags, 0])
    await client.closed()
  }
})
