// SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK and PINGREQ as the standards want them (MQTT 5.0 and 3.1.1, 3.8 - 3.13).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startBroker } from '../helpers/broker.ts'
import { connectRaw, kept, type RawClient } from '../helpers/raw-client.ts'

const timeout = 20_000
const versions = [4, 5] as const
const malformed = 0x81
const protocolError = 0x82

/** SUBSCRIBE (0x82) or UNSUBSCRIBE (0xa2) with these bytes after packet identifier and properties. */
function request(header: number, version: 4 | 5, ...payload: number[]): Buffer {
  const body = [0, 7, ...(version === 5 ? [0] : []), ...payload]
  return Buffer.from([header, body.length, ...body])
}

/** The codes of UNSUBACK; undefined before MQTT 5. */
async function unsubscribe(client: RawClient, filters: string[], messageId = client.nextPacketId()): Promise<unknown> {
  client.send({ cmd: 'unsubscribe', messageId, unsubscriptions: filters })
  const answer = await client.expect('unsuback')
  assert.equal(answer.messageId, messageId)
  return client.version === 5 ? answer.granted : undefined
}

test('conformance: a filter that is not UTF-8 ends the connection, in SUBSCRIBE and UNSUBSCRIBE', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  // A lone continuation byte, a surrogate, U+0000.
  for (const text of [
    [0x61, 0x80],
    [0xed, 0xa0, 0x80],
    [0x61, 0x00],
  ]) {
    for (const version of versions) {
      const subscriber = await connectRaw(t, port, { version })
      subscriber.bytes(request(0x82, version, 0, text.length, ...text, 0))
      await subscriber.disconnected(malformed)
      const unsubscriber = await connectRaw(t, port, { version })
      unsubscriber.bytes(request(0xa2, version, 0, text.length, ...text))
      await unsubscriber.disconnected(malformed)
    }
  }
})

test('conformance: SUBSCRIBE and UNSUBSCRIBE without a filter end the connection', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  for (const version of versions) {
    for (const header of [0x82, 0xa2]) {
      const client = await connectRaw(t, port, { version })
      client.bytes(request(header, version))
      await client.disconnected(protocolError)
    }
  }
})

test('conformance: a SUBSCRIBE whose filter has no options byte ends the connection', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  for (const version of versions) {
    const client = await connectRaw(t, port, { version })
    client.bytes(request(0x82, version, 0, 1, 0x61))
    await client.disconnected(malformed)
  }
})

test('conformance: PUBREL, SUBSCRIBE and UNSUBSCRIBE with other flags than 0010 end the connection', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  for (const version of versions) {
    const wrong = [...Array(16).keys()].filter((flags) => flags !== 2)
    await Promise.all(
      wrong.map(async (flags) => {
        const pubrel = await connectRaw(t, port, { version })
        pubrel.bytes([0x60 | flags, 2, 0, 7])
        await pubrel.disconnected(malformed)
        const subscribe = await connectRaw(t, port, { version })
        subscribe.bytes(request(0x80 | flags, version, 0, 1, 0x61, 0))
        await subscribe.disconnected(malformed)
        const unsubscribing = await connectRaw(t, port, { version })
        unsubscribing.bytes(request(0xa0 | flags, version, 0, 1, 0x61))
        await unsubscribing.disconnected(malformed)
      }),
    )
  }
})

test('conformance: reserved bits of the subscription options end the connection, as QoS 3 does', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  for (const options of [0x40, 0x80, 0xc0]) {
    const client = await connectRaw(t, port)
    client.bytes(request(0x82, 5, 0, 1, 0x61, options))
    await client.disconnected(malformed)
  }
  for (const options of [0x03, 0x30]) {
    const client = await connectRaw(t, port)
    client.bytes(request(0x82, 5, 0, 1, 0x61, options))
    await client.disconnected(protocolError)
  }
  for (const options of [3, 4, 8, 0x10, 0x20, 0x40, 0x80]) {
    const client = await connectRaw(t, port, { version: 4 })
    client.bytes(request(0x82, 4, 0, 1, 0x61, options))
    await client.closed()
  }
})

test('conformance: No Local keeps a client from its own messages and from no others', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const first = await connectRaw(t, port, { clientId: 'first' })
  const second = await connectRaw(t, port, { clientId: 'second' })
  for (const client of [first, second]) assert.deepEqual(await client.subscribe('a', { nl: true }), [0])
  first.publish('a', 'of first')
  second.publish('a', 'of second')
  assert.deepEqual(await first.texts(1), ['of second'])
  assert.deepEqual(await second.texts(1), ['of first'])
  await first.nothing()
  await second.nothing()
})

test('conformance: No Local on a shared subscription is a protocol error', { timeout }, async (t) => {
  const client = await connectRaw(t, (await startBroker(t)).port())
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '$share/s/a', qos: 0, nl: true }] })
  await client.disconnected(protocolError)
})

test('conformance: one SUBACK answers a SUBSCRIBE, with its packet identifier and a code for each filter in order', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  for (const version of versions) {
    const client = await connectRaw(t, port, { version })
    const asked = [2, 0, 1, 2, 0].map((qos, index) => ({ topic: index === 3 ? '$SYS/#' : `f/${index}`, qos }))
    client.send({ cmd: 'subscribe', messageId: 4711, subscriptions: asked as { topic: string; qos: 0 | 1 | 2 }[] })
    const { messageId, granted, properties } = await client.expect('suback')
    assert.equal(messageId, 4711)
    assert.deepEqual(granted, [2, 0, 1, version === 5 ? 0x87 : 0x80, 0])
    assert.equal(properties, undefined, 'neither reason string nor user properties, which could be too long')
    await client.nothing()
    // Each of the filters is in force as if it had come alone; the refused one is not.
    for (const index of [0, 1, 2, 4]) client.publish(`f/${index}`, `${index}`)
    assert.deepEqual(await client.texts(4), ['0', '1', '2', '4'])
    await client.leave()
  }
})

