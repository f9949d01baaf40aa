// Topic names and filters, shared subscriptions, WebSocket (MQTT 5.0, 4.7, 4.8, 6; 3.1.1, 4.7, 6).
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import { openConfig, startBroker, temporaryFolder } from '../helpers/broker.ts'
import { writeFiles } from '../helpers/plugins.ts'
import { connectRaw, kept, openRaw } from '../helpers/raw-client.ts'

const timeout = 20_000
const versions = [4, 5] as const

function publishBytes(version: 4 | 5, topic: Buffer): Buffer {
  const body = [topic.length >> 8, topic.length & 0xff, ...topic, ...(version === 5 ? [0] : [])]
  return Buffer.from([0x30, body.length, ...body])
}

function subscribeBytes(version: 4 | 5, filter: string): Buffer {
  const text = Buffer.from(filter)
  const body = [0, 7, ...(version === 5 ? [0] : []), text.length >> 8, text.length & 0xff, ...text, 0]
  return Buffer.from([0x82, body.length, ...body])
}

test('conformance: a topic name with a wildcard, with U+0000 or without a character ends the connection', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const rows = [
    ['a/+', 0x90],
    ['#', 0x90],
    ['a+b', 0x90],
    ['a\0b', 0x81],
    ['', 0x82],
  ] as const
  for (const [topic, code] of rows) {
    for (const version of versions) {
      const client = await connectRaw(t, port, { version })
      client.bytes(publishBytes(version, Buffer.from(topic)))
      await client.disconnected(code)
    }
  }
})

test('conformance: a filter with a wildcard beside other characters, # before its end, or nothing in it ends the connection', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  for (const filter of ['a#', 'a/#/b', '#/', '##', 'a/b#', 'a+', '+a/b', 'a/b+/c', '++', '']) {
    for (const version of versions) {
      const client = await connectRaw(t, port, { version })
      client.bytes(subscribeBytes(version, filter))
      await client.disconnected(0x8f)
    }
  }
  for (const version of versions) {
    const client = await connectRaw(t, port, { version })
    const good = ['#', 'a/#', '+', '+/+', '/+', 'a/+/b/#', '+/a/#', '/', '//', ' ', '/#']
    assert.deepEqual(await client.subscribe(good), Array(good.length).fill(0))
  }
})

test('conformance: # stands for the level above it and all below, + for exactly one', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const matches = [
    ['sport/tennis/#', ['sport/tennis', 'sport/tennis/a', 'sport/tennis/a/b'], ['sport', 'sport/tennis2']],
    ['sport/+', ['sport/', 'sport/a'], ['sport', 'sport/a/b']],
    ['+/+', ['/finance', 'a/b'], ['a', 'a/b/c']],
    ['/+', ['/finance'], ['finance', '/a/b']],
    ['+', ['finance'], ['/finance']],
    ['a/+/c', ['a/b/c', 'a//c'], ['a/c', 'a/b/d']],
  ] as const
  for (const version of versions) {
    for (const [filter, yes, no] of matches) {
      const client = await connectRaw(t, port, { version })
      await client.subscribe(filter)
      for (const topic of [...no, ...yes]) client.publish(topic, topic)
      assert.deepEqual(await client.texts(yes.length), [...yes], filter)
      await client.nothing()
      await client.leave()
    }
  }
})

test('conformance: a leading wildcard does not match topics that begin with $, retained ones neither', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const publisher = await connectRaw(t, port)
  await publisher.publishAcknowledged('$own/a', 'retained', { retain: true })
  for (const version of versions) {
    const client = await connectRaw(t, port, { version })
    await client.subscribe(['#', '+/a', '+/#', '/#'])
    await publisher.publishAcknowledged('$own/a', 'live')
    await client.nothing()
    assert.deepEqual(await client.subscribe('$own/+'), [0])
    assert.deepEqual(await client.texts(1), ['retained'])
    await publisher.publishAcknowledged('$own/a', 'live')
    assert.deepEqual(await client.texts(1), ['live'])
  }
})

test('conformance: topic names are not changed: case, spaces, empty levels and unnormalized characters count', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const names = [
    'Accounts',
    'accounts',
    'accounts ',
    ' accounts',
    '/accounts',
    'accounts/',
    'a//b',
    'a/b',
    '\u00e5',
    'a\u030a',
  ]
  const more = ['\u212b', '\uff21', 'A', '\u{10ffff}', '\ufffd', '\u200b', '%20', 'a\\b', 'a.b', '*', 'a?']
  for (const version of versions) {
    for (const name of [...names, ...more]) {
      const client = await connectRaw(t, port, { version })
      await client.subscribe(name)
      for (const topic of [...names, ...more]) client.publish(topic, topic)
      const { topic } = await client.expect('publish')
      assert.equal(topic, name)
      await client.nothing()
      await client.leave()
    }
  }
})

