// CONNECT and CONNACK of MQTT 3.1.1, statement by statement (1.5, 2, 3.1, 3.2).
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { startBroker, temporaryFolder } from '../helpers/broker.ts'
import { writeFiles } from '../helpers/plugins.ts'
import { connectRaw, kept, openRaw, tryConnect } from '../helpers/raw-client.ts'

const timeout = 20_000
const version = 4

/** CONNECT with these flags and fields; each field gets its length in front. */
function connectBytes(
  flags: number,
  fields: readonly (string | Buffer)[],
  keepAlive = 60,
  name = 'MQTT',
  level = 4,
): Buffer {
  const text = fields.map((field) => {
    const bytes = Buffer.from(field as string)
    return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes])
  })
  const head = [0, name.length, ...Buffer.from(name), level, flags, keepAlive >> 8, keepAlive & 0xff]
  const body = Buffer.concat([Buffer.from(head), ...text])
  const length = body.length < 128 ? [body.length] : [0x80 | (body.length & 0x7f), body.length >> 7]
  return Buffer.concat([Buffer.from([0x10, ...length]), body])
}

/** All that comes until the broker closes, as hexadecimal. */
async function answerTo(t: Parameters<typeof openRaw>[0], port: number, bytes: Buffer): Promise<string> {
  const { socket } = await openRaw(t, port, { version })
  let received = ''
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString('hex')
  })
  socket.write(bytes)
  await once(socket, 'close')
  return received
}

test('conformance 3.1.1: a CONNECT that breaks the standard is closed without CONNACK', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const wrong: Readonly<Record<string, Buffer>> = {
    'its reserved flag': connectBytes(0x03, ['c']),
    'Will QoS without a will': connectBytes(0x0a, ['c']),
    'Will Retain without a will': connectBytes(0x22, ['c']),
    'Will QoS 3': connectBytes(0x1e, ['c', 'w', 'm']),
    'a will flag and no will': connectBytes(0x06, ['c']),
    'a will and no flag': connectBytes(0x02, ['c', 'w', 'm']),
    'a user name flag and no user name': connectBytes(0x82, ['c']),
    'a user name and no flag': connectBytes(0x02, ['c', 'u']),
    'a password flag and no password': connectBytes(0xc2, ['c', 'u']),
    'a password and no flag': connectBytes(0x82, ['c', 'u', 'p']),
    'a password and no user name': connectBytes(0x42, ['c', 'p']),
    'no client id': connectBytes(0x02, []),
    'a client id that is not UTF-8': connectBytes(0x02, [Buffer.from([0xc0, 0xaf])]),
    'a will topic that is not UTF-8': connectBytes(0x06, ['c', Buffer.from([0xed, 0xa0, 0x80]), 'm']),
    'a user name that is not UTF-8': connectBytes(0x82, ['c', Buffer.from([0xff])]),
    'U+0000 in the client id': connectBytes(0x02, ['a\0b']),
    'flags in the fixed header': Buffer.concat([Buffer.from([0x11]), connectBytes(0x02, ['c']).subarray(1)]),
  }
  for (const [what, bytes] of Object.entries(wrong)) assert.equal(await answerTo(t, port, bytes), '', what)
})

test('conformance 3.1.1: another protocol name is not served, another level is answered with return code 1', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  for (const name of ['mqtt', 'MQTTX', 'HTTP']) {
    assert.match(await answerTo(t, port, connectBytes(0x02, ['c'], 60, name)), /^(|20020001)$/)
  }
  for (const level of [1, 2, 6, 128, 255]) {
    assert.equal(await answerTo(t, port, connectBytes(0x02, ['c'], 60, 'MQTT', level)), '20020001')
  }
})

test('conformance 3.1.1: before CONNECT nothing is served, a second CONNECT ends the connection', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  for (const bytes of ['c000', '3003000161', '8206000100016100', 'e000', '40020001']) {
    assert.equal(await answerTo(t, port, Buffer.from(bytes, 'hex')), '')
  }
  const connect = connectBytes(0x02, ['twice'])
  assert.equal(await answerTo(t, port, Buffer.concat([connect, connect])), '20020000')
})

test('conformance 3.1.1: client ids of 1 to 23 letters and digits are taken, and tell the sessions apart', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const long = [
    '0123456789abcdefghijklm',
    'nopqrstuvwxyzABCDEFGHIJ',
    'KLMNOPQRSTUVWXYZ',
    'a'.repeat(22),
    'a'.repeat(23),
  ]
  const ids = ['0', 'a', 'A', 'aa', 'z', 'Z', ...long]
  for (const clientId of ids) {
    const client = await connectRaw(t, port, kept(clientId, version))
    assert.deepEqual(await client.subscribe(`for/${clientId}`, { qos: 1 }), [1])
    await client.leave()
  }
  const publisher = await connectRaw(t, port, { version })
  for (const clientId of ids) await publisher.publishAcknowledged(`for/${clientId}`, clientId)
  for (const clientId of ids) {
    const { client, connack } = await tryConnect(t, port, { ...kept(clientId, version), answers: true })
    assert.deepEqual([connack.returnCode, connack.sessionPresent], [0, true])
    assert.deepEqual(await client.texts(1), [clientId])
    await client.nothing()
  }
})

