// PUBACK to PUBCOMP and the three delivery protocols, from both sides (MQTT 5.0 and 3.1.1, 3.4 - 3.7, 4.3).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startBroker, temporaryFolder } from '../helpers/broker.ts'
import { connectRaw, kept, type RawClient } from '../helpers/raw-client.ts'

const timeout = 30_000
const versions = [4, 5] as const
/** 1.5 s later the Message Expiry Interval of 1 s is over. */
const overMs = 1_500

/** The reason code of PUBREC. */
async function publishTwo(client: RawClient, topic: string, messageId: number, payload = 'm', dup = false) {
  client.publish(topic, payload, { qos: 2, messageId, dup })
  const pubrec = await client.expect('pubrec')
  assert.equal(pubrec.messageId, messageId)
  return pubrec.reasonCode ?? 0
}

async function release(client: RawClient, messageId: number): Promise<number> {
  client.send({ cmd: 'pubrel', messageId })
  const pubcomp = await client.expect('pubcomp')
  assert.equal(pubcomp.messageId, messageId)
  return pubcomp.reasonCode ?? 0
}

test('conformance: PUBREC, PUBREL and PUBCOMP say with their own reason codes what happened', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const client = await connectRaw(t, port)
  assert.equal(await publishTwo(client, 'nobody', 1), 0x10, 'no matching subscribers')
  assert.equal(await publishTwo(client, '$SYS/mine', 2), 0x87, 'not authorized')
  assert.equal(await publishTwo(client, 'x/'.repeat(40), 3), 0x90, 'topic name invalid')
  client.publish('text', Buffer.from([0xff]), { qos: 2, messageId: 4, properties: { payloadFormatIndicator: true } })
  assert.equal((await client.expect('pubrec')).reasonCode, 0x99, 'payload format invalid')
  client.publish('big', Buffer.alloc(300_000), { qos: 2, messageId: 5, retain: true })
  assert.equal((await client.expect('pubrec')).reasonCode, 0x97, 'quota exceeded')
  assert.equal(await release(client, 1), 0)
  assert.equal(await release(client, 9), 0x92, 'packet identifier not found')
  client.send({ cmd: 'pubrec', messageId: 9 })
  const pubrel = await client.expect('pubrel')
  assert.deepEqual([pubrel.messageId, pubrel.reasonCode], [9, 0x92])
})

test('conformance: no reason string makes an answer larger than the client takes', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  // CONNACK and SUBACK fit into so much, PUBREC with a reason string does not.
  const client = await connectRaw(t, port, { clientId: 'small', properties: { maximumPacketSize: 20 } })
  client.publish('$SYS/mine', 'm', { qos: 2, messageId: 1 })
  const pubrec = await client.expect('pubrec')
  assert.deepEqual([pubrec.reasonCode, pubrec.properties], [0x87, undefined])
  client.send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['none'] })
  assert.deepEqual([(await client.expect('unsuback')).properties, client.pending.length], [undefined, 0])
  client.send({ cmd: 'pubrel', messageId: 3 })
  assert.equal((await client.expect('pubcomp')).properties, undefined)
  client.send({ cmd: 'pubrec', messageId: 3 })
  assert.equal((await client.expect('pubrel')).properties, undefined)
  client.bytes([0x82, 3, 0, 1, 0])
  const goodbye = await client.expect('disconnect')
  assert.deepEqual([goodbye.reasonCode, goodbye.properties], [0x82, undefined])
  const roomy = await connectRaw(t, port)
  roomy.publish('$SYS/mine', 'm', { qos: 2, messageId: 1 })
  assert.equal((await roomy.expect('pubrec')).properties?.reasonString, 'not authorized')
  roomy.bytes([0x82, 3, 0, 1, 0])
  const reasons = (await roomy.expect('disconnect')).properties
  assert.match(reasons?.reasonString ?? '', /no topic filter/)
  assert.equal(reasons?.userProperties, undefined)
})

test('conformance: new deliveries have DUP 0 and packet identifiers of their own, QoS 0 has none', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  for (const version of versions) {
    const subscriber = await connectRaw(t, port, { version })
    await subscriber.subscribe('d', { qos: 2 })
    const publisher = await connectRaw(t, port, { version, answers: true })
    for (let index = 0; index < 90; index += 1) {
      // DUP of the publisher says nothing about the delivery.
      const qos = (index % 3) as 0 | 1 | 2
      publisher.publish('d', `${index}`, { qos, dup: qos > 0 && index % 2 === 0 })
    }
    const seen = new Set<number>()
    for (let index = 0; index < 90; index += 1) {
      const { dup, messageId, qos } = await subscriber.expect('publish')
      assert.equal(dup, false)
      if (qos === 0) assert.equal(messageId, undefined)
      else seen.add(messageId!)
    }
    assert.equal(seen.size, 60)
    assert.equal(seen.has(0), false)
    await subscriber.leave()
  }
})

