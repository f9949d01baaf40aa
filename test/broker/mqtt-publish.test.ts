// PUBLISH from a client: exactly once, acknowledgements in order, and what is refused (MQTT 3.3 - 3.7, 4.3, 4.6).
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { openConfig, startBroker, temporaryFolder } from '../helpers/broker.ts'
import { openWith } from '../helpers/open-config.ts'
import { connectRaw, kept, type PacketOf, type RawClient } from '../helpers/raw-client.ts'

const timeout = 20_000

for (const version of [4, 5] as const) {
  test(`publish: a QoS 2 message that is repeated arrives once (protocol level ${version})`, { timeout }, async (t) => {
    const port = (await startBroker(t)).port()
    const subscriber = await connectRaw(t, port)
    await subscriber.subscribe('a', { qos: 0 })
    let publisher = await connectRaw(t, port, kept('p', version))
    const messageId = publisher.publish('a', 'one', { qos: 2 })
    await publisher.expect('pubrec')
    publisher.publish('a', 'one', { qos: 2, messageId, dup: true })
    await publisher.expect('pubrec')
    // Also over another connection, until it is released.
    await publisher.cut()
    publisher = await connectRaw(t, port, kept('p', version))
    publisher.publish('a', 'one', { qos: 2, messageId, dup: true })
    await publisher.expect('pubrec')
    for (let round = 0; round < 2; round += 1) {
      publisher.send({ cmd: 'pubrel', messageId })
      const { reasonCode } = await publisher.expect('pubcomp')
      // The second time nobody knows the packet identifier any more.
      if (version === 5) assert.equal(reasonCode ?? 0, round === 0 ? 0 : 0x92)
    }
    publisher.publish('a', 'two', { qos: 2, messageId })
    await publisher.expect('pubrec')
    assert.deepEqual(await subscriber.texts(2), ['one', 'two'])
    await subscriber.nothing()
  })
}

test('publish: a QoS 2 message that was received before a restart is not received again after it', {
  timeout,
}, async (t) => {
  const folder = await temporaryFolder(t)
  const config = openWith({ folder })
  const before = await startBroker(t, config, folder)
  const away = await connectRaw(t, before.port(), kept('s'))
  await away.subscribe('a', { qos: 1 })
  const publisher = await connectRaw(t, before.port(), kept('p'))
  const messageId = publisher.publish('a', 'one', { qos: 2 })
  await publisher.expect('pubrec')
  await before.stop()
  const port = (await startBroker(t, config, folder)).port()
  const again = await connectRaw(t, port, kept('p'))
  again.publish('a', 'one', { qos: 2, messageId, dup: true })
  await again.expect('pubrec')
  again.send({ cmd: 'pubrel', messageId })
  await again.expect('pubcomp')
  again.publish('a', 'two', { qos: 2, messageId })
  await again.expect('pubrec')
  const subscriber = await connectRaw(t, port, { ...kept('s'), answers: true })
  assert.deepEqual(await subscriber.texts(2), ['one', 'two'])
})

test('publish: a QoS 1 message that is repeated is a new one, and both are acknowledged', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const subscriber = await connectRaw(t, port)
  await subscriber.subscribe('a')
  const publisher = await connectRaw(t, port)
  for (const dup of [false, true]) {
    publisher.publish('a', 'one', { qos: 1, messageId: 7, dup })
    assert.equal((await publisher.expect('puback')).messageId, 7)
  }
  const [first, second] = [await subscriber.expect('publish'), await subscriber.expect('publish')]
  // DUP is not passed on [MQTT-3.3.1-3].
  assert.deepEqual([first.dup, second.dup], [false, false])
})

test('publish: acknowledgements leave in order, also when only some wait for the disk', { timeout }, async (t) => {
  const folder = await temporaryFolder(t)
  const port = (await startBroker(t, openWith({ folder }), folder)).port()
  const away = await connectRaw(t, port, kept('s'))
  await away.subscribe('kept/#', { qos: 2 })
  await away.leave()
  const publisher = await connectRaw(t, port)
  const sent: string[] = []
  for (let messageId = 1; messageId <= 300; messageId += 1) {
    const qos = (1 + (messageId % 2)) as 1 | 2
    publisher.publish(messageId % 3 === 0 ? 'kept/a' : 'nobody', 'x', { qos, messageId })
    sent.push(`${qos === 1 ? 'puback' : 'pubrec'} ${messageId}`)
    if (messageId % 50 === 0) publisher.send({ cmd: 'pingreq' })
    if (messageId % 50 === 0) sent.push('pingresp')
  }
  const got: string[] = []
  while (got.length < sent.length) {
    const packet = await publisher.next()
    got.push('messageId' in packet ? `${packet.cmd} ${packet.messageId}` : packet.cmd)
  }
  assert.deepEqual(got, sent)
})

