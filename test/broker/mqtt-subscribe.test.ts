// SUBSCRIBE and UNSUBSCRIBE: filters, options, overlaps, limits (MQTT 3.8 - 3.11, 4.7).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startBroker } from '../helpers/broker.ts'
import { openWith } from '../helpers/open-config.ts'
import { connectRaw, kept } from '../helpers/raw-client.ts'

const timeout = 20_000

test('subscribe: the QoS of a delivery is the lower of publish and subscription, for each filter', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const publisher = await connectRaw(t, port, { answers: true })
  for (const filter of ['a/b', 'a/+', 'a/#']) {
    for (const qos of [0, 1, 2] as const) {
      const subscriber = await connectRaw(t, port, { answers: true })
      assert.deepEqual(await subscriber.subscribe(filter, { qos }), [qos])
      for (const published of [0, 1, 2] as const) {
        publisher.publish('a/b', `${published}`, { qos: published })
        const message = await subscriber.expect('publish')
        assert.equal(message.qos, Math.min(qos, published), `${filter} ${qos} ${published}`)
      }
      await subscriber.cut()
    }
  }
})

test('subscribe: overlapping filters bring one delivery, the highest QoS, and all subscription identifiers', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const subscriber = await connectRaw(t, port, { answers: true })
  await subscriber.subscribe('a/b', { qos: 0, id: 1 })
  await subscriber.subscribe('a/+', { qos: 1, id: 268_435_455 })
  await subscriber.subscribe('#', { qos: 2 })
  await subscriber.subscribe('+/b', { qos: 1, id: 1 })
  await subscriber.subscribe('c', { qos: 2, id: 4 })
  const publisher = await connectRaw(t, port)
  publisher.publish('a/b', 'x', { qos: 2 })
  const message = await subscriber.expect('publish')
  assert.equal(message.qos, 2)
  const ids = [message.properties?.subscriptionIdentifier].flat() as number[]
  assert.deepEqual(
    ids.sort((a, b) => a - b),
    [1, 1, 268_435_455],
  )
  await subscriber.nothing()
})

test('subscribe: overlapping filters bring one delivery after an absence too', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const away = await connectRaw(t, port, kept('s'))
  await away.subscribe('a/+', { qos: 1, id: 1 })
  await away.subscribe('a/#', { qos: 2, id: 2 })
  await away.leave()
  const publisher = await connectRaw(t, port)
  publisher.publish('a/b', 'x', { qos: 2 })
  await publisher.expect('pubrec')
  const back = await connectRaw(t, port, kept('s'))
  const message = await back.expect('publish')
  assert.equal(message.qos, 2)
  assert.deepEqual(([message.properties?.subscriptionIdentifier].flat() as number[]).sort(), [1, 2])
  await back.nothing()
})

test('subscribe: a filter again replaces its subscription: QoS and identifier are the new ones', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const subscriber = await connectRaw(t, port)
  await subscriber.subscribe('a', { qos: 1, id: 1 })
  await subscriber.subscribe('a', { qos: 0, id: 2 })
  const publisher = await connectRaw(t, port)
  await publisher.publishAcknowledged('a', 'x')
  const message = await subscriber.expect('publish')
  assert.deepEqual([message.qos, message.properties?.subscriptionIdentifier], [0, 2])
  await subscriber.nothing()
})

test('subscribe: no message is lost while a subscription is replaced', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  for (const options of [{ clientId: 's' }, kept('k')]) {
    const subscriber = await connectRaw(t, port, { ...options, answers: true })
    const other = await connectRaw(t, port, kept(`other of ${options.clientId}`))
    await other.subscribe('a', { qos: 1 })
    await other.leave()
    await subscriber.subscribe('a', { qos: 1 })
    const publisher = await connectRaw(t, port)
    const count = 500
    const texts = Array.from({ length: count }, (_, index) => `${index}`)
    const replacing = setInterval(() => {
      const subscriptions = [{ topic: 'a', qos: 1 as const }]
      subscriber.send({ cmd: 'subscribe', messageId: subscriber.nextPacketId(), subscriptions })
    }, 0)
    t.after(() => clearInterval(replacing))
    for (const text of texts) await publisher.publishAcknowledged('a', text)
    clearInterval(replacing)
    const got: string[] = []
    while (got.length < count) {
      const packet = await subscriber.next()
      if (packet.cmd === 'publish') got.push(packet.payload.toString())
    }
    assert.deepEqual(got, texts)
    await subscriber.cut()
  }
})

test('subscribe: no local', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const one = await connectRaw(t, port)
  const two = await connectRaw(t, port)
  for (const client of [one, two]) await client.subscribe('a', { nl: true })
  one.publish('a', 'from one')
  assert.deepEqual(await two.texts(1), ['from one'])
  await one.nothing()
  await one.subscribe('a', { nl: false })
  one.publish('a', 'again')
  assert.deepEqual(await one.texts(1), ['again'])
})

