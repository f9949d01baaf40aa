// Retained messages: set, replaced, cleared, and who gets them at which subscription (MQTT 3.3.1.3, 3.8.3.1).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { startBroker, temporaryFolder } from '../helpers/broker.ts'
import { openWith } from '../helpers/open-config.ts'
import { connectRaw, kept, type RawClient } from '../helpers/raw-client.ts'

const timeout = 20_000

async function retain(publisher: RawClient, topic: string, payload: string): Promise<void> {
  await publisher.publishAcknowledged(topic, payload, { retain: true })
}

test('retained: set, replaced, cleared; live it comes without the flag, late with it', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const live = await connectRaw(t, port)
  await live.subscribe('a')
  const publisher = await connectRaw(t, port)
  const seen = async (): Promise<readonly (readonly [string, boolean])[]> => {
    const client = await connectRaw(t, port)
    await client.subscribe(['a', 'end'])
    client.publish('end', '')
    const found: [string, boolean][] = []
    for (;;) {
      const message = await client.expect('publish')
      if (message.topic === 'end') break
      found.push([message.payload.toString(), message.retain])
    }
    await client.cut()
    return found
  }
  await retain(publisher, 'a', 'one')
  assert.deepEqual(await seen(), [['one', true]])
  await retain(publisher, 'a', 'two')
  assert.deepEqual(await seen(), [['two', true]])
  await publisher.publishAcknowledged('a', 'not kept')
  assert.deepEqual(await seen(), [['two', true]])
  await retain(publisher, 'a', '')
  assert.deepEqual(await seen(), [])
  const all = [
    await live.expect('publish'),
    await live.expect('publish'),
    await live.expect('publish'),
    await live.expect('publish'),
  ]
  assert.deepEqual(
    all.map(({ payload, retain: flag }) => [payload.toString(), flag]),
    [
      ['one', false],
      ['two', false],
      ['not kept', false],
      ['', false],
    ],
  )
})

test('retained: retain as published keeps the flag, for new messages too', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const plain = await connectRaw(t, port)
  await plain.subscribe('a', { rap: false })
  const asPublished = await connectRaw(t, port)
  await asPublished.subscribe('a', { rap: true })
  const away = await connectRaw(t, port, kept('away'))
  await away.subscribe('a', { rap: true, qos: 1 })
  await away.leave()
  const publisher = await connectRaw(t, port)
  await publisher.publishAcknowledged('a', 'x', { retain: true })
  await publisher.publishAcknowledged('a', 'y', { retain: false })
  const flags = async (client: RawClient) => [
    (await client.expect('publish')).retain,
    (await client.expect('publish')).retain,
  ]
  assert.deepEqual(await flags(plain), [false, false])
  assert.deepEqual(await flags(asPublished), [true, false])
  assert.deepEqual(await flags(await connectRaw(t, port, kept('away'))), [true, false])
})

test('retained: retain handling 0 always, 1 only for a new subscription, 2 never', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  await retain(await connectRaw(t, port), 'a', 'x')
  const comes = async (client: RawClient, rh: 0 | 1 | 2): Promise<boolean> => {
    await client.subscribe('a', { rh })
    client.send({ cmd: 'pingreq' })
    // Retained messages leave with SUBACK, before the answer of what follows.
    const first = await client.next()
    if (first.cmd === 'publish') await client.expect('pingresp')
    return first.cmd === 'publish'
  }
  for (const options of [{ clientId: 'clean' }, kept('kept')]) {
    for (const [rh, first, second] of [
      [0, true, true],
      [1, true, false],
      [2, false, false],
    ] as const) {
      const client = await connectRaw(t, port, options)
      assert.equal(await comes(client, rh), first, `${rh} first`)
      assert.equal(await comes(client, rh), second, `${rh} again`)
      client.send({ cmd: 'unsubscribe', messageId: 99, unsubscriptions: ['a'] })
      await client.expect('unsuback')
      assert.equal(await comes(client, rh), first, `${rh} after UNSUBSCRIBE`)
      client.send({ cmd: 'unsubscribe', messageId: 99, unsubscriptions: ['a'] })
      await client.expect('unsuback')
      await client.cut()
    }
  }
})