test("publish: a client's messages keep their order over QoS 0 and stored ones", { timeout }, async (t) => {
  const folder = await temporaryFolder(t)
  const port = (await startBroker(t, openWith({ folder }), folder)).port()
  const away = await connectRaw(t, port, kept('s'))
  await away.subscribe('a/#', { qos: 1 })
  await away.leave()
  const subscriber = await connectRaw(t, port)
  await subscriber.subscribe('#')
  const publisher = await connectRaw(t, port)
  const texts = Array.from({ length: 200 }, (_, index) => `${index}`)
  for (const [index, text] of texts.entries())
    publisher.publish(index % 3 === 0 ? 'a/b' : 'c', text, { qos: index % 3 === 0 ? 1 : 0 })
  assert.deepEqual(await subscriber.texts(200), texts)
})

test('publish: QoS 0 behind a stored message never stops the reading of the socket', { timeout }, async (t) => {
  const folder = await temporaryFolder(t)
  const port = (await startBroker(t, openWith({ folder, limits: 'inflightIn: 20' }), folder)).port()
  const away = await connectRaw(t, port, kept('s'))
  await away.subscribe('kept', { qos: 1 })
  await away.leave()
  const publisher = await connectRaw(t, port)
  // In one write, and nothing after it that would wake the connection up.
  publisher.send(
    { cmd: 'publish', topic: 'kept', payload: 'x', qos: 1, messageId: 1, dup: false, retain: false },
    ...Array.from(
      { length: 500 },
      () => ({ cmd: 'publish', topic: 'b', payload: 'x', qos: 0, dup: false, retain: false }) as const,
    ),
    { cmd: 'pingreq' },
  )
  await publisher.expect('puback')
  await publisher.expect('pingresp')
})

test('publish: more unreleased QoS 2 messages than we promised to take end the connection with 0x93', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t, openWith({ limits: 'inflightIn: 5' }))).port()
  const publisher = await connectRaw(t, port)
  for (let count = 0; count < 5; count += 1) publisher.publish('a', 'x', { qos: 2 })
  for (let count = 0; count < 5; count += 1) await publisher.expect('pubrec')
  publisher.publish('a', 'x', { qos: 2 })
  await publisher.disconnected(0x93)
})

test('publish: 0x10 when nobody subscribes to the topic', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const publisher = await connectRaw(t, port)
  assert.equal(await publisher.publishAcknowledged('a', 'x'), 0x10)
  publisher.publish('a', 'x', { qos: 2 })
  assert.equal((await publisher.expect('pubrec')).reasonCode, 0x10)
  const subscriber = await connectRaw(t, port)
  await subscriber.subscribe('a')
  assert.equal(await publisher.publishAcknowledged('a', 'x'), 0)
})

test('publish: what claims to be UTF-8 and is not is refused with 0x99', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const subscriber = await connectRaw(t, port)
  await subscriber.subscribe('#')
  const publisher = await connectRaw(t, port)
  const properties = { payloadFormatIndicator: true }
  const bad = Buffer.from([0xc3, 0x28])
  assert.equal(await publisher.publishAcknowledged('a', bad, { properties }), 0x99)
  publisher.publish('a', bad, { qos: 2, properties })
  const pubrec = await publisher.expect('pubrec')
  assert.equal(pubrec.reasonCode, 0x99)
  assert.equal(pubrec.properties?.reasonString, 'the payload is not UTF-8')
  // The packet identifier of a refused QoS 2 message is free [4.3.3].
  publisher.publish('a', 'good', { qos: 2, messageId: pubrec.messageId!, properties })
  assert.equal((await publisher.expect('pubrec')).reasonCode ?? 0, 0)
  publisher.publish('a', bad, { properties })
  await publisher.disconnected(0x99)
  assert.deepEqual(await subscriber.texts(1), ['good'])
  await subscriber.nothing()
  const quiet = await connectRaw(t, port, { properties: { requestProblemInformation: false } })
  quiet.publish('a', bad, { qos: 1, properties })
  assert.equal((await quiet.expect('puback')).properties?.reasonString, undefined)
})

