// MQTT 5.0, 3.3.1.3 and 3.3.2.3.3: retained messages, their flag, and messages that expire. Only the date is faked.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startBroker } from '../helpers/broker.ts'
import { connectRaw, kept, type RawClient } from '../helpers/raw-client.ts'

const timeout = 20_000

/** Topic, payload and RETAIN of what a new subscription brings at once. */
async function retainedOf(client: RawClient, filter = '#', options: object = {}): Promise<unknown[]> {
  await client.subscribe(filter, options)
  client.send({ cmd: 'pingreq' })
  const found: unknown[] = []
  for (let packet = await client.next(); packet.cmd !== 'pingresp'; packet = await client.next()) {
    if (packet.cmd === 'publish') found.push([packet.topic, packet.payload.toString(), packet.retain])
  }
  return found
}

test('retained: a message replaces the one before and waits for new subscriptions', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const publisher = await connectRaw(t, port)
  for (const qos of [0, 1, 2] as const) {
    publisher.publish('a/b', `old ${qos}`, { qos, retain: true })
    publisher.publish('a/b', `new ${qos}`, { qos, retain: true })
    publisher.publish('a/c', 'other', { qos, retain: true })
    for (let count = 0; qos > 0 && count < 3; count += 1) await publisher.next()
    await publisher.nothing()
    const found = await retainedOf(await connectRaw(t, port), 'a/#', { qos: 0 })
    assert.deepEqual(found.sort(), [
      ['a/b', `new ${qos}`, true],
      ['a/c', 'other', true],
    ])
    for (let messageId = 1; qos === 2 && messageId <= 10; messageId += 1) {
      publisher.send({ cmd: 'pubrel', messageId })
      await publisher.expect('pubcomp')
    }
  }
})

test('retained: an empty payload removes it, is not kept itself, and is delivered like any other', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const live = await connectRaw(t, port)
  await live.subscribe('a/#', { rap: true })
  const publisher = await connectRaw(t, port)
  for (const [topic, text] of [
    ['a/b', 'x'],
    ['a/c', 'x'],
    ['a/b', ''],
    ['a/d', ''],
  ] as const) {
    publisher.publish(topic, text, { retain: true })
    const { payload, retain } = await live.expect('publish')
    assert.deepEqual([payload.toString(), retain], [text, true])
  }
  assert.deepEqual(await retainedOf(await connectRaw(t, port)), [['a/c', 'x', true]])
})

test('retained: a message without RETAIN is not kept, and replaces and removes nothing', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const publisher = await connectRaw(t, port)
  publisher.publish('a', 'kept', { retain: true })
  publisher.publish('a', 'passing')
  publisher.publish('a', '')
  publisher.publish('b', 'passing')
  await publisher.publishAcknowledged('b', 'passing')
  assert.deepEqual(await retainedOf(await connectRaw(t, port)), [['a', 'kept', true]])
})

test('retained: Retain Handling 0 sends always, 1 only for a new subscription, 2 never', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const publisher = await connectRaw(t, port)
  publisher.publish('a/1', 'x', { retain: true })
  publisher.publish('a/2', 'y', { retain: true })
  await publisher.nothing()
  const both = [
    ['a/1', 'x', true],
    ['a/2', 'y', true],
  ]
  for (const options of [{}, kept('c')]) {
    const client = await connectRaw(t, port, options)
    const ask = async (rh: 0 | 1 | 2) => (await retainedOf(client, 'a/+', { rh })).sort()
    assert.deepEqual(await ask(2), [])
    assert.deepEqual(await ask(1), [], 'the subscription is there')
    assert.deepEqual(await ask(0), both)
    assert.deepEqual(await ask(0), both)
    client.send({ cmd: 'unsubscribe', messageId: 99, unsubscriptions: ['a/+'] })
    await client.expect('unsuback')
    assert.deepEqual(await ask(1), both)
    assert.deepEqual(await ask(1), [])
  }
})

test('retained: Retain Handling 1 knows the subscriptions of a session that goes on', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const first = await connectRaw(t, port, kept('c'))
  await first.subscribe('a')
  await first.leave()
  const publisher = await connectRaw(t, port)
  publisher.publish('a', 'x', { retain: true })
  await publisher.nothing()
  assert.deepEqual(await retainedOf(await connectRaw(t, port, kept('c')), 'a', { rh: 1 }), [])
})