test('conformance: the longest topic that a packet can carry arrives, longer ones than the setting are refused', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t, `${openConfig}\nlimits: { topicMaxBytes: 65535 }\n`)).port()
  for (const version of versions) {
    const client = await connectRaw(t, port, { version })
    const topic = 'x'.repeat(65_535)
    assert.deepEqual(await client.subscribe(topic), [0])
    client.publish(topic, 'm')
    assert.equal((await client.expect('publish')).topic, topic)
  }
  const limited = await connectRaw(t, (await startBroker(t)).port())
  assert.equal(await limited.publishAcknowledged('x'.repeat(1_025), 'm'), 0x90)
  assert.deepEqual(await limited.subscribe('x'.repeat(1_025)), [0x8f])
})

test('conformance: no plugin brings a topic onto the wire that is none', { timeout }, async (t) => {
  const folder = await temporaryFolder(t)
  await writeFiles(folder, {
    'package.json': '{ "type": "module" }',
    'grows.js': `import { z } from ${JSON.stringify(import.meta.resolve('zod'))}
export default { name: 'grows', config: z.strictObject({}), setup(broker) { return {
  async onPublish(message) {
    if (message.topic === 'ask') {
      const refused = await broker.publish({ topic: 'x'.repeat(65536), payload: '' }).catch((error) => error.message)
      return { ...message, payload: Buffer.from(String(refused)) }
    }
    if (message.topic === 'longest') return { ...message, topic: 'x'.repeat(65535) }
    return message.topic === 'grow' ? { ...message, topic: 'x'.repeat(65536) } : message
  },
} } }`,
  })
  const config = openConfig.replace('[auth-anonymous,', '[./grows.js, auth-anonymous,')
  const port = (await startBroker(t, config, folder)).port()
  const witness = await connectRaw(t, port, kept('w'))
  await witness.subscribe('#')
  const client = await connectRaw(t, port)
  // Dropped, as whatever a plugin makes that is no message.
  await client.publishAcknowledged('grow', 'm')
  await witness.nothing()
  await client.publishAcknowledged('longest', 'm')
  assert.equal((await witness.expect('publish')).topic.length, 65_535)
  await client.publishAcknowledged('ask', '')
  assert.match((await witness.texts(1))[0]!, /is no topic to publish to$/)
})

test('conformance: a share name has at least one character, no wildcard, and a filter after it', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  for (const filter of [
    '$share/',
    '$share//a',
    '$share/s',
    '$share/s/',
    '$share/s+/a',
    '$share/#/a',
    '$share/s/a#',
    '$share/+/a',
  ]) {
    for (const version of versions) {
      const client = await connectRaw(t, port, { version })
      client.bytes(subscribeBytes(version, filter))
      await client.disconnected(0x8f)
    }
  }
  for (const version of versions) {
    const client = await connectRaw(t, port, { version })
    // `$share` alone, and with another case, are filters like others.
    assert.deepEqual(
      await client.subscribe(['$share/s/a/+', '$share/\u00fc/#', '$share/s//', '$share', '$Share/s/own']),
      [0, 0, 0, 0, 0],
    )
    client.publish('$Share/s/own', 'm')
    assert.deepEqual(await client.texts(1), ['m'])
    await client.leave()
  }
})

test('conformance: a shared subscription delivers with the QoS that its member was granted', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  for (const version of versions) {
    for (const granted of [0, 1, 2] as const) {
      const member = await connectRaw(t, port, { version, answers: true })
      assert.deepEqual(await member.subscribe('$share/s/q', { qos: granted }), [granted])
      const publisher = await connectRaw(t, port, { version, answers: true })
      for (const qos of [0, 1, 2] as const) {
        publisher.publish('q', 'm', { qos })
        assert.equal((await member.expect('publish')).qos, Math.min(qos, granted))
      }
      await member.leave()
    }
  }
})

/** Two members, whose sessions are kept: the one who was given the message, its client id, and the other. */
async function shareOne(t: Parameters<typeof connectRaw>[0], port: number, qos: 1 | 2) {
  const members = [await connectRaw(t, port, kept('m0')), await connectRaw(t, port, kept('m1'))] as const
  for (const member of members) await member.subscribe('$share/s/once', { qos: 2 })
  const publisher = await connectRaw(t, port, { answers: true })
  publisher.publish('once', 'm', { qos })
  await publisher.expect(qos === 1 ? 'puback' : 'pubrec')
  while (members.every((member) => member.pending.length === 0)) await new Promise((resolve) => setImmediate(resolve))
  return members[0].pending.length > 0
    ? { chosen: members[0], chosenId: 'm0', other: members[1] }
    : { chosen: members[1], chosenId: 'm1', other: members[0] }
}

