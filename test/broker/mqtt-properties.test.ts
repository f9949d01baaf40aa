// What MQTT 5 carries beside the payload: expiry, aliases, sizes, and the properties that pass through (MQTT 5.0, 3.3.2.3).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startBroker, temporaryFolder } from '../helpers/broker.ts'
import { metric, openWith } from '../helpers/open-config.ts'
import { connectRaw, kept } from '../helpers/raw-client.ts'

const timeout = 20_000
const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

test('properties: what the sender says arrives live, queued and retained, in its order', { timeout }, async (t) => {
  const folder = await temporaryFolder(t)
  const port = (await startBroker(t, openWith({ folder }), folder)).port()
  const away = await connectRaw(t, port, kept('away'))
  await away.subscribe('a', { qos: 1 })
  await away.leave()
  const live = await connectRaw(t, port)
  await live.subscribe('a')
  const old = await connectRaw(t, port, { version: 4 })
  await old.subscribe('a')
  const properties = {
    payloadFormatIndicator: true,
    contentType: 'text/plain; ü',
    responseTopic: 'answers/here',
    correlationData: Buffer.from([0, 1, 2, 255]),
    userProperties: { b: ['2', '1'], a: '1' },
  }
  const publisher = await connectRaw(t, port)
  await publisher.publishAcknowledged('a', 'x', { retain: true, properties })
  const late = await connectRaw(t, port)
  await late.subscribe('a')
  for (const client of [live, await connectRaw(t, port, kept('away')), late]) {
    const got = (await client.expect('publish')).properties!
    assert.deepEqual({ ...got, userProperties: { ...got.userProperties } }, properties)
  }
  assert.deepEqual(await old.texts(1), ['x'])
})

test('properties: message expiry is decremented live, queued and retained', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const away = await connectRaw(t, port, kept('away'))
  await away.subscribe('a', { qos: 1 })
  await away.leave()
  const live = await connectRaw(t, port)
  await live.subscribe('a')
  const publisher = await connectRaw(t, port)
  await publisher.publishAcknowledged('a', 'long', { retain: true, properties: { messageExpiryInterval: 100 } })
  await publisher.publishAcknowledged('a', 'short', { properties: { messageExpiryInterval: 1 } })
  await publisher.publishAcknowledged('a', 'for ever')
  const expiry = async (client: typeof live) => (await client.expect('publish')).properties?.messageExpiryInterval
  assert.equal(await expiry(live), 100)
  assert.equal(await expiry(live), 1)
  assert.equal(await expiry(live), undefined)
  await wait(2_100)
  const back = await connectRaw(t, port, kept('away'))
  const queued = await back.expect('publish')
  assert.equal(queued.payload.toString(), 'long')
  assert.ok([97, 98].includes(queued.properties?.messageExpiryInterval ?? 0))
  assert.equal((await back.expect('publish')).payload.toString(), 'for ever')
  const late = await connectRaw(t, port)
  await late.subscribe('a')
  assert.ok([97, 98].includes((await expiry(late)) ?? 0))
})

test('properties: a retained message is gone when it has expired', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const publisher = await connectRaw(t, port)
  await publisher.publishAcknowledged('a', 'x', { retain: true, properties: { messageExpiryInterval: 1 } })
  const expired = await connectRaw(t, port)
  await expired.subscribe('a')
  assert.equal((await expired.expect('publish')).properties?.messageExpiryInterval, 1)
  await wait(1_100)
  await expired.subscribe('a')
  await expired.nothing()
})

test('properties: an expiry of 0 reaches who can take it at once, and nobody later', { timeout }, async (t) => {
  const port = (await startBroker(t, openWith({ limits: 'inflightOut: 1' }))).port()
  const properties = { messageExpiryInterval: 0 }
  const away = await connectRaw(t, port, kept('away'))
  await away.subscribe('a', { qos: 2 })
  await away.leave()
  const publisher = await connectRaw(t, port)
  for (const options of [{ clientId: 'clean' }, kept('kept')]) {
    const live = await connectRaw(t, port, options)
    await live.subscribe('a', { qos: 2 })
    for (const qos of [0, 1, 2] as const) {
      publisher.publish('a', `${qos}`, { qos, retain: true, properties })
      if (qos > 0) await publisher.next()
      const message = await live.expect('publish')
      assert.deepEqual([message.payload.toString(), message.properties?.messageExpiryInterval], [`${qos}`, 0])
      if (qos === 1) live.acknowledge(message)
    }
    // The window is full: this one would have to wait.
    await publisher.publishAcknowledged('a', 'late', { properties })
    await live.cut()
  }
  await (await connectRaw(t, port, kept('away'))).nothing()
  const late = await connectRaw(t, port)
  await late.subscribe('a')
  await late.nothing()
})

test('properties: what expires while it waits for the window is not sent', { timeout }, async (t) => {
  const port = (await startBroker(t, openWith({ limits: 'inflightOut: 1' }))).port()
  for (const options of [{ clientId: 'clean' }, kept('kept')]) {
    const subscriber = await connectRaw(t, port, options)
    await subscriber.subscribe('a', { qos: 2 })
    const publisher = await connectRaw(t, port)
    await publisher.publishAcknowledged('a', 'one')
    await publisher.publishAcknowledged('a', 'two', { properties: { messageExpiryInterval: 1 } })
    await publisher.publishAcknowledged('a', 'three')
    const one = await subscriber.expect('publish')
    await wait(1_100)
    subscriber.acknowledge(one)
    assert.deepEqual(await subscriber.texts(1), ['three'])
    await subscriber.cut()
  }
})