test('retained: Retain As Published keeps the flag of a forwarded message, without it the flag is 0', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const publisher = await connectRaw(t, port)
  for (const rap of [true, false]) {
    for (const options of [{}, kept(`c${rap}`)]) {
      const client = await connectRaw(t, port, options)
      await client.subscribe('a', { qos: 1, rap, rh: 2 })
      await publisher.publishAcknowledged('a', 'live', { retain: true })
      await publisher.publishAcknowledged('a', 'live', { retain: false })
      assert.deepEqual([(await client.expect('publish')).retain, (await client.expect('publish')).retain], [rap, false])
      await client.leave()
      if (!('clean' in options)) continue
      await publisher.publishAcknowledged('a', 'queued', { retain: true })
      const back = await connectRaw(t, port, options)
      const flags = [await back.expect('publish'), await back.expect('publish'), await back.expect('publish')]
      assert.deepEqual(
        flags.map(({ payload, retain }) => [payload.toString(), retain]),
        [
          ['live', rap],
          ['live', false],
          ['queued', rap],
        ],
      )
    }
  }
})

test('expiry: a message that waited too long is not delivered, neither queued nor retained', { timeout }, async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() })
  const port = (await startBroker(t)).port()
  const away = await connectRaw(t, port, kept('away'))
  await away.subscribe('a/#', { qos: 1 })
  await away.leave()
  const publisher = await connectRaw(t, port, { keepalive: 0 })
  const expiring = (topic: string, messageExpiryInterval: number, retain = false) =>
    publisher.publishAcknowledged(topic, `${messageExpiryInterval}`, { retain, properties: { messageExpiryInterval } })
  await expiring('a/0', 0)
  await expiring('a/1', 10)
  await expiring('a/2', 100)
  await expiring('b/1', 10, true)
  await expiring('b/2', 100, true)
  t.mock.timers.tick(10_000)
  const back = await connectRaw(t, port, { ...kept('away'), answers: true })
  assert.deepEqual(await back.texts(1), ['100'])
  await back.nothing()
  assert.deepEqual(await retainedOf(back, 'b/#'), [['b/2', '100', true]])
})

test('expiry: what waits in the window of a slow receiver expires there', { timeout }, async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() })
  const port = (await startBroker(t)).port()
  const slow = await connectRaw(t, port, { properties: { receiveMaximum: 1 } })
  await slow.subscribe('a', { qos: 1 })
  const publisher = await connectRaw(t, port)
  for (const [text, messageExpiryInterval] of [
    ['first', 10],
    ['second', 10],
    ['third', 100],
  ] as const) {
    await publisher.publishAcknowledged('a', text, { properties: { messageExpiryInterval } })
  }
  const first = await slow.expect('publish')
  t.mock.timers.tick(10_000)
  slow.acknowledge(first)
  assert.deepEqual(await slow.texts(1), ['third'])
})

test('expiry: the interval that arrives is what was left of it', { timeout }, async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() })
  const port = (await startBroker(t)).port()
  const live = await connectRaw(t, port)
  await live.subscribe('a', { qos: 1 })
  const away = await connectRaw(t, port, kept('away'))
  await away.subscribe('a', { qos: 1 })
  await away.leave()
  const publisher = await connectRaw(t, port)
  for (const messageExpiryInterval of [100, 4_294_967_295, 0]) {
    await publisher.publishAcknowledged('a', '', { retain: true, properties: { messageExpiryInterval } })
    const { properties } = await live.expect('publish')
    assert.equal(properties?.messageExpiryInterval, messageExpiryInterval)
  }
  await publisher.publishAcknowledged('a', '')
  assert.equal((await live.expect('publish')).properties?.messageExpiryInterval, undefined)
  await publisher.publishAcknowledged('b', 'x', { retain: true, properties: { messageExpiryInterval: 100 } })
  t.mock.timers.tick(30_000)
  const back = await connectRaw(t, port, kept('away'))
  const leftOf = async () => (await back.expect('publish')).properties?.messageExpiryInterval
  assert.equal(await leftOf(), 70)
  assert.equal(await leftOf(), 4_294_967_265)
  assert.equal(await leftOf(), undefined)
  await back.subscribe('b')
  assert.equal(await leftOf(), 70)
})
