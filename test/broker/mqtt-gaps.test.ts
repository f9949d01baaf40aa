// Messages that fell off a queue: their session is told how many, exactly, once, and nobody else is.
import assert from 'node:assert/strict'
import { test as nodeTest, type TestContext } from 'node:test'
import type { IPublishPacket } from 'mqtt-packet'
import { startBroker, type TestBroker, temporaryFolder } from '../helpers/broker.ts'
import { metric, openWith } from '../helpers/open-config.ts'
import { type ConnectOptions, connectRaw, kept, type RawClient, tryConnect } from '../helpers/raw-client.ts'

const limits = 'queueMessages: 5'

function test(sentence: string, body: (t: TestContext, broker: TestBroker) => Promise<void>): void {
  nodeTest(`gaps: ${sentence}`, { timeout: 20_000 }, async (t) => {
    await body(t, await startBroker(t, openWith({ limits, metrics: true })))
  })
}

test('MQTT 5: the next message says how many were skipped, and of which filter; the one after it does not', async (t, broker) => {
  const port = broker.port()
  await subscribeAndLeave(t, port, kept('away'), ['room/#', 'inbox'])
  await publish(t, port, 'inbox', 1)
  await publish(t, port, 'room/a', 12)
  const back = await connectRaw(t, port, { ...kept('away'), answers: true })
  const inbox = await back.expect('publish')
  assert.equal(inbox.topic, 'inbox')
  assert.deepEqual(marksOf(inbox), { 'oriole-gap': '7', 'oriole-gap-filter': '7 room/#' })
  for (const text of ['7', '8', '9', '10', '11']) {
    const packet = await back.expect('publish')
    assert.equal(packet.payload.toString(), text)
    assert.deepEqual(marksOf(packet), {})
  }
  await publish(t, port, 'inbox', 1)
  assert.deepEqual(marksOf(await back.expect('publish')), {})
  assert.equal(await metric(broker, 'oriole_messages_dropped_total{reason="queue_full"}'), 7)
})

test('the properties of the message stay, and what others get is as it was', async (t, broker) => {
  const port = broker.port()
  const live = await connectRaw(t, port)
  await live.subscribe('room')
  await subscribeAndLeave(t, port, kept('away'), ['room'])
  await publish(t, port, 'room', 6, { properties: { userProperties: { mine: '1' }, contentType: 'text/plain' } })
  const back = await connectRaw(t, port, { ...kept('away'), answers: true })
  const first = await back.expect('publish')
  assert.equal(first.properties?.contentType, 'text/plain')
  assert.deepEqual(marksOf(first), { mine: '1', 'oriole-gap': '1', 'oriole-gap-filter': '1 room' })
  for (let n = 0; n < 6; n += 1) assert.deepEqual(marksOf(await live.expect('publish')), { mine: '1' })
})

for (const version of [4, 5] as const) {
  test(`MQTT ${version}: who subscribed to $oriole/gap gets an event, and no properties`, async (t, broker) => {
    const port = broker.port()
    const other = await connectRaw(t, port, { clientId: 'other' })
    await other.subscribe(['$oriole/gap', '$oriole/#', '#'])
    await subscribeAndLeave(t, port, kept('away', version), ['room/#', '+/a', '$oriole/gap'])
    await publish(t, port, 'room/a', 12)
    await publish(t, port, 'room/b', 3)
    const back = await connectRaw(t, port, { ...kept('away', version), answers: true })
    const event = await back.expect('publish')
    assert.equal(event.topic, '$oriole/gap')
    assert.equal(event.qos, 0)
    // Three more fell off `room/#`, and are still read by `+/a`.
    assert.deepEqual(JSON.parse(event.payload.toString()), {
      skipped: 7,
      filters: [
        { filter: 'room/#', skipped: 7 },
        { filter: '+/a', skipped: 7 },
      ],
    })
    for (const text of ['7', '8', '9', '10', '11', '0', '1', '2']) {
      const packet = await back.expect('publish')
      assert.equal(packet.payload.toString(), text)
      assert.deepEqual(marksOf(packet), {})
    }
    await back.nothing()
    for (let n = 0; n < 15; n += 1) assert.match((await other.expect('publish')).topic, /^room/)
    await other.nothing()
  })
}

test('a client before MQTT 5 that subscribed to nothing of the kind gets its messages as ever', async (t, broker) => {
  const port = broker.port()
  await subscribeAndLeave(t, port, kept('away', 4), ['room'])
  await publish(t, port, 'room', 8)
  const back = await connectRaw(t, port, { ...kept('away', 4), answers: true })
  assert.deepEqual(await back.texts(5), ['3', '4', '5', '6', '7'])
  // It subscribes later on this connection, and has not been told.
  await back.subscribe('$oriole/gap')
  assert.deepEqual(JSON.parse((await back.expect('publish')).payload.toString()).skipped, 3)
  await back.leave()
  const again = await connectRaw(t, port, { ...kept('away', 4), answers: true })
  await again.nothing()
})