test('conformance: a shared QoS 2 delivery that was cut off is ended with the same member', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const { chosen, chosenId, other } = await shareOne(t, port, 2)
  const { messageId } = await chosen.expect('publish')
  await chosen.cut()
  const back = await connectRaw(t, port, kept(chosenId))
  const again = await back.expect('publish')
  assert.deepEqual([again.messageId, again.dup, again.payload.toString()], [messageId, true, 'm'])
  back.send({ cmd: 'pubrec', messageId: messageId! })
  assert.equal((await back.expect('pubrel')).messageId, messageId)
  back.send({ cmd: 'pubcomp', messageId: messageId! })
  await back.nothing()
  await other.nothing()
})

test('conformance: a shared QoS 2 delivery whose session ends goes to nobody else', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const { chosen, other } = await shareOne(t, port, 2)
  await chosen.expect('publish')
  await chosen.leave({ sessionExpiryInterval: 0 })
  await other.nothing()
})

test('conformance: a shared message that a member refuses goes to nobody else', { timeout }, async (t) => {
  for (const qos of [1, 2] as const) {
    const port = (await startBroker(t)).port()
    const { chosen, other } = await shareOne(t, port, qos)
    const { messageId } = await chosen.expect('publish')
    chosen.send({ cmd: qos === 1 ? 'puback' : 'pubrec', messageId: messageId!, reasonCode: 0x83 })
    await chosen.nothing()
    await other.nothing()
    await chosen.leave({ sessionExpiryInterval: 0 })
    await other.nothing()
  }
})

test('conformance: MQTT comes through TCP and WebSocket as an ordered stream', { timeout }, async (t) => {
  const broker = await startBroker(t)
  const tcp = await openRaw(t, broker.port())
  const packets = Buffer.from(`${connectHex}8207000100000161003005000161006dc000`, 'hex')
  tcp.bytes(packets)
  assert.equal((await tcp.expect('connack')).reasonCode, 0)
  await tcp.expect('suback')
  assert.deepEqual(await tcp.texts(1), ['m'])
  await tcp.expect('pingresp')
  await tcp.leave()
  const answers = /^20.*9004000100003005000161006dd000$/
  // The same packets, one byte in each frame, all in one frame, and cut in the middle.
  for (const size of [1, packets.length, 7]) {
    const web = await dialWeb(t, broker.port('ws'))
    const received = untilHex(web, /d000$/)
    for (let start = 0; start < packets.length; start += size) web.send(packets.subarray(start, start + size))
    assert.match(await received, answers)
    web.terminate()
  }
})

test('conformance: a WebSocket text frame ends the connection', { timeout }, async (t) => {
  const web = await dialWeb(t, (await startBroker(t)).port('ws'))
  web.on('message', () => assert.fail('it was answered'))
  const closed = once(web, 'close')
  // In a binary frame it would be welcome.
  web.send(Buffer.from(connectHex, 'hex'), { binary: false })
  assert.equal((await closed)[0], 1003)
})

test('conformance: the WebSocket subprotocol is mqtt, and without it nobody comes in', { timeout }, async (t) => {
  const port = (await startBroker(t)).port('ws')
  const web = await dialWeb(t, port, ['other', 'mqtt'])
  assert.equal(web.protocol, 'mqtt')
  for (const protocols of [[], ['other']]) {
    const refused = new WebSocket(`ws://127.0.0.1:${port}/mqtt`, protocols)
    const [error] = (await once(refused, 'error')) as [Error]
    assert.match(error.message, /40\d/)
  }
})

/** MQTT 5, clean start, client id "c". */
const connectHex = '100e00044d5154540502003c00000163'

async function dialWeb(t: Parameters<typeof connectRaw>[0], port: number, protocols = ['mqtt']): Promise<WebSocket> {
  const web = new WebSocket(`ws://127.0.0.1:${port}/mqtt`, protocols)
  t.after(() => web.terminate())
  await once(web, 'open')
  return web
}

async function untilHex(web: WebSocket, pattern: RegExp): Promise<string> {
  let received = ''
  return new Promise((resolve) => {
    web.on('message', (data: Buffer) => {
      received += data.toString('hex')
      if (pattern.test(received)) resolve(received)
    })
  })
}
