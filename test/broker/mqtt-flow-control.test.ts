// Slow consumers: bounded output, the way back into the log, and nobody else notices.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startBroker, temporaryFolder } from '../helpers/broker.ts'
import { metric, openWith } from '../helpers/open-config.ts'
import { connectRaw, kept, type RawClient } from '../helpers/raw-client.ts'

const timeout = 60_000
const topics = ['a/0', 'a/1', 'a/2', 'a/3', 'a/4', 'a/5', 'a/6', 'a/7']

/** The numbers from `from` on, with QoS 1, over all topics; resolves when all are acknowledged. */
async function publishNumbers(publisher: RawClient, from: number, count: number): Promise<void> {
  for (let index = from; index < from + count; index += 1) {
    publisher.publish(topics[index % topics.length]!, `${index}`, { qos: 2, messageId: 1 + index })
  }
  for (let acknowledged = 0; acknowledged < count; ) {
    const packet = await publisher.next()
    if (packet.cmd === 'pubrec') publisher.send({ cmd: 'pubrel', messageId: packet.messageId! })
    if (packet.cmd === 'pubcomp') acknowledged += 1
  }
}

/** Takes so many messages and acknowledges each to its end. */
async function consume(client: RawClient, count: number): Promise<string[]> {
  const got: string[] = []
  while (got.length < count) {
    const packet = await client.next()
    if (packet.cmd === 'pubrel') client.send({ cmd: 'pubcomp', messageId: packet.messageId! })
    if (packet.cmd !== 'publish') continue
    got.push(packet.payload.toString())
    client.send({ cmd: packet.qos === 1 ? 'puback' : 'pubrec', messageId: packet.messageId! })
  }
  return got
}

for (const store of ['memory', 'level'] as const) {
  for (const qos of [1, 2] as const) {
    test(`flow control: a session that falls behind reads the log back, in order and once (${store}, QoS ${qos})`, {
      timeout,
    }, async (t) => {
      const folder = store === 'level' ? await temporaryFolder(t) : undefined
      // A queue of each filter; a session with eight filters is behind long before one of them is full.
      const limits = 'queueBytes: 15000, inflightOut: 4'
      const port = (await startBroker(t, openWith({ ...(folder && { folder }), limits }), folder)).port()
      const subscriber = await connectRaw(t, port, kept('s'))
      await subscriber.subscribe(topics, { qos })
      const publisher = await connectRaw(t, port)
      let published = 0
      const got: string[] = []
      const ahead = [300, 10, 400, 100, 0, 350, 1, 75, 76, 80, 300, 0]
      for (const lag of [...ahead, ...ahead]) {
        // Publishing and consuming at once, so that the end of the log is met while messages come in.
        const count = Math.max(0, got.length + lag - published) + 20
        const publishing = publishNumbers(publisher, published, count)
        published += count
        got.push(...(await consume(subscriber, Math.max(0, published - lag - got.length))))
        await publishing
      }
      got.push(...(await consume(subscriber, published - got.length)))
      assert.deepEqual(
        got,
        Array.from({ length: published }, (_, index) => `${index}`),
      )
    })
  }
}

test('flow control: a session that falls behind and leaves finds the rest when it comes back', {
  timeout,
}, async (t) => {
  const folder = await temporaryFolder(t)
  const config = openWith({ folder, limits: 'queueBytes: 15000, inflightOut: 4' })
  let broker = await startBroker(t, config, folder)
  let subscriber = await connectRaw(t, broker.port(), kept('s'))
  await subscriber.subscribe(topics, { qos: 1 })
  await publishNumbers(await connectRaw(t, broker.port()), 0, 400)
  const got = new Set<string>()
  for (let round = 0; round < 8; round += 1) {
    for (const text of await consume(subscriber, 30)) got.add(text)
    await subscriber.cut()
    if (round === 3) {
      await broker.stop()
      broker = await startBroker(t, config, folder)
    }
    subscriber = await connectRaw(t, broker.port(), kept('s'))
  }
  while (got.size < 400) for (const text of await consume(subscriber, 1)) got.add(text)
  assert.deepEqual(
    [...got],
    Array.from({ length: 400 }, (_, index) => `${index}`),
  )
})