test('subscribe: no local holds after an absence', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  let client = await connectRaw(t, port, kept('c'))
  await client.subscribe('a', { nl: true, qos: 1 })
  await client.publishAcknowledged('a', 'own')
  await client.cut()
  await (await connectRaw(t, port)).publishAcknowledged('a', 'other')
  client = await connectRaw(t, port, kept('c'))
  assert.deepEqual(await client.texts(1), ['other'])
  await client.nothing()
})

test('subscribe: UNSUBACK tells whether there was a subscription', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const client = await connectRaw(t, port)
  await client.subscribe(['a', '$share/g/a'])
  const unsubscriptions = ['a', 'a', 'b', '$share/g/a', '$share/h/a']
  client.send({ cmd: 'unsubscribe', messageId: 9, unsubscriptions })
  const unsuback = await client.expect('unsuback')
  assert.equal(unsuback.messageId, 9)
  assert.deepEqual(unsuback.granted, [0, 0x11, 0x11, 0, 0x11])
  assert.equal(await client.publishAcknowledged('a', 'x'), 0x10)
  const old = await connectRaw(t, port, { version: 4 })
  old.send({ cmd: 'unsubscribe', messageId: 3, unsubscriptions: ['a'] })
  assert.equal((await old.expect('unsuback')).messageId, 3)
})

test('subscribe: after UNSUBSCRIBE nothing new comes, but what was begun is completed', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const client = await connectRaw(t, port, kept('c'))
  await client.subscribe('a', { qos: 1 })
  const publisher = await connectRaw(t, port)
  await publisher.publishAcknowledged('a', 'one')
  const one = await client.expect('publish')
  client.send({ cmd: 'unsubscribe', messageId: 9, unsubscriptions: ['a'] })
  await client.expect('unsuback')
  await publisher.publishAcknowledged('a', 'two')
  await client.cut()
  const back = await connectRaw(t, port, kept('c'))
  const again = await back.expect('publish')
  assert.deepEqual([again.messageId, again.dup, again.payload.toString()], [one.messageId, true, 'one'])
  await back.nothing()
})

test('subscribe: filters over the limits are refused one by one', { timeout }, async (t) => {
  const limits = 'filtersPerSubscribe: 3, filtersPerClient: 4, topicMaxLevels: 3, topicMaxBytes: 20'
  const port = (await startBroker(t, openWith({ limits }))).port()
  const client = await connectRaw(t, port)
  assert.deepEqual(await client.subscribe(['a', 'b', 'c', 'd'], { qos: 1 }), [1, 1, 1, 0x97])
  assert.deepEqual(await client.subscribe(['a', 'e', 'f'], { qos: 2 }), [2, 2, 0x97])
  assert.deepEqual(await client.subscribe(['a/b/c/d', 'x'.repeat(21), '$share/group/a/b/c']), [0x8f, 0x8f, 0x97])
  const old = await connectRaw(t, port, { version: 4 })
  assert.deepEqual(await old.subscribe(['a', 'a/b/c/d', 'b', 'c']), [0, 0x80, 0, 0x80])
})

test('subscribe: a filter with wrong syntax ends the connection', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  for (const version of [4, 5] as const) {
    for (const topic of ['a#', '#/a', 'a+/b', '$share/g', '$share//a', '$share/g+/a', '$share/g/']) {
      const client = await connectRaw(t, port, { version })
      client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 0 }] })
      await client.disconnected(0x8f)
    }
  }
})

test('subscribe: leading wildcards do not match topics that begin with $', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const client = await connectRaw(t, port)
  await client.subscribe(['#', '+/a', '+'])
  const dollar = await connectRaw(t, port)
  await dollar.subscribe(['$x/#'])
  const publisher = await connectRaw(t, port)
  publisher.publish('$x/a', 'live', { retain: true })
  publisher.publish('$x', 'level', { retain: true })
  assert.deepEqual(await dollar.texts(2), ['live', 'level'])
  await client.nothing()
  const late = await connectRaw(t, port)
  await late.subscribe(['#', '+/a', '+'])
  await late.nothing()
  await late.subscribe(['$x/+'])
  assert.deepEqual(await late.texts(1), ['live'])
})

test('subscribe: SUBACK comes before the retained messages, and a pipelined client is answered in order', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const publisher = await connectRaw(t, port)
  await publisher.publishAcknowledged('a', 'kept', { retain: true })
  const client = await connectRaw(t, port, kept('c'))
  client.send(
    { cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'a', qos: 0 }] },
    { cmd: 'publish', topic: 'b', payload: 'x', qos: 1, messageId: 2, dup: false, retain: false },
    { cmd: 'pingreq' },
  )
  await client.expect('suback')
  const rest = [await client.next(), await client.next(), await client.next()].map(({ cmd }) => cmd)
  assert.deepEqual(
    rest.filter((cmd) => cmd !== 'publish'),
    ['puback', 'pingresp'],
  )
  assert.ok(rest.includes('publish'))
})
