// What random walks found (test/walk/), each as a story of its own.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Packet } from 'mqtt-packet'
import { startBroker, type TestBroker, temporaryFolder } from '../helpers/broker.ts'
import { connectRaw, kept, type PacketOf, tryConnect } from '../helpers/raw-client.ts'
import { snapshot } from '../helpers/snapshot.ts'

const deadline = { timeout: 20_000 }

function storedConfig(folder: string): string {
  return `
node: test
listeners: [{ name: tcp, type: tcp, port: 0 }]
store: { type: level, path: ${join(folder, 'data')}, durability: os }
admin: { enabled: false }
plugins: [auth-anonymous, acl-open]
`
}

async function startStored(t: TestContext): Promise<{ broker: TestBroker; again(): Promise<TestBroker> }> {
  const folder = await temporaryFolder(t)
  const broker = await startBroker(t, storedConfig(folder), folder)
  const again = async (): Promise<TestBroker> => {
    await broker.stop()
    return startBroker(t, storedConfig(folder), folder)
  }
  return { broker, again }
}

const textOf = ({ payload }: PacketOf<'publish'>): string => payload.toString()

test(
  'retained: a message that was not acknowledged before a restart comes again with RETAIN and its identifier',
  deadline,
  async (t) => {
    const { broker, again } = await startStored(t)
    const publisher = await connectRaw(t, broker.port())
    publisher.publish('a', 'state', { qos: 1, retain: true })
    await publisher.expect('puback')
    const before = await connectRaw(t, broker.port(), kept('reader'))
    const messageId = before.nextPacketId()
    before.send({
      cmd: 'subscribe',
      messageId,
      subscriptions: [{ topic: 'a', qos: 1 }],
      properties: { subscriptionIdentifier: 7 },
    })
    await before.expect('suback')
    assert.equal((await before.expect('publish')).retain, true)

    const reader = await connectRaw(t, (await again()).port(), { ...kept('reader'), clean: false })
    const publish = await reader.expect('publish')
    assert.deepEqual([publish.retain, publish.dup, publish.properties?.subscriptionIdentifier], [true, true, 7])
  },
)

test(
  'shared: a member that is away and subscribed by itself too gets both copies when it is back',
  deadline,
  async (t) => {
    const broker = await startBroker(t)
    const member = await connectRaw(t, broker.port(), kept('member'))
    await member.subscribe('a/#', { qos: 1 })
    await member.subscribe('$share/g/a/#', { qos: 1 })
    await member.subscribe('$share/h/a/#', { qos: 1 })
    member.send({ cmd: 'disconnect' } as never)
    const publisher = await connectRaw(t, broker.port())
    publisher.publish('a/b', 'hello', { qos: 1 })
    await publisher.expect('puback')
    const back = await connectRaw(t, broker.port(), { ...kept('member'), clean: false })
    const texts = []
    while (texts.length < 3) texts.push(textOf(await back.expect('publish')))
    assert.deepEqual(texts, ['hello', 'hello', 'hello'])
  },
)

test(
  'subscribe: a message sent before it does not belong to it, whatever that message waits for',
  deadline,
  async (t) => {
    const { broker } = await startStored(t)
    const keeper = await connectRaw(t, broker.port(), kept('keeper'))
    await keeper.subscribe('stored', { qos: 1 })
    const client = await connectRaw(t, broker.port())
    // The QoS 0 message waits behind the first one for the disk, and the subscription does not.
    client.send(
      { cmd: 'publish', topic: 'stored', payload: 'x', qos: 1, messageId: 100, retain: false, dup: false },
      { cmd: 'publish', topic: 'a', payload: 'before', qos: 0, retain: false, dup: false },
      { cmd: 'subscribe', messageId: 101, subscriptions: [{ topic: '+', qos: 0 }] },
      { cmd: 'publish', topic: 'a', payload: 'after', qos: 0, retain: false, dup: false },
    )
    const first = await client.next()
    const rest = [first, await client.next(), await client.next()]
    const texts = rest.flatMap((packet) => (packet.cmd === 'publish' ? [packet.payload.toString()] : []))
    assert.deepEqual(texts, ['after'])
  },
)

test(
  'session: a clean start is on disk before CONNACK, so that no crash brings the old session back',
  deadline,
  async (t) => {
    const folder = await temporaryFolder(t)
    const broker = await startBroker(t, storedConfig(folder), folder)
    await connectRaw(t, broker.port(), kept('reader'))
    await connectRaw(t, broker.port(), { clientId: 'reader', clean: true })
    // The files as a kill would leave them now.
    const crashed = await temporaryFolder(t)
    await snapshot(join(folder, 'data'), join(crashed, 'data'))
    const again = await startBroker(t, storedConfig(crashed), crashed)
    const { connack } = await tryConnect(t, again.port(), { ...kept('reader'), clean: false })
    assert.equal(connack.sessionPresent, false)
  },
)