test('publish: topics over the limits are refused', { timeout }, async (t) => {
  const port = (await startBroker(t, openWith({ limits: 'topicMaxLevels: 3, topicMaxBytes: 10' }))).port()
  const publisher = await connectRaw(t, port)
  assert.equal(await publisher.publishAcknowledged('a/b/c', 'x'), 0x10)
  assert.equal(await publisher.publishAcknowledged('a/b/c/d', 'x'), 0x90)
  assert.equal(await publisher.publishAcknowledged('12345678901', 'x'), 0x90)
  const old = await connectRaw(t, port, { version: 4 })
  old.publish('a/b/c/d', 'x', { qos: 1 })
  await old.disconnected(0)
})

test('publish: nobody publishes to $SYS', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const publisher = await connectRaw(t, port)
  assert.equal(await publisher.publishAcknowledged('$SYS/a', 'x'), 0x87)
  assert.equal(await publisher.publishAcknowledged('$SYS', 'x'), 0x87)
  assert.equal(await publisher.publishAcknowledged('$SYSTEM', 'x'), 0x10)
})

test('publish: a packet over the limit ends the connection with 0x95', { timeout }, async (t) => {
  const port = (await startBroker(t, openWith({ limits: 'packetMaxBytes: 1000' }))).port()
  for (const version of [4, 5] as const) {
    const publisher = await connectRaw(t, port, { version })
    publisher.publish('a', Buffer.alloc(900), { qos: 1 })
    await publisher.expect('puback')
    publisher.publish('a', Buffer.alloc(1000))
    await publisher.disconnected(0x95)
  }
})

/** Answers after so many milliseconds as the topic says. */
const slowRules = (zod: string): string => `
import { z } from '${zod}'
const yes = { allow: true, because: 'slow' }
const later = (topic) => new Promise((resolve) => setTimeout(() => resolve(yes), Number(topic.split('/')[1] ?? 0)))
export default {
  name: 'slow-rules',
  config: z.strictObject({}),
  setup: () => ({
    authorizePublish: (_client, { topic }) => (topic.startsWith('slow') ? later(topic) : yes),
    authorizeSubscribe: () => yes,
    onPublish: (message) => (message.topic === 'dropped' ? null : message),
  }),
}
`

async function brokerWithSlowRules(t: TestContext): Promise<number> {
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'slow-rules.mjs'), slowRules(import.meta.resolve('zod')))
  const config = openConfig.replace('acl-open', './slow-rules.mjs')
  return (await startBroker(t, config, folder)).port()
}

test('publish: rules that take their time change no order, and nobody is called silent meanwhile', {
  timeout,
}, async (t) => {
  const port = await brokerWithSlowRules(t)
  const subscriber = await connectRaw(t, port)
  await subscriber.subscribe('#')
  const publisher: RawClient = await connectRaw(t, port, { keepalive: 1 })
  publisher.publish('slow/2800', '1', { qos: 1 })
  publisher.publish('fast', '2')
  publisher.publish('slow/10', '3', { qos: 2 })
  publisher.publish('fast', '4', { qos: 1 })
  const acks: PacketOf<'puback' | 'pubrec'>['messageId'][] = []
  while (acks.length < 3) acks.push(((await publisher.next()) as PacketOf<'puback'>).messageId)
  assert.deepEqual(acks, [1, 2, 3])
  assert.deepEqual(await subscriber.texts(4), ['1', '2', '3', '4'])
})

test('publish: what a plugin drops is answered like any other, QoS 2 to its end', { timeout }, async (t) => {
  const port = await brokerWithSlowRules(t)
  const publisher = await connectRaw(t, port)
  assert.equal(await publisher.publishAcknowledged('dropped', 'x'), 0)
  const messageId = publisher.publish('dropped', 'x', { qos: 2 })
  assert.equal((await publisher.expect('pubrec')).reasonCode ?? 0, 0)
  publisher.send({ cmd: 'pubrel', messageId })
  assert.equal((await publisher.expect('pubcomp')).reasonCode ?? 0, 0)
})