test('flow control: QoS 0 is dropped for who does not read, QoS 1 waits, and others notice nothing', {
  timeout,
}, async (t) => {
  const broker = await startBroker(t, openWith({ metrics: true, limits: 'outputLowBytes: 100000' }))
  const port = broker.port()
  const lazy = await connectRaw(t, port, kept('lazy'))
  await lazy.subscribe('#', { qos: 1 })
  const eager = await connectRaw(t, port, { answers: true })
  await eager.subscribe('#', { qos: 1 })
  const publisher = await connectRaw(t, port)
  lazy.socket.pause()
  const large = Buffer.alloc(100_000, 'x')
  const rounds = 300
  for (let index = 0; index < rounds; index += 1) {
    publisher.publish('zero', large)
    if (index % 10 === 0) await publisher.publishAcknowledged('one', `${index}`)
    // Each was with the reader before the next one came: publisher and broker were not slowed down by the other.
    await eager.expect('publish')
    if (index % 10 === 0) await eager.expect('publish')
  }
  assert.ok((await metric(broker, 'oriole_messages_dropped_total{reason="output_full"}')) > 0)
  const before = lazy.pending.length
  assert.equal(before, 0)
  lazy.socket.resume()
  const ones: string[] = []
  let zeros = 0
  while (ones.length < rounds / 10) {
    const message = await lazy.expect('publish')
    if (message.topic === 'zero') zeros += 1
    else {
      ones.push(message.payload.toString())
      lazy.acknowledge(message)
    }
  }
  assert.deepEqual(
    ones,
    Array.from({ length: rounds / 10 }, (_, index) => `${index * 10}`),
  )
  assert.ok(zeros < rounds)
})

test('flow control: a low mark far below that of the socket stops nothing', { timeout }, async (t) => {
  const port = (await startBroker(t, openWith({ limits: 'outputLowBytes: 100' }))).port()
  const publisher = await connectRaw(t, port)
  for (let index = 0; index < 500; index += 1) {
    await publisher.publishAcknowledged(`retained/${index}`, 'x'.repeat(200), { retain: true })
  }
  const subscriber = await connectRaw(t, port)
  await subscriber.subscribe('retained/#')
  assert.equal((await subscriber.texts(500)).length, 500)
})

test('flow control: a clean session that lags past the bound is ended with 0x97', { timeout }, async (t) => {
  const broker = await startBroker(t, openWith({ metrics: true, limits: 'queueBytes: 15000, inflightOut: 4' }))
  const lazy = await connectRaw(t, broker.port())
  await lazy.subscribe('#', { qos: 1 })
  const eager = await connectRaw(t, broker.port(), { answers: true })
  await eager.subscribe('#', { qos: 1 })
  const publisher = await connectRaw(t, broker.port())
  for (let from = 0; from < 100; from += 10) {
    await publishNumbers(publisher, from, 10)
    await eager.texts(10)
  }
  await lazy.texts(4)
  await lazy.disconnected(0x97)
  assert.equal(await metric(broker, 'oriole_slow_consumers_cut_total'), 1)
})

test('flow control: who asks and never reads the answers is cut at the high mark', { timeout }, async (t) => {
  const limits = 'outputLowBytes: 100000, outputHighBytes: 1000000'
  const broker = await startBroker(t, openWith({ metrics: true, limits }))
  const lazy = await connectRaw(t, broker.port())
  lazy.socket.pause()
  const pings = Buffer.alloc(400_000, Buffer.from([0xc0, 0]))
  const cut = new Promise<void>((resolve) => lazy.socket.once('close', () => resolve()))
  const flood = setInterval(() => {
    if (lazy.socket.writableLength < 10_000_000) lazy.bytes(pings)
  }, 1)
  t.after(() => clearInterval(flood))
  await cut
  clearInterval(flood)
  assert.equal(await metric(broker, 'oriole_slow_consumers_cut_total'), 1)
  assert.equal(await metric(broker, 'oriole_connections'), 0)
})