test(
  'subscribe: what waits for the window is not lost when its subscription is lowered to QoS 0',
  deadline,
  async (t) => {
    const broker = await startBroker(t)
    const publisher = await connectRaw(t, broker.port())
    const away = await connectRaw(t, broker.port(), kept('reader'))
    await away.subscribe('a', { qos: 1 })
    await away.cut()
    for (const text of ['1', '2', '3']) await publisher.publishAcknowledged('a', text)
    const narrow = { properties: { sessionExpiryInterval: 3600, receiveMaximum: 1 } }
    const reader = await connectRaw(t, broker.port(), { ...kept('reader'), ...narrow, clean: false })
    const first = await reader.expect('publish')
    reader.acknowledge(first)
    reader.acknowledge(await reader.expect('publish'))
    await reader.expect('publish')
    await publisher.publishAcknowledged('a', '4')
    await publisher.publishAcknowledged('a', '5')
    assert.deepEqual(await reader.subscribe('a', { qos: 0, rh: 2 }), [0])
    await reader.cut()
    const back = await connectRaw(t, broker.port(), { ...kept('reader'), clean: false })
    assert.deepEqual(await back.texts(3), ['3', '4', '5'])
  },
)

test(
  'subscribe: what was queued before its subscription was lowered to QoS 0 is not lost by a restart',
  deadline,
  async (t) => {
    const { broker, again } = await startStored(t)
    const reader = await connectRaw(t, broker.port(), kept('reader'))
    await reader.subscribe('a/#', { qos: 1 })
    await reader.leave()
    // Another session keeps the stream filled.
    const other = await connectRaw(t, broker.port(), kept('other'))
    await other.subscribe('a/#', { qos: 1 })
    await other.leave()
    const publisher = await connectRaw(t, broker.port())
    for (const text of ['1', '2', '3']) await publisher.publishAcknowledged('a/b', text)
    const narrow = { properties: { sessionExpiryInterval: 3600, receiveMaximum: 1 } }
    const back = await connectRaw(t, broker.port(), { ...kept('reader'), ...narrow })
    assert.equal(textOf(await back.expect('publish')), '1')
    await back.subscribe('a/#', { qos: 0, rh: 2 })
    await back.cut()
    await publisher.publishAcknowledged('a/b', 'nobody keeps this for it')
    const restarted = await again()
    const last = await connectRaw(t, restarted.port(), { ...kept('reader'), answers: true })
    assert.deepEqual(await last.texts(3), ['1', '2', '3'])
    await last.nothing()
  },
)

test(
  'no local: a message that it held back stays held back when the subscription gives it up later',
  deadline,
  async (t) => {
    const { broker } = await startStored(t)
    const publisher = await connectRaw(t, broker.port())
    const reader = await connectRaw(t, broker.port(), kept('reader'))
    await reader.subscribe('a/#', { qos: 1, nl: true })
    await publisher.publishAcknowledged('a/1', 'not acknowledged')
    assert.equal(textOf(await reader.expect('publish')), 'not acknowledged')
    await reader.publishAcknowledged('a/2', 'its own')
    await reader.subscribe('a/#', { qos: 1, nl: false })
    await reader.cut()

    const again = await connectRaw(t, broker.port(), { ...kept('reader'), clean: false })
    await publisher.publishAcknowledged('a/3', 'the end')
    assert.deepEqual(
      [textOf(await again.expect('publish')), textOf(await again.expect('publish'))],
      ['not acknowledged', 'the end'],
    )
  },
)

test(
  'redelivery: after a restart it comes as it was sent, whatever subscriptions were made since',
  deadline,
  async (t) => {
    const { broker, again } = await startStored(t)
    const reader = await connectRaw(t, broker.port(), kept('reader'))
    await reader.subscribe('a', { qos: 2, id: 5 })
    const publisher = await connectRaw(t, broker.port())
    await publisher.publishAcknowledged('a', 'kept', { retain: true })
    const sent = await reader.expect('publish')
    await reader.subscribe('+', { qos: 0, rap: true, rh: 2, id: 3 })
    await reader.cut()
    const restarted = await again()
    const back = await connectRaw(t, restarted.port(), { ...kept('reader'), clean: false })
    const resent = await back.expect('publish')
    assert.equal(resent.dup, true)
    const form = ({ retain, qos, messageId, properties }: typeof sent) => ({ retain, qos, messageId, properties })
    assert.deepEqual(form(resent), form(sent))
  },
)

