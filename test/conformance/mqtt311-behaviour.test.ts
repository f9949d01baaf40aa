// What MQTT 3.1.1 asks of wills, order, retained messages, SUBACK and WebSocket, where that differs from
// MQTT 5.0 or is shown elsewhere only with it (3.1.2, 3.2.2, 3.3.1, 3.9.3, 4.6, 6).
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import { startBroker } from '../helpers/broker.ts'
import { connectRaw, kept, openRaw, tryConnect } from '../helpers/raw-client.ts'

const timeout = 20_000
const version = 4
const word = (text: string): Buffer => Buffer.concat([Buffer.from([0, text.length]), Buffer.from(text)])

/** CONNECT of MQTT 3.1.1 with clean session and this client id. */
function connectBytes(clientId: string): Buffer {
  return Buffer.concat([
    Buffer.from([0x10, 12 + clientId.length]),
    word('MQTT'),
    Buffer.from([4, 2, 0, 60]),
    word(clientId),
  ])
}

test('conformance 3.1.1: a refused CONNECT leaves no will, an accepted one keeps it to the end of its connection', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const witness = await connectRaw(t, port, { version })
  await witness.subscribe('will/#')
  const will = (topic: string) => ({ topic, payload: Buffer.from('gone'), qos: 0, retain: false }) as const
  for (const clientId of ['bell\u0007', 'x'.repeat(129)]) {
    const refused = await tryConnect(t, port, { version, clientId, will: will('will/refused') })
    assert.equal(refused.code, 2)
    await refused.client.closed()
  }
  await witness.nothing()
  // A session that goes on does not hold the will back, nor does it publish it again.
  const client = await connectRaw(t, port, { ...kept('w', version), will: will('will/kept') })
  await witness.nothing()
  await client.cut()
  assert.deepEqual((await witness.expect('publish')).topic, 'will/kept')
  const back = await connectRaw(t, port, kept('w', version))
  await back.cut()
  const last = await connectRaw(t, port, { ...kept('w', version), will: will('will/last') })
  await witness.nothing()
  await last.leave()
  // Nor does it come with the next connection, which has none.
  await (await connectRaw(t, port, kept('w', version))).cut()
  await witness.nothing()
})

test('conformance 3.1.1: a DISCONNECT with reserved bits is none: the connection ends, and the will is published', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const witness = await connectRaw(t, port, { version })
  await witness.subscribe('will/+')
  for (const bytes of [
    [0xe1, 0],
    [0xe2, 0],
    [0xe8, 0],
    [0xe0, 1, 0],
  ]) {
    const will = { topic: 'will/malformed', payload: Buffer.from(bytes), qos: 0, retain: false } as const
    const client = await connectRaw(t, port, { version, will })
    client.bytes(bytes)
    await client.closed()
    assert.deepEqual((await witness.expect('publish')).payload, Buffer.from(bytes))
  }
})

test('conformance 3.1.1: a new subscription gets the last retained message of every topic that matches', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const publisher = await connectRaw(t, port, { version })
  for (const topic of ['r/a', 'r/b', 'r/b/c', 'r', 'other']) {
    await publisher.publishAcknowledged(topic, 'before', { retain: true })
    await publisher.publishAcknowledged(topic, topic, { retain: true })
  }
  const expected = {
    'r/+': ['r/a', 'r/b'],
    'r/#': ['r', 'r/a', 'r/b', 'r/b/c'],
    '+': ['other', 'r'],
    '+/b/c': ['r/b/c'],
  }
  for (const [filter, topics] of Object.entries(expected)) {
    const client = await connectRaw(t, port, { version })
    assert.deepEqual(await client.subscribe(filter), [0])
    const got: string[] = []
    for (const _ of topics) {
      const packet = await client.expect('publish')
      assert.deepEqual([packet.payload.toString(), packet.retain, packet.dup], [packet.topic, true, false])
      got.push(packet.topic)
    }
    assert.deepEqual(got.sort(), topics, filter)
    await client.nothing()
  }
})

test('conformance 3.1.1: QoS 0 messages of one client keep their order, also between those of QoS 1', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const receiver = await connectRaw(t, port, { version, answers: true })
  await receiver.subscribe('order', { qos: 1 })
  const publisher = await connectRaw(t, port, { version })
  const texts = Array.from({ length: 600 }, (_, index) => `${index}`)
  for (const [index, text] of texts.entries()) publisher.publish('order', text, { qos: index % 3 === 2 ? 1 : 0 })
  const got: Record<number, number[]> = { 0: [], 1: [] }
  for (const _ of texts) {
    const { qos, payload } = await receiver.expect('publish')
    got[qos]!.push(Number(payload.toString()))
  }
  const sent = texts.map(Number)
  assert.deepEqual(got, { 0: sent.filter((index) => index % 3 !== 2), 1: sent.filter((index) => index % 3 === 2) })
})

test('conformance 3.1.1: whatever refuses a filter, its return code is 0x80', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const client = await connectRaw(t, port, { version })
  // Not authorized, too long, too many levels; 0 to 2 for what is granted.
  const refused = ['$SYS/#', 'x'.repeat(1_025), 'a/'.repeat(40)]
  assert.deepEqual(await client.subscribe([...refused, 'fine'], { qos: 2 }), [0x80, 0x80, 0x80, 2])
  const many = Array.from({ length: 101 }, (_, index) => `many/${index}`)
  assert.deepEqual(await client.subscribe(many, { qos: 1 }), [...Array(100).fill(1), 0x80])
  client.publish('many/99', 'yes')
  client.publish('many/100', 'no')
  assert.deepEqual(await client.texts(1), ['yes'])
  await client.nothing()
})

test('conformance 3.1.1: a CONNECT that no return code fits is closed without CONNACK', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const client = await openRaw(t, port, { version })
  // Larger than what is read before a client is known.
  client.bytes([0x10, 0xff, 0xff, 0x7f])
  await client.closed()
})

test('conformance 3.1.1: packets come through WebSocket in binary frames, however they are cut', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port('ws')
  const rest = Buffer.from('8206000100016100300400016161c000e000', 'hex')
  const packets = Buffer.concat([connectBytes('web'), rest])
  for (const size of [1, 5, packets.length]) {
    const web = new WebSocket(`ws://127.0.0.1:${port}/mqtt`, 'mqtt')
    t.after(() => web.terminate())
    const received: Buffer[] = []
    web.on('message', (data: Buffer, isBinary) => {
      assert.equal(isBinary, true)
      received.push(data)
    })
    await once(web, 'open')
    assert.equal(web.protocol, 'mqtt')
    for (let start = 0; start < packets.length; start += size) web.send(packets.subarray(start, start + size))
    await once(web, 'close')
    assert.equal(Buffer.concat(received).toString('hex'), '20020000' + '9003000100' + '300400016161' + 'd000')
  }
})
