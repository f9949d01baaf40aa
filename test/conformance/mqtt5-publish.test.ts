// MQTT 5.0, 3.3 and 3.4: how messages and their acknowledgements go through the broker. Retained ones and expiry are in
// mqtt5-retained.test.ts, limits of the receiver in mqtt5-receiver.test.ts.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openConfig, startBroker } from '../helpers/broker.ts'
import { connectRaw, kept } from '../helpers/raw-client.ts'
import { bodyAt, tap } from './wire.ts'

const timeout = 20_000

for (const qos of [1, 2] as const) {
  test(`publish: DUP is set when a QoS ${qos} message is sent again, and only then`, { timeout }, async (t) => {
    const port = (await startBroker(t)).port()
    const before = await connectRaw(t, port, kept('c'))
    await before.subscribe('a', { qos })
    const publisher = await connectRaw(t, port)
    publisher.publish('a', 'again', { qos, messageId: 1 })
    await publisher.next()
    const first = await before.expect('publish')
    assert.equal(first.dup, false)
    await before.cut()

    const after = await connectRaw(t, port, kept('c'))
    const second = await after.expect('publish')
    assert.deepEqual([second.dup, second.messageId, second.payload.toString()], [true, first.messageId, 'again'])
    after.send({ cmd: qos === 1 ? 'puback' : 'pubrec', messageId: first.messageId! })
    if (qos === 2) await after.expect('pubrel')
    publisher.publish('a', 'new', { qos, messageId: 2 })
    assert.equal((await after.expect('publish')).dup, false)
  })
}

test('publish: DUP of the publisher is not passed on, and never set with QoS 0', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const subscriber = await connectRaw(t, port)
  await subscriber.subscribe('to/1', { qos: 1 })
  await subscriber.subscribe('to/0', { qos: 0 })
  const publisher = await connectRaw(t, port)
  publisher.publish('to/1', '', { qos: 1, messageId: 1, dup: true })
  publisher.publish('to/0', '', { qos: 1, messageId: 2, dup: true })
  publisher.publish('to/0', '', { qos: 2, messageId: 3, dup: true })
  for (let count = 0; count < 3; count += 1) assert.equal((await subscriber.expect('publish')).dup, false)
})

test('publish: the answer is that of the QoS', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const client = await connectRaw(t, port)
  client.publish('a', '', { qos: 0 })
  await client.nothing()
  client.publish('a', '', { qos: 1, messageId: 1 })
  await client.expect('puback')
  client.publish('a', '', { qos: 2, messageId: 1 })
  await client.expect('pubrec')
  await client.nothing()
})

test('publish: a message goes to every subscription that its topic matches, and to no other', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const matching = ['a/b/c', 'a/+/c', '+/+/+', 'a/#', 'a/b/c/#', '#']
  const others = ['a/b', 'a/b/c/d', 'a/b/+/+', '+', 'A/b/c', '/a/b/c', 'a/b/c/', 'b/#', '$share/g/a']
  const publisher = await connectRaw(t, port)
  for (const filter of [...matching, ...others]) {
    const client = await connectRaw(t, port)
    await client.subscribe(filter)
    publisher.publish('a/b/c', filter)
    await publisher.nothing()
    if (matching.includes(filter)) assert.equal((await client.expect('publish')).topic, 'a/b/c')
    await client.nothing()
    await client.leave()
  }
})

test('publish: the properties of a message arrive as they were sent', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const subscriber = await connectRaw(t, port)
  const packets = tap(subscriber)
  await subscriber.subscribe('a', { qos: 1 })
  const publisher = await connectRaw(t, port)
  const [payloadFormat, contentType, responseTopic] = ['0101', '030003612f62', '0800017a']
  const correlation = '090004000102ff'
  // z=1, a=2, z=1, z=, =: order, repetitions and empty strings.
  const user = ['2600017a000131', '26000161000132', '2600017a000131', '2600017a0000', '2600000000']
  const blocks = [
    '',
    payloadFormat,
    '0100',
    `${payloadFormat}${contentType}${responseTopic}${correlation}`,
    '030000',
    '090000',
    user.join(''),
    [...user].reverse().join(''),
  ]
  for (const [index, block] of blocks.entries()) {
    const body = Buffer.from(`000161000${index + 1}${hexByte(block.length / 2)}${block}78`, 'hex')
    publisher.bytes([0x32, body.length, ...body])
    await publisher.expect('puback')
    await subscriber.expect('publish')
  }
  const got = packets.filter((packet) => packet[0] === 0x32).map((packet) => packet.subarray(bodyAt(packet) + 5))
  assert.deepEqual(
    got.map((bytes) => bytes.toString('hex')),
    blocks.map((block) => `${hexByte(block.length / 2)}${block}78`),
  )
})