test(
  'session: after a clean start and a crash nothing comes that was kept for the session before it',
  deadline,
  async (t) => {
    const folder = await temporaryFolder(t)
    const broker = await startBroker(t, storedConfig(folder), folder)
    const reader = await connectRaw(t, broker.port(), kept('reader'))
    await reader.subscribe('$share/g/a', { qos: 1 })
    const publisher = await connectRaw(t, broker.port())
    await publisher.publishAcknowledged('a', 'for one member')
    reader.acknowledge(await reader.expect('publish'))
    await reader.leave()
    const other = await connectRaw(t, broker.port(), kept('other'))
    await other.subscribe('$share/g/a', { qos: 1 })
    await connectRaw(t, broker.port(), { ...kept('reader'), clean: true })
    const crashed = await temporaryFolder(t)
    await snapshot(join(folder, 'data'), join(crashed, 'data'))
    const again = await startBroker(t, storedConfig(crashed), crashed)
    const back = await connectRaw(t, again.port(), { ...kept('other'), clean: false })
    await connectRaw(t, again.port(), { ...kept('reader'), clean: false })
    await (await connectRaw(t, again.port())).publishAcknowledged('a', 'new')
    assert.deepEqual(await back.texts(1), ['new'])
  },
)

test(
  'session: what was queued and came with QoS 0 after its subscription was lowered comes once, also after a crash',
  deadline,
  async (t) => {
    const folder = await temporaryFolder(t)
    const broker = await startBroker(t, storedConfig(folder), folder)
    const reader = await connectRaw(t, broker.port(), kept('reader'))
    const subscribe = (qos: 0 | 1): Packet => ({
      cmd: 'subscribe',
      messageId: reader.nextPacketId(),
      subscriptions: [{ topic: 'a', qos }],
    })
    // Others write all the time, so that a checkpoint of a cursor would not be written beside.
    const busy = await connectRaw(t, broker.port(), kept('busy'))
    await busy.subscribe('busy', { qos: 1 })
    const messageId = reader.nextPacketId()
    const publish: Packet = {
      cmd: 'publish',
      topic: 'a',
      payload: 'once',
      qos: 1,
      dup: false,
      retain: false,
      messageId,
    }
    for (let n = 0; n < 500; n += 1) busy.publish('busy', '', { qos: 1 })
    reader.send(subscribe(1), publish, subscribe(0))
    let first = await reader.next()
    while (first.cmd !== 'publish') first = await reader.next()
    assert.equal(first.qos, 0)
    const crashed = await temporaryFolder(t)
    await snapshot(join(folder, 'data'), join(crashed, 'data'))
    const again = await startBroker(t, storedConfig(crashed), crashed)
    const back = await connectRaw(t, again.port(), { ...kept('reader'), clean: false })
    await (await connectRaw(t, again.port())).publishAcknowledged('a', 'new')
    assert.deepEqual(await back.texts(1), ['new'])
  },
)

test(
  'session: what came with QoS 0 after its subscription was lowered does not come again behind one that is not acknowledged',
  deadline,
  async (t) => {
    const { broker } = await startStored(t)
    const sender = await connectRaw(t, broker.port())
    const first = await connectRaw(t, broker.port(), {
      ...kept('reader'),
      properties: { receiveMaximum: 1, sessionExpiryInterval: 600 },
    })
    await first.subscribe('a', { qos: 1 })
    for (const text of ['0', '1', '2']) await sender.publishAcknowledged('a', text)
    await first.expect('publish')
    await first.subscribe('a', { qos: 0 })
    await first.cut()
    const second = await connectRaw(t, broker.port(), { ...kept('reader'), clean: false })
    assert.deepEqual(await second.texts(3), ['0', '1', '2'])
    await second.cut()
    const third = await connectRaw(t, broker.port(), { ...kept('reader'), clean: false })
    await sender.publishAcknowledged('a', 'new')
    assert.deepEqual(await third.texts(2), ['0', 'new'])
  },
)

test(
  'order: what was published before a subscription was lowered to QoS 0 comes before what was published after',
  deadline,
  async (t) => {
    const { broker } = await startStored(t)
    for (let round = 0; round < 10; round += 1) {
      const reader = await connectRaw(t, broker.port(), { ...kept('reader'), clean: true, answers: true })
      await reader.subscribe('a', { qos: 1 })
      const sender = await connectRaw(t, broker.port(), { clientId: 'sender' })
      const sent: string[] = []
      const publishSome = (count: number): void => {
        for (const end = sent.length + count; sent.length < end; ) {
          sender.publish('a', String(sent.length), { qos: 1 })
          sent.push(String(sent.length))
        }
      }
      publishSome(20)
      const messageId = reader.nextPacketId()
      reader.send({ cmd: 'subscribe', messageId, subscriptions: [{ topic: 'a', qos: 0 }] })
      for (let turn = 0; turn < 20; turn += 1) {
        publishSome(3)
        await nextTurn()
      }
      const got: PacketOf<'publish'>[] = []
      while (got.length < sent.length) {
        const packet = await reader.next()
        if (packet.cmd === 'publish') got.push(packet)
      }
      assert.deepEqual(got.map(textOf), sent)
      await reader.cut()
      await sender.cut()
    }
  },
)