test('conformance 3.1.1: an empty client id gets one of its own with clean session, and return code 2 without', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const one = await connectRaw(t, port, { version, clientId: '' })
  const two = await connectRaw(t, port, { version, clientId: '' })
  await one.subscribe('both')
  await two.subscribe('both')
  one.publish('both', 'm')
  assert.deepEqual(await one.texts(1), ['m'])
  assert.deepEqual(await two.texts(1), ['m'])
  assert.equal(await answerTo(t, port, connectBytes(0x00, [''])), '20020002')
  assert.equal(await answerTo(t, port, connectBytes(0x02, ['x'.repeat(129)])), '20020002')
})

test('conformance 3.1.1: session present is 1 exactly where the session goes on', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const present = async (clean: boolean): Promise<boolean> => {
    const { client, connack } = await tryConnect(t, port, { version, clientId: 'p', clean })
    assert.equal(connack.returnCode, 0)
    await client.leave()
    return connack.sessionPresent
  }
  const told: boolean[] = []
  for (const clean of [false, false, true, false, false, true, true]) told.push(await present(clean))
  assert.deepEqual(told, [false, true, false, false, true, false, false])
})

test('conformance 3.1.1: clean session 0 resumes subscriptions and brings what came meanwhile, 1 discards all', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const first = await connectRaw(t, port, kept('s', version))
  await first.subscribe('s/+', { qos: 2 })
  await first.cut()
  const publisher = await connectRaw(t, port, { version, answers: true })
  await publisher.publishAcknowledged('s/1', 'one')
  publisher.publish('s/2', 'two', { qos: 2 })
  await publisher.expect('pubrec')
  await publisher.publishAcknowledged('s/retained', 'retained', { retain: true })
  const second = await connectRaw(t, port, { ...kept('s', version), answers: true })
  assert.deepEqual(await second.texts(3), ['one', 'two', 'retained'])
  await second.leave()
  await publisher.publishAcknowledged('s/3', 'three')
  const clean = await connectRaw(t, port, { version, clientId: 's', clean: true })
  await clean.nothing()
  // Nothing of the clean session is left for the next one either.
  await clean.subscribe('s/+', { qos: 1 })
  assert.deepEqual(await clean.texts(1), ['retained'])
  await clean.leave()
  const last = await connectRaw(t, port, kept('s', version))
  await publisher.publishAcknowledged('s/4', 'four')
  await last.nothing()
  // Retained messages belong to no session.
  await last.subscribe('s/retained')
  assert.deepEqual(await last.texts(1), ['retained'])
})

test('conformance 3.1.1: a will is published once when the connection is lost, as its QoS and RETAIN say', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const witness = await connectRaw(t, port, { version, answers: true })
  await witness.subscribe('will', { qos: 2 })
  const clearing = await connectRaw(t, port, { version })
  for (const qos of [0, 1, 2] as const) {
    for (const retain of [false, true]) {
      const will = { topic: 'will', payload: Buffer.from(`will ${qos}`), qos, retain }
      const client = await connectRaw(t, port, { version, clientId: 'w', will })
      await client.cut()
      const published = await witness.expect('publish')
      assert.deepEqual([published.payload.toString(), published.qos, published.retain], [`will ${qos}`, qos, false])
      // Once: not again when a connection without a will ends.
      await (await connectRaw(t, port, { version, clientId: 'w' })).cut()
      await witness.nothing()
      const late = await connectRaw(t, port, { version })
      await late.subscribe('will')
      if (retain) assert.deepEqual(await late.texts(1), [`will ${qos}`])
      await late.nothing()
      await late.leave()
      await clearing.publishAcknowledged('will', '', { retain: true })
      assert.deepEqual(await witness.texts(1), [''])
    }
  }
})

test('conformance 3.1.1: a will is published when the client breaks the standard, is silent, or is taken over', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const witness = await connectRaw(t, port, { version })
  await witness.subscribe('will/+')
  const will = (why: string) => ({ topic: `will/${why}`, payload: Buffer.alloc(0), qos: 0, retain: false }) as const
  const breaking = await connectRaw(t, port, { version, will: will('broken') })
  breaking.bytes([0x36, 0])
  await breaking.closed()
  assert.equal((await witness.expect('publish')).topic, 'will/broken')
  const taken = await connectRaw(t, port, { version, clientId: 'taken', will: will('taken') })
  await connectRaw(t, port, { version, clientId: 'taken' })
  await taken.closed()
  assert.equal((await witness.expect('publish')).topic, 'will/taken')
  const silent = await connectRaw(t, port, { version, keepalive: 1, will: will('silent') })
  const since = Date.now()
  await silent.closed()
  const silentMs = Date.now() - since
  assert.ok(silentMs >= 1_500 && silentMs < 4_000, `closed after ${silentMs} ms`)
  assert.equal((await witness.expect('publish')).topic, 'will/silent')
})

