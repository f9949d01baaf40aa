// MQTT 5.0, 3.1.2.11, 3.3.2.3.4 and 3.3.4: what a receiver allows: Receive Maximum, Maximum Packet Size, topic aliases.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openConfig, startBroker } from '../helpers/broker.ts'
import { connectRaw, kept, type PacketOf, type RawClient, tryConnect } from '../helpers/raw-client.ts'
import { tap } from './wire.ts'

const timeout = 20_000

for (const receiveMaximum of [1, 3, 20]) {
  test(`receive maximum: ${receiveMaximum} messages of QoS 1 and 2 wait for their end, and not one more`, {
    timeout,
  }, async (t) => {
    const port = (await startBroker(t)).port()
    const client = await connectRaw(t, port, { properties: { receiveMaximum } })
    await client.subscribe('a', { qos: 2 })
    const publisher = await connectRaw(t, port)
    const total = 2 * receiveMaximum + 5
    for (let index = 0; index < total; index += 1) {
      publisher.publish('a', `${index}`, { qos: index % 2 === 0 ? 1 : 2, messageId: index + 1 })
      await publisher.next()
    }
    const open: PacketOf<'publish'>[] = []
    for (let taken = 0; taken < total; ) {
      for (; taken < total && open.length < receiveMaximum; taken += 1) {
        const packet = await client.expect('publish')
        assert.equal(packet.payload.toString(), `${taken}`)
        open.push(packet)
      }
      await client.nothing()
      await endOne(client, open.shift()!)
    }
  })
}

/** PUBREC alone gives no room for another message. */
async function endOne(client: RawClient, { qos, messageId }: PacketOf<'publish'>): Promise<void> {
  if (qos === 1) return client.send({ cmd: 'puback', messageId: messageId! })
  client.send({ cmd: 'pubrec', messageId: messageId! })
  await client.expect('pubrel')
  await client.nothing()
  client.send({ cmd: 'pubcomp', messageId: messageId! })
}

test('receive maximum: a PUBREC that refuses gives room', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const client = await connectRaw(t, port, { properties: { receiveMaximum: 1 } })
  await client.subscribe('a', { qos: 2 })
  const publisher = await connectRaw(t, port)
  for (const messageId of [1, 2]) {
    publisher.publish('a', `${messageId}`, { qos: 2, messageId })
    await publisher.expect('pubrec')
  }
  const { messageId } = await client.expect('publish')
  await client.nothing()
  client.send({ cmd: 'pubrec', messageId: messageId!, reasonCode: 0x97 })
  assert.deepEqual(await client.texts(1), ['2'])
})

test('receive maximum: it is that of the connection, also for what is sent again', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const options = (receiveMaximum: number) => {
    const { properties, ...session } = kept('c')
    return { ...session, properties: { ...properties, receiveMaximum } }
  }
  const first = await connectRaw(t, port, options(5))
  await first.subscribe('a', { qos: 1 })
  const publisher = await connectRaw(t, port)
  for (let index = 0; index < 8; index += 1) await publisher.publishAcknowledged('a', `${index}`)
  assert.deepEqual(await first.texts(5), ['0', '1', '2', '3', '4'])
  await first.nothing()
  await first.cut()
  const second = await connectRaw(t, port, options(2))
  const texts: string[] = []
  for (let packets = [await second.expect('publish'), await second.expect('publish')]; ; ) {
    await second.nothing()
    const packet = packets.shift()!
    texts.push(packet.payload.toString())
    second.acknowledge(packet)
    if (texts.length === 8) break
    if (texts.length < 7) packets = [...packets, await second.expect('publish')]
  }
  assert.deepEqual(texts, ['0', '1', '2', '3', '4', '5', '6', '7'])
})