test('conformance: a packet identifier in use is passed over when all others have had their turn', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const subscriber = await connectRaw(t, port)
  await subscriber.subscribe('turn', { qos: 1 })
  const publisher = await connectRaw(t, port)
  publisher.publish('turn', 'held', { qos: 1 })
  const held = await subscriber.expect('publish')
  await publisher.expect('puback')
  const chunk = 95
  const rounds = Math.ceil(65_600 / chunk)
  for (let round = 0; round < rounds; round += 1) {
    publisher.send(
      ...Array.from({ length: chunk }, (_, index) => {
        return {
          cmd: 'publish',
          topic: 'turn',
          payload: '',
          qos: 1,
          dup: false,
          retain: false,
          messageId: index + 1,
        } as const
      }),
    )
    for (let index = 0; index < chunk; index += 1) {
      const packet = await subscriber.expect('publish')
      assert.notEqual(packet.messageId, held.messageId)
      subscriber.acknowledge(packet)
    }
    for (let index = 0; index < chunk; index += 1) await publisher.expect('puback')
  }
})

test('conformance: QoS 1 is acknowledged with its packet identifier, which then means a new message whatever DUP says', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  for (const version of versions) {
    const subscriber = await connectRaw(t, port, { version })
    await subscriber.subscribe('one')
    const publisher = await connectRaw(t, port, { version })
    for (const [text, dup] of [
      ['first', false],
      ['second', true],
      ['third', false],
    ] as const) {
      publisher.publish('one', text, { qos: 1, messageId: 4711, dup })
      assert.equal((await publisher.expect('puback')).messageId, 4711)
    }
    assert.deepEqual(await subscriber.texts(3), ['first', 'second', 'third'])
    await subscriber.leave()
  }
})

test('conformance: QoS 2 comes in once: repeated until PUBREL it is acknowledged, and delivered once', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  for (const version of versions) {
    const subscriber = await connectRaw(t, port, { version })
    await subscriber.subscribe('two')
    const publisher = await connectRaw(t, port, kept(`two-${version}`, version))
    await publishTwo(publisher, 'two', 5, 'first')
    await publishTwo(publisher, 'two', 5, 'first', true)
    await publishTwo(publisher, 'two', 5, 'first')
    // Also over another connection of the session.
    await publisher.cut()
    const back = await connectRaw(t, port, kept(`two-${version}`, version))
    await publishTwo(back, 'two', 5, 'first', true)
    assert.equal(await release(back, 5), 0)
    // After PUBCOMP the identifier means a new message, whatever DUP says.
    await publishTwo(back, 'two', 5, 'second', true)
    assert.equal(await release(back, 5), 0)
    assert.deepEqual(await subscriber.texts(2), ['first', 'second'])
    await subscriber.nothing()
    await subscriber.leave()
  }
})

test('conformance: after a PUBREC that refuses, the packet identifier means a new message', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const subscriber = await connectRaw(t, port)
  await subscriber.subscribe('fine')
  const publisher = await connectRaw(t, port)
  assert.equal(await publishTwo(publisher, '$SYS/refused', 5), 0x87)
  assert.equal(await publishTwo(publisher, 'fine', 5, 'taken'), 0)
  assert.deepEqual(await subscriber.texts(1), ['taken'])
  assert.equal(await release(publisher, 5), 0)
})

test('conformance: QoS 2 goes out in its four steps, with one packet identifier', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  for (const version of versions) {
    const options = { ...kept(`out-${version}`, version) }
    const subscriber = await connectRaw(t, port, options)
    await subscriber.subscribe('out', { qos: 2 })
    const publisher = await connectRaw(t, port, { version })
    await publishTwo(publisher, 'out', 1)
    const { messageId } = await subscriber.expect('publish')
    // Unacknowledged until PUBREC: it comes again, with the connection after, and only there.
    await subscriber.nothing()
    await subscriber.cut()
    const second = await connectRaw(t, port, options)
    const again = await second.expect('publish')
    assert.deepEqual([again.messageId, again.dup], [messageId, true])
    second.send({ cmd: 'pubrec', messageId: messageId! })
    assert.equal((await second.expect('pubrel')).messageId, messageId)
    // Unacknowledged until PUBCOMP: PUBREL comes again, PUBLISH never.
    await second.nothing()
    await second.cut()
    const third = await connectRaw(t, port, options)
    assert.equal((await third.expect('pubrel')).messageId, messageId)
    await third.nothing()
    third.send({ cmd: 'pubcomp', messageId: messageId! })
    await third.nothing()
    await third.cut()
    const fourth = await connectRaw(t, port, options)
    await fourth.nothing()
    await fourth.leave()
  }
})

