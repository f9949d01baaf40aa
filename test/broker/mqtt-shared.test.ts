// Shared subscriptions: each message to one member, nothing lost when a member leaves (MQTT 5.0, 4.8.2).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startBroker, temporaryFolder } from '../helpers/broker.ts'
import { openWith } from '../helpers/open-config.ts'
import { connectRaw, kept, type RawClient, type Version } from '../helpers/raw-client.ts'

const timeout = 20_000
const shared = '$share/g/a'
const numbers = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => `${from + index}`)

async function publishNumbers(publisher: RawClient, from: number, to: number, qos: 1 | 2 = 1): Promise<void> {
  for (const text of numbers(from, to)) {
    publisher.publish('a', text, { qos })
    await publisher.expect(qos === 1 ? 'puback' : 'pubrec')
  }
}

async function member(t: Parameters<typeof connectRaw>[0], port: number, options = {}, qos: 0 | 1 | 2 = 1) {
  const client = await connectRaw(t, port, options)
  await client.subscribe(shared, { qos })
  return client
}

for (const version of [4, 5] as Version[]) {
  test(`shared: members take turns, a second group and others get everything (protocol level ${version})`, {
    timeout,
  }, async (t) => {
    const port = (await startBroker(t)).port()
    const members = [await member(t, port, { version }), await member(t, port, { version }), await member(t, port)]
    const alone = await connectRaw(t, port, { version })
    await alone.subscribe('$share/h/a', { qos: 1 })
    const plain = await connectRaw(t, port)
    await plain.subscribe('a')
    await publishNumbers(await connectRaw(t, port), 0, 30)
    const got = await Promise.all(members.map((client) => client.texts(10)))
    assert.deepEqual(
      got.flat().sort((a, b) => Number(a) - Number(b)),
      numbers(0, 30),
    )
    for (const client of members) await client.nothing()
    assert.deepEqual(await alone.texts(30), numbers(0, 30))
    assert.deepEqual(await plain.texts(30), numbers(0, 30))
  })
}

for (const name of ['clean', 'kept'] as const) {
  test(`shared: what a member did not acknowledge goes to another when it leaves (${name} sessions)`, {
    timeout,
  }, async (t) => {
    const folder = await temporaryFolder(t)
    const port = (await startBroker(t, openWith({ folder, limits: 'inflightOut: 2' }), folder)).port()
    const options = (clientId: string) => (name === 'kept' ? kept(clientId) : { clientId })
    const leaving = await member(t, port, options('leaving'))
    await publishNumbers(await connectRaw(t, port), 0, 6)
    // One acknowledged, two in flight, the rest waiting in the window's queue.
    leaving.acknowledge(await leaving.expect('publish'))
    assert.deepEqual(await leaving.texts(2), ['1', '2'])
    const staying = await member(t, port, { ...options('staying'), answers: true })
    await leaving.cut()
    assert.deepEqual(await staying.texts(5), numbers(1, 6))
    const back = await connectRaw(t, port, options('leaving'))
    await back.nothing()
    await staying.nothing()
  })
}

test('shared: QoS 2 that was begun stays with its member, which completes it', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const leaving = await member(t, port, kept('leaving'), 2)
  await publishNumbers(await connectRaw(t, port), 0, 2, 2)
  const [one] = [await leaving.expect('publish'), await leaving.expect('publish')]
  const staying = await member(t, port, kept('staying'), 2)
  await leaving.cut()
  await staying.nothing()
  const back = await connectRaw(t, port, kept('leaving'))
  const again = await back.expect('publish')
  assert.deepEqual([again.messageId, again.dup, again.payload.toString()], [one?.messageId, true, '0'])
  assert.deepEqual(await back.texts(1), ['1'])
  await staying.nothing()
})

