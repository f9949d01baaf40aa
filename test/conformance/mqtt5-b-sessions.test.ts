// Session state, redelivery, order and flow control (MQTT 5.0 and 3.1.1, 4.1, 4.4 - 4.6; MQTT 5.0, 4.9).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startBroker } from '../helpers/broker.ts'
import { connectRaw, kept, type RawClient, tryConnect } from '../helpers/raw-client.ts'

const timeout = 30_000
const versions = [4, 5] as const

function numbers(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${index}`)
}

async function publishAll(publisher: RawClient, topic: string, texts: readonly string[], qos: 1 | 2): Promise<void> {
  for (const text of texts) publisher.publish(topic, text, { qos })
  for (const _ of texts) await publisher.expect(qos === 1 ? 'puback' : 'pubrec')
}

test('conformance: session state lasts as long as the connection, and as its expiry after it', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const short = { clientId: 'short', clean: false, properties: { sessionExpiryInterval: 1 } } as const
  const open = await connectRaw(t, port, short)
  const none = await connectRaw(t, port, { clientId: 'none', clean: false })
  const old = await connectRaw(t, port, { clientId: 'old', version: 4 })
  for (const client of [open, none, old]) await client.subscribe('state', { qos: 1 })
  // Longer than the expiry, and than the second in which the broker looks for what has expired.
  await new Promise((resolve) => setTimeout(resolve, 2_500))
  const publisher = await connectRaw(t, port)
  await publisher.publishAcknowledged('state', 'still there')
  for (const client of [open, none, old]) assert.deepEqual(await client.texts(1), ['still there'])
  await open.leave()
  const inTime = await tryConnect(t, port, short)
  assert.equal(inTime.connack.sessionPresent, true)
  await inTime.client.cut()
  await new Promise((resolve) => setTimeout(resolve, 2_500))
  const late = await tryConnect(t, port, short)
  assert.equal(late.connack.sessionPresent, false)
  await late.client.nothing()
  await none.cut()
  await old.cut()
  assert.equal((await tryConnect(t, port, { clientId: 'none', clean: false })).connack.sessionPresent, false)
  assert.equal((await tryConnect(t, port, { clientId: 'old', clean: false, version: 4 })).connack.sessionPresent, false)
})

test('conformance: a message is added to the session of every client that has a matching subscription', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  for (const version of versions) {
    const topic = `all/${version}`
    const filters = [topic, 'all/+', '#', `+/${version}/#`]
    const here: RawClient[] = []
    for (const [index, filter] of filters.entries()) {
      const connected = await connectRaw(t, port, { version })
      await connected.subscribe(filter)
      here.push(connected)
      const leaving = await connectRaw(t, port, kept(`away-${version}-${index}`, version))
      await leaving.subscribe(filter, { qos: 1 })
      await leaving.leave()
    }
    const other = await connectRaw(t, port, { version })
    await other.subscribe(['all', `${topic}/more`, 'All/+'])
    const publisher = await connectRaw(t, port, { version })
    await publisher.publishAcknowledged(topic, 'm')
    for (const client of here) assert.deepEqual(await client.texts(1), ['m'])
    await other.nothing()
    for (const index of filters.keys()) {
      const back = await connectRaw(t, port, kept(`away-${version}-${index}`, version))
      assert.deepEqual(await back.texts(1), ['m'])
    }
    for (const client of here) await client.leave()
  }
})

test('conformance: a reconnect brings what was not acknowledged, in the original order with the original identifiers', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  for (const version of versions) {
    const options = kept(`again-${version}`, version)
    const first = await connectRaw(t, port, options)
    await first.subscribe('again', { qos: 2 })
    const publisher = await connectRaw(t, port, { version })
    for (const text of numbers(10)) await publishAll(publisher, 'again', [text], text === '4' || text === '6' ? 2 : 1)
    const ids: number[] = []
    for (const text of numbers(10)) {
      const packet = await first.expect('publish')
      assert.equal(packet.payload.toString(), text)
      ids.push(packet.messageId!)
    }
    // The third is acknowledged, the seventh is received, and all others come again, before anything new.
    first.send({ cmd: 'puback', messageId: ids[2]! }, { cmd: 'pubrec', messageId: ids[6]! })
    await first.expect('pubrel')
    await first.nothing()
    await first.cut()
    await publishAll(publisher, 'again', ['new'], 1)
    const second = await connectRaw(t, port, options)
    for (const index of [0, 1, 3, 4, 5, 6, 7, 8, 9]) {
      const packet = await second.next()
      assert.equal(packet.messageId, ids[index])
      assert.equal(packet.cmd, index === 6 ? 'pubrel' : 'publish')
      if (packet.cmd === 'publish') assert.equal(packet.dup, true)
    }
    const fresh = await second.expect('publish')
    assert.deepEqual([fresh.payload.toString(), fresh.dup], ['new', false])
    assert.equal(ids.includes(fresh.messageId!), false)
    await second.nothing()
  }
})