function hexByte(value: number): string {
  return value.toString(16).padStart(2, '0')
}

test('publish: every string in it must be UTF-8', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  for (const property of ['030001ff', '080001ff', '26000161 0001ff', '260001ff 000161']) {
    const client = await connectRaw(t, port)
    const block = Buffer.from(property.replace(' ', ''), 'hex')
    client.bytes([0x30, 4 + block.length, 0x00, 0x01, 0x61, block.length, ...block])
    await client.disconnected(0x81)
  }
})

test('publish: overlapping subscriptions get one copy, of the highest QoS, with all identifiers', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  for (const options of [{}, kept('c')]) {
    const client = await connectRaw(t, port, options)
    await client.subscribe('a/#', { qos: 1, id: 1 })
    await client.subscribe('a/+', { qos: 2, id: 268_435_455 })
    await client.subscribe('+/b', { qos: 0 })
    await client.subscribe('#', { qos: 0, id: 3 })
    const publisher = await connectRaw(t, port)
    publisher.publish('a/b', '', { qos: 2 })
    await publisher.next()
    const { qos, properties, messageId } = await client.expect('publish')
    assert.equal(qos, 2)
    const ids = properties?.subscriptionIdentifier
    assert.deepEqual([...(Array.isArray(ids) ? ids : [ids])].sort(), [1, 268_435_455, 3])
    await client.nothing()
    client.send({ cmd: 'pubrec', messageId: messageId! })
    await client.expect('pubrel')
    client.send({ cmd: 'pubcomp', messageId: messageId! })
    publisher.publish('b/c', '')
    assert.equal((await client.expect('publish')).properties?.subscriptionIdentifier, 3)
    await client.leave({ sessionExpiryInterval: 0 })
  }
})

test('publish: subscription identifiers stand on messages that waited, and stay when the filter is renewed', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const before = await connectRaw(t, port, kept('c'))
  await before.subscribe('a/#', { qos: 1, id: 1 })
  await before.subscribe('a/b', { qos: 1, id: 7 })
  await before.subscribe('a/b', { qos: 1, id: 2 })
  await before.leave()
  await (await connectRaw(t, port)).publishAcknowledged('a/b', '')
  const after = await connectRaw(t, port, kept('c'))
  const ids = (await after.expect('publish')).properties?.subscriptionIdentifier
  assert.deepEqual([...(ids as number[])].sort(), [1, 2])
})

test('publish: PUBACK says what became of the message, with a code of its table', { timeout }, async (t) => {
  const open = await connectRaw(t, (await startBroker(t, `${openConfig}\nlimits: { retainedMaxBytes: 2 }\n`)).port())
  const payloadFormatIndicator = true
  assert.equal(await open.publishAcknowledged('a', 'x'), 0x10)
  await open.subscribe('a')
  open.publish('a', 'x', { qos: 1, messageId: 9 })
  await open.expect('publish')
  assert.equal((await open.expect('puback')).reasonCode ?? 0, 0)
  assert.equal(await open.publishAcknowledged('$SYS/a', 'x'), 0x87)
  assert.equal(await open.publishAcknowledged('/'.repeat(40), 'x'), 0x90)
  assert.equal(await open.publishAcknowledged('b', 'xyz', { retain: true }), 0x97)
  assert.equal(
    await open.publishAcknowledged('a', Buffer.from([0xff]), { properties: { payloadFormatIndicator } }),
    0x99,
  )
  await open.nothing()
})