test('properties: topic aliases of a client', { timeout }, async (t) => {
  const port = (await startBroker(t, openWith({ limits: 'topicAliasMax: 2' }))).port()
  const subscriber = await connectRaw(t, port)
  await subscriber.subscribe('#')
  const publisher = await connectRaw(t, port)
  const topics: string[] = []
  for (const [topic, topicAlias, means] of [
    ['a', 1, 'a'],
    ['', 1, 'a'],
    ['b', 2, 'b'],
    ['c', 1, 'c'],
    ['', 2, 'b'],
    ['', 1, 'c'],
  ] as const) {
    publisher.publish(topic, 'x', { properties: { topicAlias } })
    topics.push(means)
  }
  const got = []
  while (got.length < topics.length) got.push(await subscriber.expect('publish'))
  assert.deepEqual(
    got.map(({ topic }) => topic),
    topics,
  )
  assert.ok(got.every(({ properties }) => properties?.topicAlias === undefined))
  for (const [topic, topicAlias, code] of [
    ['a', 3, 0x94],
    ['', 1, 0x82],
  ] as const) {
    const bad = await connectRaw(t, port)
    bad.publish(topic, 'x', { properties: { topicAlias } })
    await bad.disconnected(code)
  }
})

test('properties: topic aliases to a client, as many as it takes', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const subscriber = await connectRaw(t, port, { properties: { topicAliasMaximum: 2 } })
  await subscriber.subscribe('#', { qos: 1 })
  const publisher = await connectRaw(t, port)
  for (const topic of ['a', 'b', 'c', 'a', 'b', 'c']) await publisher.publishAcknowledged(topic, topic)
  const aliases = new Map<number, string>()
  for (const meant of ['a', 'b', 'c', 'a', 'b', 'c']) {
    const { topic, properties, payload } = await subscriber.expect('publish')
    const alias = properties?.topicAlias
    if (alias !== undefined && topic !== '') aliases.set(alias, topic)
    assert.equal(topic === '' ? aliases.get(alias!) : topic, meant)
    assert.equal(payload.toString(), meant)
    assert.equal(alias === undefined, meant === 'c')
  }
  assert.equal(aliases.size, 2)
})

test('properties: Maximum Packet Size: what is larger is not sent, and counts as delivered', { timeout }, async (t) => {
  const broker = await startBroker(t, openWith({ metrics: true, limits: 'inflightOut: 1' }))
  const port = broker.port()
  const options = { ...kept('c'), properties: { sessionExpiryInterval: 100, maximumPacketSize: 100 } }
  let subscriber = await connectRaw(t, port, options)
  await subscriber.subscribe('a', { qos: 2 })
  const publisher = await connectRaw(t, port)
  const sizes = [50, 200, 60, 1000]
  for (const size of sizes) await publisher.publishAcknowledged('a', 'x'.repeat(size))
  publisher.publish('a', 'x'.repeat(300))
  const one = await subscriber.expect('publish')
  assert.equal(one.payload.length, 50)
  subscriber.acknowledge(one)
  const two = await subscriber.expect('publish')
  assert.equal(two.payload.length, 60)
  await subscriber.cut()
  await publisher.publishAcknowledged('a', 'x'.repeat(400))
  subscriber = await connectRaw(t, port, options)
  const again = await subscriber.expect('publish')
  assert.deepEqual([again.dup, again.payload.length], [true, 60])
  subscriber.acknowledge(again)
  await subscriber.nothing()
  assert.equal(await metric(broker, 'oriole_messages_dropped_total{reason="too_large"}'), 4)
  await subscriber.leave()
  subscriber = await connectRaw(t, port, kept('c'))
  await subscriber.nothing()
})

test('properties: a message of exactly the Maximum Packet Size arrives, also where an alias would not fit', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  // 1 + 1 + 2 + 1 + 1 bytes before the payload.
  const subscriber = await connectRaw(t, port, {
    clientId: 'c',
    properties: { maximumPacketSize: 56, topicAliasMaximum: 5 },
  })
  await subscriber.subscribe('a')
  const publisher = await connectRaw(t, port)
  for (const size of [50, 51, 20, 49, 50]) publisher.publish('a', 'x'.repeat(size))
  const sizes: number[] = []
  while (sizes.length < 4) sizes.push((await subscriber.expect('publish')).payload.length)
  assert.deepEqual(sizes, [50, 20, 49, 50])
})

test('properties: answers keep to Maximum Packet Size: no reason string, or the end', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const client = await connectRaw(t, port, { clientId: 'c', properties: { maximumPacketSize: 30 } })
  client.publish('a', Buffer.from([0xff]), { qos: 1, properties: { payloadFormatIndicator: true } })
  const puback = await client.expect('puback')
  assert.equal(puback.reasonCode, 0x99)
  const many = Array.from({ length: 40 }, (_, index) => ({ topic: `${index}`, qos: 0 as const }))
  client.send({ cmd: 'subscribe', messageId: 9, subscriptions: many })
  const goodbye = await client.expect('disconnect')
  assert.equal(goodbye.reasonCode, 0x95)
  assert.equal(goodbye.properties?.reasonString, undefined)
  await client.closed()
})