test('receive maximum: nothing but messages waits for it', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const { properties, ...session } = kept('c')
  const client = await connectRaw(t, port, { ...session, properties: { ...properties, receiveMaximum: 1 } })
  await client.subscribe('a', { qos: 1 })
  const publisher = await connectRaw(t, port)
  for (const text of ['1', '2']) await publisher.publishAcknowledged('a', text)
  await client.expect('publish')
  await client.nothing()
  assert.equal(await client.publishAcknowledged('b', ''), 0x10)
  client.publish('b', '', { qos: 2, messageId: 50 })
  await client.expect('pubrec')
  client.send({ cmd: 'pubrel', messageId: 50 })
  await client.expect('pubcomp')
  assert.deepEqual(await client.subscribe('c', { qos: 2 }), [2])
  client.send({ cmd: 'unsubscribe', messageId: 51, unsubscriptions: ['c'] })
  await client.expect('unsuback')
  // QoS 0 is not counted.
  await client.subscribe('d')
  publisher.publish('d', 'passes')
  assert.deepEqual(await client.texts(1), ['passes'])
  client.send({ cmd: 'pingresp' })
  await client.disconnected(0x82)
})

const maximumPacketSize = 60

for (const qos of [0, 1, 2] as const) {
  test(`packet size: a QoS ${qos} message that is too large is left out, and counts as delivered`, {
    timeout,
  }, async (t) => {
    const port = (await startBroker(t)).port()
    const { properties, ...session } = kept('c')
    const small = { ...session, properties: { ...properties, maximumPacketSize, receiveMaximum: 1 } }
    const publisher = await connectRaw(t, port)
    // Fixed header, topic, property length; the packet identifier.
    const fits = maximumPacketSize - 2 - 3 - 1 - (qos > 0 ? 2 : 0)
    const publish = async () => {
      for (const [index, bytes] of [fits, fits + 1, 10_000, fits].entries()) {
        publisher.publish('a', Buffer.alloc(bytes, index), { qos, messageId: index + 1 })
        if (qos > 0) await publisher.next()
        if (qos === 2) publisher.send({ cmd: 'pubrel', messageId: index + 1 })
        if (qos === 2) await publisher.expect('pubcomp')
      }
      await publisher.nothing()
    }
    const expectTwo = async (client: RawClient) => {
      for (const index of [0, 3]) {
        const packet = await client.expect('publish')
        assert.deepEqual([packet.payload.length, packet.payload[0]], [fits, index])
        if (qos > 0) await endOne(client, packet)
      }
      await client.nothing()
    }
    const live = await connectRaw(t, port, small)
    await live.subscribe('a', { qos })
    await publish()
    await expectTwo(live)
    await live.leave()
    if (qos === 0) return
    await publish()
    const back = await connectRaw(t, port, small)
    await expectTwo(back)
    await back.leave()
    // It would be taken now, but was delivered as far as the session knows.
    await (await connectRaw(t, port, kept('c'))).nothing()
  })
}

test('packet size: a retained message that is too large is left out', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const publisher = await connectRaw(t, port)
  publisher.publish('a/1', Buffer.alloc(100), { retain: true })
  publisher.publish('a/2', 'small', { retain: true })
  await publisher.nothing()
  const client = await connectRaw(t, port, { clientId: 'c', properties: { maximumPacketSize } })
  await client.subscribe('a/+', { qos: 1 })
  assert.deepEqual(await client.texts(1), ['small'])
  await client.nothing()
})

test('packet size: an answer that is too large is not sent, and the client is told why', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const client = await connectRaw(t, port, { clientId: 'c', properties: { maximumPacketSize: 30 } })
  const packets = tap(client)
  const subscriptions = Array.from({ length: 40 }, (_, index) => ({ topic: `a/${index}`, qos: 0 as const }))
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions })
  await client.disconnected(0x95)
  assert.ok(packets.every(({ length }) => length <= 30))
})