test('conformance: QoS 1 is unacknowledged until PUBACK, and sent again only on a new connection', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  for (const version of versions) {
    const options = kept(`ack-${version}`, version)
    const first = await connectRaw(t, port, options)
    await first.subscribe('ack', { qos: 1 })
    const publisher = await connectRaw(t, port, { version })
    await publisher.publishAcknowledged('ack', 'm')
    const { messageId } = await first.expect('publish')
    // The acknowledgement of another QoS, or of another identifier, is none.
    first.send({ cmd: 'pubcomp', messageId: messageId! }, { cmd: 'puback', messageId: messageId! + 1 })
    await first.nothing()
    await first.cut()
    const second = await connectRaw(t, port, options)
    const again = await second.expect('publish')
    assert.deepEqual([again.messageId, again.dup, again.payload.toString()], [messageId, true, 'm'])
    second.acknowledge(again)
    await second.nothing()
    await second.cut()
    const third = await connectRaw(t, port, options)
    await third.nothing()
  }
})

test('conformance: PUBACK and PUBREC that refuse end the delivery for good', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const client = await connectRaw(t, port, {
    ...kept('refuses'),
    properties: { sessionExpiryInterval: 60, receiveMaximum: 1 },
  })
  await client.subscribe('refused', { qos: 2 })
  const publisher = await connectRaw(t, port, { answers: true })
  publisher.publish('refused', 'one', { qos: 1 })
  publisher.publish('refused', 'two', { qos: 2 })
  publisher.publish('refused', 'three', { qos: 1 })
  const one = await client.expect('publish')
  client.send({ cmd: 'puback', messageId: one.messageId!, reasonCode: 0x83 })
  const two = await client.expect('publish')
  // No PUBREL answers it, and its place in the window is free.
  client.send({ cmd: 'pubrec', messageId: two.messageId!, reasonCode: 0x97 })
  const three = await client.expect('publish')
  client.send({ cmd: 'puback', messageId: three.messageId!, reasonCode: 0x80 })
  await client.nothing()
  await client.cut()
  const back = await connectRaw(t, port, kept('refuses'))
  await back.nothing()
})

test('conformance: message expiry ends no QoS 2 delivery that has begun, on either side, nor does a restart', {
  timeout,
}, async (t) => {
  const folder = await temporaryFolder(t)
  const config = `
listeners: [{ name: tcp, type: tcp, port: 0 }]
store: { type: level, path: ${folder}/data }
admin: { enabled: false }
plugins: [auth-anonymous, acl-open]
`
  const before = await startBroker(t, config, folder)
  const subscriber = await connectRaw(t, before.port(), kept('late'))
  await subscriber.subscribe('late', { qos: 2 })
  const publisher = await connectRaw(t, before.port(), kept('early'))
  publisher.publish('late', 'm', { qos: 2, messageId: 7, properties: { messageExpiryInterval: 1 } })
  assert.equal((await publisher.expect('pubrec')).messageId, 7)
  const { messageId } = await subscriber.expect('publish')
  await new Promise((resolve) => setTimeout(resolve, overMs))
  assert.equal(await publishTwo(publisher, 'late', 7, 'm', true), 0)
  assert.equal(await release(publisher, 7), 0)
  await subscriber.cut()
  const back = await connectRaw(t, before.port(), kept('late'))
  assert.deepEqual([(await back.expect('publish')).messageId, back.pending.length], [messageId, 0])
  await before.stop()
  const after = await startBroker(t, config, folder)
  const third = await connectRaw(t, after.port(), kept('late'))
  const again = await third.expect('publish')
  assert.deepEqual([again.messageId, again.dup, again.qos], [messageId, true, 2])
  third.send({ cmd: 'pubrec', messageId: messageId! })
  assert.equal((await third.expect('pubrel')).messageId, messageId)
})
