// MQTT 5.0, chapters 1 and 2: strings, lengths, flags, packet identifiers, property lengths.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Delivery } from '../../broker/delivery/delivery.ts'
import { Outgoing } from '../../broker/delivery/outgoing.ts'
import { Window } from '../../broker/delivery/window.ts'
import { startBroker } from '../helpers/broker.ts'
import { connectRaw, openRaw, type RawClient } from '../helpers/raw-client.ts'
import { bodyAt, ofType, tap } from './wire.ts'

const timeout = 20_000

test('format: U+FEFF stays where it stands in a topic, a filter and a property', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const client = await connectRaw(t, port)
  await client.subscribe('\uFEFFa/+')
  // Were it stripped anywhere, these would match.
  client.publish('a/x', 'no')
  client.publish('\uFEFFa/\uFEFFx', 'yes', { properties: { contentType: '\uFEFFtext' } })
  const { topic, properties } = await client.expect('publish')
  assert.equal(topic, '\uFEFFa/\uFEFFx')
  assert.equal(properties?.contentType, '\uFEFFtext')
  await client.nothing()
})

test('format: lengths that the broker sends have the fewest bytes', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const client = await connectRaw(t, port)
  const packets = tap(client)
  await client.subscribe('a', { id: 127 })
  await client.subscribe('b', { id: 128 })
  // Topic, property length and one subscription identifier are 6 bytes, with the identifier 128 they are 7.
  const remaining = [127, 128, 16_383, 16_384]
  for (const length of remaining) client.publish('a', Buffer.alloc(length - 6))
  client.publish('b', '')
  for (let count = 0; count <= remaining.length; count += 1) await client.expect('publish')
  const heads = packets.filter((packet) => packet[0] === 0x30).map((packet) => packet.subarray(1, bodyAt(packet) + 6))
  assert.deepEqual(
    heads.map((head) => head.toString('hex')),
    ['7f000161020b7f', '8001000161020b7f', 'ff7f000161020b7f', '808001000161020b7f', '07000162030b80'],
  )
})

test('format: the reserved flags of every packet of the broker are as listed', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const client = await openRaw(t, port)
  const packets = tap(client)
  await exchangeEverything(client)
  const flags = Object.fromEntries(packets.map((packet) => [packet[0]! >> 4, packet[0]! & 0x0f]))
  // PUBLISH has no reserved flags; the last one here is of QoS 2.
  assert.deepEqual(flags, { 2: 0, 3: 4, 4: 0, 5: 0, 6: 2, 7: 0, 9: 0, 11: 0, 13: 0, 14: 0 })
})

test('format: a QoS 0 message has no packet identifier in either direction', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const client = await connectRaw(t, port)
  const packets = tap(client)
  await client.subscribe('a', { qos: 2 })
  // Topic, no properties, and all that follows is payload.
  client.bytes([0x30, 0x07, 0x00, 0x01, 0x61, 0x00, 0x00, 0x07, 0x78])
  assert.equal((await client.expect('publish')).payload.toString('hex'), '000778')
  assert.equal(ofType(packets, 3).toString('hex'), '300700016100000778')
})

test('format: the packet identifiers of unacknowledged messages are not 0 and all different', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const subscriber = await connectRaw(t, port, { properties: { receiveMaximum: 50 } })
  const publisher = await connectRaw(t, port)
  await subscriber.subscribe('a', { qos: 2 })
  const inUse = new Set<number>()
  for (let index = 0; index < 200; index += 1) {
    await publisher.publishAcknowledged('a', `${index}`)
    const { messageId, payload } = await subscriber.expect('publish')
    assert.equal(payload.toString(), `${index}`)
    assert.ok(messageId !== undefined && messageId > 0 && !inUse.has(messageId), `packet identifier ${messageId}`)
    inUse.add(messageId)
    // Every fourth stays unacknowledged, up to 40; the others are acknowledged out of their order.
    if (index % 4 === 0 && inUse.size < 45) continue
    const done = [...inUse].at(index % 3 === 0 ? -1 : -2) ?? messageId
    inUse.delete(done)
    subscriber.send({ cmd: 'puback', messageId: done })
  }
})