test('nobody but the broker publishes below $oriole, or sends its properties', async (t, broker) => {
  const port = broker.port()
  const reader = await connectRaw(t, port)
  await reader.subscribe(['room', '$oriole/#', 'will'])
  const forger = await connectRaw(t, port)
  assert.equal(await forger.publishAcknowledged('$oriole/gap', '{}'), 0x87)
  const will = { topic: '$oriole/gap', payload: Buffer.from('{}'), qos: 0 as const, retain: false }
  assert.equal((await tryConnect(t, port, { clientId: 'w', will })).code, 0x87)
  const properties = { userProperties: { 'oriole-gap': '9', mine: '1', 'oriole-gap-filter': '9 #' } }
  await forger.publishAcknowledged('room', 'x', { properties })
  assert.deepEqual(marksOf(await reader.expect('publish')), { mine: '1' })
  await forger.publishAcknowledged('room', 'y', { properties: { userProperties: { 'oriole-gap': '9' } } })
  const only = await reader.expect('publish')
  assert.deepEqual(marksOf(only), {})
  const dying = await connectRaw(t, port, {
    clientId: 'd',
    will: { topic: 'will', payload: Buffer.from('gone'), qos: 0, retain: false, properties },
  })
  await dying.cut()
  assert.deepEqual(marksOf(await reader.expect('publish')), { mine: '1' })
})

test('a marker that the client has no room for comes with the next message that has some', async (t, broker) => {
  const port = broker.port()
  await subscribeAndLeave(t, port, kept('away'), ['room'])
  await publish(t, port, 'room', 6, {}, 'x'.repeat(75))
  const options = kept('away')
  const properties = { ...options.properties, maximumPacketSize: 100 }
  const back = await connectRaw(t, port, { ...options, properties, answers: true })
  for (let n = 0; n < 5; n += 1) assert.deepEqual(marksOf(await back.expect('publish')), {})
  // Room for the number alone.
  await publish(t, port, 'room', 1, {}, 'x'.repeat(60))
  assert.deepEqual(marksOf(await back.expect('publish')), { 'oriole-gap': '1' })
})

test('who leaves without having acknowledged is told again, by the same number, and not a third time', async (t, broker) => {
  const port = broker.port()
  await subscribeAndLeave(t, port, kept('away'), ['room', 'inbox'])
  await publish(t, port, 'room', 9)
  const first = await connectRaw(t, port, kept('away'))
  assert.equal(marksOf(await first.expect('publish'))['oriole-gap'], '4')
  await first.texts(4)
  await first.cut()
  const second = await connectRaw(t, port, { ...kept('away'), answers: true })
  // What was in flight is sent again as it is; the marker comes with the next message.
  for (let n = 0; n < 5; n += 1) assert.equal((await second.expect('publish')).dup, true)
  await publish(t, port, 'inbox', 1)
  assert.equal(marksOf(await second.expect('publish'))['oriole-gap'], '4')
  await second.leave()
  const third = await connectRaw(t, port, { ...kept('away'), answers: true })
  await publish(t, port, 'inbox', 1)
  assert.deepEqual(marksOf(await third.expect('publish')), {})
  assert.equal(await metric(broker, 'oriole_messages_dropped_total{reason="queue_full"}'), 4)
})

test('who leaves before anything could tell it is told on its next connection', async (t, broker) => {
  const port = broker.port()
  await subscribeAndLeave(t, port, kept('away'), ['room'])
  await publish(t, port, 'room', 9, {}, 'x'.repeat(300))
  const options = kept('away')
  // All that is left is too large for it.
  const small = { ...options, properties: { ...options.properties, maximumPacketSize: 100 } }
  const first = await connectRaw(t, port, small)
  await first.nothing()
  await first.leave()
  const second = await connectRaw(t, port, { ...options, answers: true })
  await publish(t, port, 'room', 1)
  assert.equal(marksOf(await second.expect('publish'))['oriole-gap'], '4')
})

nodeTest('gaps: after a restart the session is told as before it', { timeout: 20_000 }, async (t) => {
  const folder = await temporaryFolder(t)
  const config = openWith({ limits, folder })
  const before = await startBroker(t, config, folder)
  await subscribeAndLeave(t, before.port(), kept('away'), ['a', 'b'])
  for (let n = 0; n < 20; n += 1) await publish(t, before.port(), n % 2 === 0 ? 'a' : 'b', 1)
  await before.stop()
  const after = await startBroker(t, config, folder)
  await publish(t, after.port(), 'a', 2)
  const back = await connectRaw(t, after.port(), { ...kept('away'), answers: true })
  const first = (await back.expect('publish')).properties?.userProperties
  assert.deepEqual({ ...first }, { 'oriole-gap': '12', 'oriole-gap-filter': ['7 a', '5 b'] })
})

async function subscribeAndLeave(
  t: TestContext,
  port: number,
  options: ConnectOptions,
  filters: readonly string[],
): Promise<void> {
  const client = await connectRaw(t, port, options)
  await client.subscribe(filters, { qos: 1 })
  await client.leave()
}

/** Acknowledged, one after the other; their texts are numbers, or what is given. */
async function publish(
  t: TestContext,
  port: number,
  topic: string,
  count: number,
  options: Partial<IPublishPacket> = {},
  text?: string,
): Promise<void> {
  const publisher: RawClient = await connectRaw(t, port)
  for (let n = 0; n < count; n += 1) await publisher.publishAcknowledged(topic, text ?? `${n}`, options)
  await publisher.leave()
}

function marksOf(packet: IPublishPacket): Record<string, string | string[]> {
  return { ...packet.properties?.userProperties }
}