test('packet size: a reason string that makes a packet too large is left out', { timeout }, async (t) => {
  const port = (await startBroker(t, openConfig.replace(', acl-open', ''))).port()
  // "not authorized" has 14 bytes, PUBACK with it 2 + 3 + 1 + 3 + 14; CONNACK has 16.
  for (const [size, reasonString] of [
    [23, 'not authorized'],
    [22, undefined],
    [16, undefined],
  ] as const) {
    const options = { clientId: 'c', properties: { maximumPacketSize: size } }
    const client = await connectRaw(t, port, options)
    const packets = tap(client)
    client.publish('a', '', { qos: 1, messageId: 1 })
    const { reasonCode, properties } = await client.expect('puback')
    assert.deepEqual([reasonCode, properties?.reasonString], [0x87, reasonString])
    client.send({ cmd: 'pingresp' })
    await client.disconnected(0x82)
    assert.ok(packets.every(({ length }) => length <= size))
  }
})

test('topic alias: the broker uses no more than the client allows, never 0, and none if it allows none', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const publisher = await connectRaw(t, port)
  for (const properties of [{}, { topicAliasMaximum: 0 }, { topicAliasMaximum: 2 }, { topicAliasMaximum: 65_535 }]) {
    const client = await connectRaw(t, port, { properties })
    await client.subscribe('a/+')
    const allowed = 'topicAliasMaximum' in properties ? properties.topicAliasMaximum : 0
    const names = new Map<number, string>()
    for (const name of ['1', '2', '3', '1', '2', '3']) {
      publisher.publish(`a/${name}`, name)
      const { topic, payload, properties: got } = await client.expect('publish')
      const alias = got?.topicAlias
      if (alias !== undefined) {
        assert.ok(alias >= 1 && alias <= allowed, `alias ${alias}`)
        if (topic !== '') names.set(alias, topic)
      }
      assert.equal(topic === '' ? names.get(alias ?? 0) : topic, `a/${payload.toString()}`)
    }
    assert.equal(names.size, Math.min(allowed, 3))
  }
})

test('topic alias: the broker teaches its aliases anew on every connection', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const publisher = await connectRaw(t, port)
  const { properties, ...session } = kept('c')
  for (let connection = 0; connection < 2; connection += 1) {
    const client = await connectRaw(t, port, { ...session, properties: { ...properties, topicAliasMaximum: 5 } })
    await client.subscribe('a')
    publisher.publish('a', '')
    assert.equal((await client.expect('publish')).topic, 'a')
    publisher.publish('a', '')
    assert.equal((await client.expect('publish')).topic, '')
    await client.leave()
  }
})

test('topic alias: every alias up to the maximum of the broker is taken, and may be given anew', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const subscriber = await connectRaw(t, port)
  await subscriber.subscribe('#')
  const { client, connack } = await tryConnect(t, port)
  const maximum = connack.properties?.topicAliasMaximum ?? 0
  assert.ok(maximum > 0)
  for (const round of ['one', 'two']) {
    for (let topicAlias = 1; topicAlias <= maximum; topicAlias += 1) {
      client.publish(`${round}/${topicAlias}`, '', { properties: { topicAlias } })
      assert.equal((await subscriber.expect('publish')).topic, `${round}/${topicAlias}`)
    }
    for (let topicAlias = maximum; topicAlias >= 1; topicAlias -= 1) {
      client.publish('', '', { properties: { topicAlias } })
      const { topic, properties } = await subscriber.expect('publish')
      assert.deepEqual([topic, properties?.topicAlias], [`${round}/${topicAlias}`, undefined])
    }
  }
})

test('topic alias: those of a client end with its connection', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const first = await connectRaw(t, port, kept('c'))
  first.publish('a', '', { properties: { topicAlias: 1 } })
  first.publish('', '', { properties: { topicAlias: 1 } })
  await first.nothing()
  await first.leave()
  const second = await connectRaw(t, port, kept('c'))
  second.publish('', '', { properties: { topicAlias: 1 } })
  await second.disconnected(0x82)
})