test('format: a packet identifier in use is passed by when the numbers begin again', { timeout }, () => {
  const window = new Window(false)
  const message = { topic: 'a', payload: Buffer.alloc(0), qos: 1, retain: false } as const
  const about = { properties: undefined, clientId: '', username: '', publishedAt: 0, expiresAt: undefined }
  const outgoing = new Outgoing({ ...message, ...about }, 0)
  const delivery: Delivery = { outgoing, qos: 1, retain: false, subscriptionIds: undefined, share: undefined }
  const held = [window.add(delivery), window.add(delivery)]
  assert.deepEqual(held, [1, 2])
  for (let packetId = 3; packetId <= 65_535; packetId += 1) {
    assert.equal(window.add(delivery), packetId)
    window.remove(packetId, 1)
  }
  assert.equal(window.add(delivery), 3)
})

test('format: each acknowledgement has the packet identifier of what it answers', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const client = await connectRaw(t, port)
  client.publish('x', '', { qos: 1, messageId: 0x1234 })
  assert.equal((await client.expect('puback')).messageId, 0x1234)
  client.publish('x', '', { qos: 2, messageId: 0xffff })
  assert.equal((await client.expect('pubrec')).messageId, 0xffff)
  client.send({ cmd: 'pubrel', messageId: 0xffff })
  assert.equal((await client.expect('pubcomp')).messageId, 0xffff)
  client.send({ cmd: 'subscribe', messageId: 0x0100, subscriptions: [{ topic: 'a', qos: 2 }] })
  assert.equal((await client.expect('suback')).messageId, 0x0100)
  client.send({ cmd: 'unsubscribe', messageId: 0x00ff, unsubscriptions: ['b'] })
  assert.equal((await client.expect('unsuback')).messageId, 0x00ff)
  client.publish('a', '', { qos: 2, messageId: 9 })
  const got = [await client.next(), await client.next()]
  const delivered = got.find((packet) => packet.cmd === 'publish')
  assert.ok(delivered?.messageId !== undefined)
  client.send({ cmd: 'pubrec', messageId: delivered.messageId })
  assert.equal((await client.expect('pubrel')).messageId, delivered.messageId)
})

test('format: a packet of the broker without properties says so with a length of 0', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const client = await openRaw(t, port)
  const packets = tap(client)
  await exchangeEverything(client)
  assert.equal(ofType(packets, 3).toString('hex'), '34060001'.concat('61', '0001', '00'))
  assert.equal(ofType(packets, 9).toString('hex'), '900400010002')
  assert.equal(ofType(packets, 11).toString('hex'), 'b00400020011')
  const refused = await openRaw(t, port)
  const answer = tap(refused)
  refused.send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 5, clean: true, clientId: 'x'.repeat(1_000) })
  await refused.expect('connack')
  assert.equal(answer[0]?.toString('hex'), '2003008500')
})

/** Makes the broker send one of each packet that it can send without a plugin; DISCONNECT is the last. */
async function exchangeEverything(client: RawClient): Promise<void> {
  client.send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 5, clean: true, clientId: '' })
  await client.expect('connack')
  await client.subscribe('a', { qos: 2 })
  client.send({ cmd: 'unsubscribe', messageId: client.nextPacketId(), unsubscriptions: ['nothing'] })
  await client.expect('unsuback')
  client.publish('b', '', { qos: 1, messageId: 30 })
  await client.expect('puback')
  client.publish('b', '', { qos: 2, messageId: 31 })
  await client.expect('pubrec')
  client.send({ cmd: 'pubrel', messageId: 31 })
  await client.expect('pubcomp')
  client.publish('a', '', { qos: 2, messageId: 32 })
  const both = [await client.next(), await client.next()]
  assert.deepEqual(both.map(({ cmd }) => cmd).sort(), ['publish', 'pubrec'])
  client.send({ cmd: 'pubrec', messageId: 1 })
  await client.expect('pubrel')
  await client.nothing()
  // A second CONNECT.
  client.send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 5, clean: true, clientId: '' })
  await client.expect('disconnect')
  await client.closed()
}