test('conformance: a subscription with the same filter replaces the one before, and retained messages come again', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  for (const version of versions) {
    const client = await connectRaw(t, port, { version })
    const topic = `r/${version}`
    assert.equal(await client.publishAcknowledged(topic, 'kept', { retain: true }), version === 5 ? 0x10 : 0)
    assert.deepEqual(await client.subscribe(topic, { qos: 0 }), [0])
    assert.equal((await client.expect('publish')).qos, 0)
    assert.deepEqual(await client.subscribe(topic, { qos: 1 }), [1])
    const again = await client.expect('publish')
    assert.deepEqual([again.qos, again.retain, again.payload.toString()], [1, true, 'kept'])
    client.acknowledge(again)
    // One subscription, not two: a message comes once, with the new QoS.
    client.publish(topic, 'new', { qos: 2 })
    const packets = [await client.next(), await client.next()]
    const published = packets.find((packet) => packet.cmd === 'publish')
    assert.equal(published?.qos, 1)
    client.acknowledge(published)
    await client.nothing()
    await client.leave()
  }
})

test('conformance: replacing a subscription loses no message and brings none twice', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  for (const version of versions) {
    const subscriber = await connectRaw(t, port, { version, answers: true })
    await subscriber.subscribe('stream', { qos: 1 })
    const publisher = await connectRaw(t, port, { version })
    const count = 300
    for (let index = 0; index < count; index += 1) {
      publisher.publish('stream', `${index}`, { qos: 1 })
      if (index % 10 === 0) {
        const messageId = subscriber.nextPacketId()
        subscriber.send({ cmd: 'subscribe', messageId, subscriptions: [{ topic: 'stream', qos: 1 }] })
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    const texts: string[] = []
    let subacks = 0
    while (texts.length < count || subacks < count / 10) {
      const packet = await subscriber.next()
      if (packet.cmd === 'publish') texts.push(packet.payload.toString())
      else if (packet.cmd === 'suback') subacks += 1
    }
    assert.deepEqual(
      texts,
      Array.from({ length: count }, (_, index) => `${index}`),
    )
    await subscriber.nothing()
  }
})

test('conformance: the QoS of a delivery is the lower of the message and the subscription', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  for (const version of versions) {
    for (const granted of [0, 1, 2] as const) {
      const subscriber = await connectRaw(t, port, { version, answers: true })
      assert.deepEqual(await subscriber.subscribe('q', { qos: granted }), [granted])
      const publisher = await connectRaw(t, port, { version, answers: true })
      for (const qos of [0, 1, 2] as const) {
        publisher.publish('q', 'm', { qos })
        const { qos: got, dup } = await subscriber.expect('publish')
        assert.deepEqual([got, dup], [Math.min(qos, granted), false], `published ${qos}, granted ${granted}`)
      }
      await subscriber.leave()
    }
  }
})

test('conformance: UNSUBSCRIBE compares filters character by character, and is answered whatever it finds', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  for (const version of versions) {
    const client = await connectRaw(t, port, { version })
    await client.subscribe(['a/+', 'a/b', 'A/b', 'a/#'])
    // One UNSUBACK, codes in order; a wildcard deletes no filter but itself.
    const codes = await unsubscribe(client, ['a/b', 'a/c', '+/b', 'a/+', 'a/b'], 4711)
    if (version === 5) assert.deepEqual(codes, [0, 0x11, 0x11, 0, 0x11])
    await client.nothing()
    client.publish('a/b', 'by a/#')
    client.publish('A/b', 'by A/b')
    assert.deepEqual(await client.texts(2), ['by a/#', 'by A/b'])
    await unsubscribe(client, ['a/#', 'A/b'])
    client.publish('a/b', 'nobody')
    client.publish('A/b', 'nobody')
    await client.nothing()
    const none = await unsubscribe(client, ['a/#'])
    if (version === 5) assert.deepEqual(none, [0x11])
    await client.leave()
  }
})

test('conformance: what was begun is delivered to its end after UNSUBSCRIBE', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  for (const version of versions) {
    const clientId = `begun-${version}`
    const client = await connectRaw(t, port, kept(clientId, version))
    await client.subscribe('b', { qos: 2 })
    const publisher = await connectRaw(t, port, { version, answers: true })
    publisher.publish('b', 'one', { qos: 1 })
    publisher.publish('b', 'two', { qos: 2 })
    const one = await client.expect('publish')
    const two = await client.expect('publish')
    await unsubscribe(client, ['b'])
    await publisher.publishAcknowledged('b', 'not wanted any more')
    await client.cut()
    const back = await connectRaw(t, port, kept(clientId, version))
    const again = [await back.expect('publish'), await back.expect('publish')]
    assert.deepEqual(
      again.map(({ messageId, payload, dup, qos }) => [messageId, payload.toString(), dup, qos]),
      [
        [one.messageId, 'one', true, 1],
        [two.messageId, 'two', true, 2],
      ],
    )
    back.acknowledge(one)
    back.send({ cmd: 'pubrec', messageId: two.messageId! })
    assert.equal((await back.expect('pubrel')).messageId, two.messageId)
    back.send({ cmd: 'pubcomp', messageId: two.messageId! })
    await back.nothing()
  }
})

test('conformance: every PINGREQ is answered with PINGRESP', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  for (const version of versions) {
    const client = await connectRaw(t, port, { version })
    client.bytes([0xc0, 0, 0xc0, 0, 0xc0, 0])
    for (let count = 0; count < 3; count += 1) await client.expect('pingresp')
    await client.nothing()
  }
})