test('conformance 3.1.1: a client id that is connected already takes over', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const first = await connectRaw(t, port, kept('same', version))
  await first.subscribe('s', { qos: 1 })
  const { client, connack } = await tryConnect(t, port, kept('same', version))
  await first.closed()
  assert.deepEqual([connack.returnCode, connack.sessionPresent], [0, true])
  await client.nothing()
})

test('conformance 3.1.1: CONNACK comes first, and nothing that follows a refused CONNECT is taken up', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const witness = await connectRaw(t, port, { version })
  await witness.subscribe('#')
  const publish = Buffer.from('3006000361626364', 'hex')
  assert.equal(
    await answerTo(t, port, Buffer.concat([connectBytes(0x00, ['']), publish, Buffer.from('c000', 'hex')])),
    '20020002',
  )
  await witness.nothing()
  const client = await openRaw(t, port, { version })
  client.bytes(Buffer.concat([connectBytes(0x02, ['c']), publish, Buffer.from('c000', 'hex')]))
  await client.expect('connack')
  await client.expect('pingresp')
  assert.deepEqual(await witness.texts(1), ['d'])
})

test('conformance 3.1.1: every refusal has one of the five return codes, session present 0, and the end after it', {
  timeout,
}, async (t) => {
  const folder = await temporaryFolder(t)
  const zodUrl = import.meta.resolve('zod')
  await writeFiles(folder, {
    'package.json': '{ "type": "module" }',
    'some.js': `import { z } from ${JSON.stringify(zodUrl)}
export default { name: 'some', config: z.strictObject({}), setup: () => ({
  authenticate: ({ username }) => username === 'ok'
    ? { identity: { username, groups: [], roles: [], attributes: {} } }
    : { deny: 'no', ...(username === 'away' && { serverReference: 'elsewhere:1883' }) },
  authorizePublish: (_client, { topic }) => ({ allow: topic === 'fine', because: 'test' }),
  authorizeSubscribe: () => ({ allow: true, because: 'test' }),
}) }`,
  })
  const config = `
listeners: [{ name: tcp, type: tcp, port: 0 }]
store: { type: memory }
admin: { enabled: false }
plugins: [./some.js]
`
  const port = (await startBroker(t, config, folder)).port()
  // A session that is there is not told to who is refused.
  const owner = await openRaw(t, port, { version })
  owner.bytes(connectBytes(0x80, ['a', 'ok']))
  assert.equal((await owner.expect('connack')).returnCode, 0)
  await owner.leave()
  const refused: readonly (readonly [answer: string, bytes: Buffer])[] = [
    ['20020004', connectBytes(0x80, ['a', 'wrong'])],
    ['20020004', connectBytes(0x02, ['b'])],
    ['20020003', connectBytes(0x82, ['c', 'away'])],
    ['20020005', connectBytes(0x86, ['d', 'not/fine', 'm', 'ok'])],
    ['20020002', connectBytes(0x82, ['e\u0007', 'ok'])],
  ]
  for (const [answer, bytes] of refused) assert.equal(await answerTo(t, port, bytes), answer)
  const client = await openRaw(t, port, { version })
  client.bytes(connectBytes(0xc6, ['f', 'fine', 'm', 'ok', 'password']))
  assert.equal((await client.expect('connack')).returnCode, 0)
  const back = await openRaw(t, port, { version })
  back.bytes(connectBytes(0x80, ['a', 'ok']))
  assert.equal((await back.expect('connack')).sessionPresent, true)
})

test('conformance 3.1.1: what an authorization that fails on our side leaves open ends the connection', {
  timeout,
}, async (t) => {
  const folder = await temporaryFolder(t)
  const zodUrl = import.meta.resolve('zod')
  await writeFiles(folder, {
    'package.json': '{ "type": "module" }',
    'some.js': `import { z } from ${JSON.stringify(zodUrl)}
export default { name: 'some', config: z.strictObject({}), setup: () => ({
  authorizePublish: (_client, { topic }) => { if (topic === 'fails') throw new Error('for a test') },
}) }`,
  })
  const config = `
listeners: [{ name: tcp, type: tcp, port: 0 }]
store: { type: memory }
admin: { enabled: false }
plugins: [auth-anonymous, ./some.js, acl-open]
`
  const port = (await startBroker(t, config, folder)).port()
  const witness = await connectRaw(t, port, { version })
  await witness.subscribe('#')
  for (const qos of [0, 1, 2] as const) {
    const client = await connectRaw(t, port, { version })
    client.publish('fails', 'm', { qos })
    await client.closed()
  }
  await witness.nothing()
})