test('conformance: nothing is sent again while the connection lives', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  for (const version of versions) {
    const client = await connectRaw(t, port, kept(`live-${version}`, version))
    await client.subscribe('live', { qos: 2 })
    const publisher = await connectRaw(t, port, { version })
    await publishAll(publisher, 'live', ['one'], 1)
    await publishAll(publisher, 'live', ['two'], 2)
    assert.deepEqual(await client.texts(2), ['one', 'two'])
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    await client.nothing()
  }
})

for (const qos of [1, 2] as const) {
  test(`conformance: messages of one client reach each receiver in their order, QoS ${qos}`, { timeout }, async (t) => {
    const port = (await startBroker(t)).port()
    for (const version of versions) {
      const texts = numbers(500)
      const live = await connectRaw(t, port, { version, answers: true })
      await live.subscribe('order/#', { qos })
      const away = await connectRaw(t, port, kept(`away-${version}`, version))
      await away.subscribe('order/+', { qos })
      await away.leave()
      const publisher = await connectRaw(t, port, { version })
      await publishAll(publisher, `order/${version}`, texts, qos)
      assert.deepEqual(await live.texts(texts.length), texts)
      const back = await connectRaw(t, port, { ...kept(`away-${version}`, version), answers: true })
      assert.deepEqual(await back.texts(texts.length), texts)
    }
  })
}

test('conformance: acknowledgements leave in the order of what they acknowledge', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  for (const version of versions) {
    const receiver = await connectRaw(t, port, kept(`acks-${version}`, version))
    await receiver.subscribe('acks', { qos: 2 })
    const publisher = await connectRaw(t, port, kept(`sends-${version}`, version))
    const ids = [9, 3, 7, 1, 8, 2]
    // Some topics have nobody who subscribed: those need not wait for the disk, and wait for their turn all the same.
    const publishes = (qos: 1 | 2) =>
      ids.map((messageId) => {
        const topic = messageId % 2 === 0 ? 'nobody' : 'acks'
        return { cmd: 'publish', topic, payload: '', qos, dup: false, retain: false, messageId } as const
      })
    // All in one write, so that the broker has them all before it answers the first.
    publisher.send(...publishes(1))
    for (const id of ids) assert.equal((await publisher.expect('puback')).messageId, id)
    publisher.send(...publishes(2))
    for (const id of ids) assert.equal((await publisher.expect('pubrec')).messageId, id)
    publisher.send(...ids.map((messageId) => ({ cmd: 'pubrel', messageId }) as const))
    for (const id of ids) assert.equal((await publisher.expect('pubcomp')).messageId, id)
    // PUBREL leaves in the order of PUBREC.
    const received: number[] = []
    for (let count = 0; count < 8; count += 1) {
      const { messageId, qos } = await receiver.expect('publish')
      if (qos === 2) received.push(messageId!)
    }
    received.reverse()
    for (const messageId of received) receiver.send({ cmd: 'pubrec', messageId })
    for (const messageId of received) assert.equal((await receiver.expect('pubrel')).messageId, messageId)
  }
})

test('conformance: no more than Receive Maximum are unacknowledged, and everything else goes on', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const client = await connectRaw(t, port, { properties: { receiveMaximum: 3 } })
  await client.subscribe('flow', { qos: 2 })
  const publisher = await connectRaw(t, port)
  await publishAll(publisher, 'flow', numbers(8), 1)
  const sent = [await client.expect('publish'), await client.expect('publish'), await client.expect('publish')]
  await client.nothing()
  // With no quota left, QoS 0 and all other packets are sent and answered.
  publisher.publish('flow', 'quick')
  await publisher.nothing()
  assert.deepEqual(await client.texts(1), ['quick'])
  assert.deepEqual(await client.subscribe('more', { qos: 1 }), [1])
  client.send({ cmd: 'unsubscribe', messageId: 77, unsubscriptions: ['more'] })
  assert.equal((await client.expect('unsuback')).messageId, 77)
  assert.equal(await client.publishAcknowledged('mine', 'm'), 0x10)
  // Each acknowledgement makes room for one, whatever it says.
  client.acknowledge(sent[1]!)
  assert.deepEqual(await client.texts(1), ['3'])
  await client.nothing()
  client.send({ cmd: 'puback', messageId: sent[0]!.messageId!, reasonCode: 0x80 })
  assert.deepEqual(await client.texts(1), ['4'])
  await client.nothing()
  client.acknowledge(sent[2]!)
  assert.deepEqual(await client.texts(1), ['5'])
  // A QoS 2 delivery holds its place until PUBCOMP.
  const two = await connectRaw(t, port, { properties: { receiveMaximum: 1 } })
  await two.subscribe('flow/2', { qos: 2 })
  await publishAll(publisher, 'flow/2', ['a', 'b'], 2)
  const { messageId } = await two.expect('publish')
  two.send({ cmd: 'pubrec', messageId: messageId! })
  await two.expect('pubrel')
  await two.nothing()
  two.send({ cmd: 'pubcomp', messageId: messageId! })
  assert.deepEqual(await two.texts(1), ['b'])
})