test('retained: wildcards, QoS lowered, and none for shared subscriptions', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const publisher = await connectRaw(t, port)
  for (const topic of ['a', 'a/b', 'a/b/c', 'b']) await retain(publisher, topic, topic)
  const found = async (filter: string): Promise<readonly string[]> => {
    const client = await connectRaw(t, port)
    await client.subscribe([filter, 'end'], { qos: 1 })
    client.publish('end')
    const topics: string[] = []
    for (
      let message = await client.expect('publish');
      message.topic !== 'end';
      message = await client.expect('publish')
    ) {
      assert.equal(message.qos, 1)
      topics.push(message.topic)
    }
    await client.cut()
    return topics.sort()
  }
  assert.deepEqual(await found('a/#'), ['a', 'a/b', 'a/b/c'])
  assert.deepEqual(await found('+'), ['a', 'b'])
  assert.deepEqual(await found('+/b/#'), ['a/b', 'a/b/c'])
  assert.deepEqual(await found('$share/g/a/#'), [])
})

test('retained: more than the window come one after the other, and each again until it is acknowledged', {
  timeout,
}, async (t) => {
  const folder = await temporaryFolder(t)
  const config = openWith({ folder, limits: 'inflightOut: 3' })
  let broker = await startBroker(t, config, folder)
  const publisher = await connectRaw(t, broker.port())
  for (let index = 0; index < 10; index += 1) await retain(publisher, `a/${index}`, `${index}`)
  let client = await connectRaw(t, broker.port(), kept('c'))
  await client.subscribe('a/+', { qos: 1 })
  const got = new Set<string>()
  const first = [await client.expect('publish'), await client.expect('publish'), await client.expect('publish')]
  await client.nothing()
  for (const message of first.slice(0, 2)) {
    got.add(message.payload.toString())
    client.acknowledge(message)
  }
  await client.expect('publish')
  await client.expect('publish')
  await client.nothing()
  await client.cut()
  await broker.stop()
  broker = await startBroker(t, config, folder)
  client = await connectRaw(t, broker.port(), { ...kept('c'), answers: true })
  const again = await client.expect('publish')
  assert.deepEqual([again.messageId, again.dup], [first[2]!.messageId, true])
  got.add(again.payload.toString())
  while (got.size < 10) got.add((await client.expect('publish')).payload.toString())
})

test('retained: quotas are answered with 0x97, replacing and clearing always work', { timeout }, async (t) => {
  const limits = 'retainedPerUser: 2, retainedMessages: 3, retainedMaxBytes: 10'
  const port = (await startBroker(t, openWith({ limits }))).port()
  const alice = await connectRaw(t, port, { username: 'alice' })
  const bob = await connectRaw(t, port, { username: 'bob' })
  const set = (client: RawClient, topic: string, payload = 'x') =>
    client.publishAcknowledged(topic, payload, { retain: true })
  assert.equal(await set(alice, 'a'), 0x10)
  assert.equal(await set(alice, 'b'), 0x10)
  assert.equal(await set(alice, 'c'), 0x97)
  assert.equal(await set(alice, 'b', 'y'), 0x10)
  assert.equal(await set(bob, 'c', '12345678901'), 0x97)
  assert.equal(await set(bob, 'c'), 0x10)
  assert.equal(await set(bob, 'd'), 0x97)
  assert.equal(await set(alice, 'a', ''), 0x10)
  assert.equal(await set(bob, 'd'), 0x10)
})

test('retained: all filters of one SUBSCRIBE get what was retained at one moment', { timeout }, async (t) => {
  const folder = await temporaryFolder(t)
  const port = (await startBroker(t, openWith({ folder }))).port()
  const publisher = await connectRaw(t, port, { answers: true })
  for (let round = 0; round < 20; round += 1) {
    const reader = await connectRaw(t, port, { ...kept(`reader ${round}`), answers: true })
    const subscriptions = ['a', '+', '#'].map((topic) => ({ topic, qos: 2 as const }))
    reader.send({ cmd: 'subscribe', messageId: reader.nextPacketId(), subscriptions })
    for (let count = 0; count < 20; count += 1) {
      publisher.publish('a', `${round} ${count}`, { retain: true, qos: 2 })
      await nextTurn()
    }
    const retained: string[] = []
    while (retained.length < 3) {
      const packet = await reader.next()
      if (packet.cmd === 'publish' && packet.retain) retained.push(packet.payload.toString())
    }
    assert.equal(new Set(retained).size, 1, retained.join(', '))
    await reader.cut()
  }
})