test('shared: when all are away their sessions keep the messages; connected members come first', {
  timeout,
}, async (t) => {
  const folder = await temporaryFolder(t)
  const config = openWith({ folder })
  let broker = await startBroker(t, config, folder)
  for (const clientId of ['one', 'two']) await (await member(t, broker.port(), kept(clientId))).leave()
  const publisher = await connectRaw(t, broker.port())
  await publishNumbers(publisher, 0, 10)
  const online = await member(t, broker.port(), { answers: true })
  await publishNumbers(publisher, 10, 15)
  assert.deepEqual(await online.texts(5), numbers(10, 15))
  // All its acknowledgements have come.
  await online.nothing()
  await broker.stop()
  broker = await startBroker(t, config, folder)
  const got: string[] = []
  for (const clientId of ['one', 'two']) {
    const client = await connectRaw(t, broker.port(), { ...kept(clientId), answers: true })
    got.push(...(await client.texts(5)))
    await client.nothing()
  }
  assert.deepEqual(
    got.sort((a, b) => Number(a) - Number(b)),
    numbers(0, 10),
  )
})

test('shared: a member that subscribes anew, or leaves the group, loses nothing of the group', {
  timeout,
}, async (t) => {
  const folder = await temporaryFolder(t)
  const port = (await startBroker(t, openWith({ folder }), folder)).port()
  const publisher = await connectRaw(t, port)
  const steady = await member(t, port, { ...kept('steady'), answers: true })
  const fickle = await connectRaw(t, port, { ...kept('fickle'), answers: true })
  const count = 600
  let wakes = 0
  const changing = setInterval(() => {
    wakes += 1
    const messageId = fickle.nextPacketId()
    if (wakes % 3 === 0) fickle.send({ cmd: 'unsubscribe', messageId, unsubscriptions: [shared] })
    else fickle.send({ cmd: 'subscribe', messageId, subscriptions: [{ topic: shared, qos: 1 }] })
  }, 1)
  t.after(() => clearInterval(changing))
  const collect = (client: RawClient, into: string[]): Promise<void> =>
    (async () => {
      for (;;) {
        const packet = await client.next()
        if (packet.cmd === 'publish') into.push(packet.payload.toString())
        if (all.length >= count) resolveAll()
      }
    })().catch(() => {})
  const all: string[] = []
  let resolveAll: () => void = () => {}
  const complete = new Promise<void>((resolve) => {
    resolveAll = resolve
  })
  void collect(steady, all)
  void collect(fickle, all)
  await publishNumbers(publisher, 0, count)
  clearInterval(changing)
  await complete
  assert.deepEqual(
    all.sort((a, b) => Number(a) - Number(b)),
    numbers(0, count),
  )
})

test('shared: a member that falls behind and leaves passes on what it did not get, once', { timeout }, async (t) => {
  const folder = await temporaryFolder(t)
  const port = (await startBroker(t, openWith({ folder, limits: 'inflightOut: 2' }), folder)).port()
  const slow = await member(t, port, kept('slow'))
  await publishNumbers(await connectRaw(t, port), 0, 50)
  await slow.texts(2)
  const others = [await member(t, port, { answers: true }), await member(t, port, { ...kept('c'), answers: true })]
  await slow.cut()
  const got = await Promise.all(others.map((client) => client.texts(25)))
  assert.deepEqual(
    got.flat().sort((a, b) => Number(a) - Number(b)),
    numbers(0, 50),
  )
  // Each kept the order of the messages that it got.
  for (const texts of got)
    assert.deepEqual(
      texts,
      [...texts].sort((a, b) => Number(a) - Number(b)),
    )
})

test('shared: subscription identifiers, and a normal subscription beside it brings its own copy', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const client = await connectRaw(t, port)
  await client.subscribe(shared, { id: 1 })
  await client.subscribe('a', { id: 2 })
  ;(await connectRaw(t, port)).publish('a', 'x')
  const ids = [await client.expect('publish'), await client.expect('publish')].map(
    ({ properties }) => properties?.subscriptionIdentifier,
  )
  assert.deepEqual(ids.sort(), [1, 2])
})
