// Sessions of clients that connect to another node: they move with all that they have, and one connection is left.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { connectClient, publishAll, type TestClient, texts } from '../helpers/client.ts'
import { startNode } from '../helpers/cluster-node.ts'
import { connectRaw, kept } from '../helpers/raw-client.ts'
import { startProxy, startRedis } from '../helpers/redis.ts'

const timeout = 60_000
const phone = { clientId: 'phone', clean: false } as const

async function twoNodes(t: TestContext) {
  const redis = await startRedis(t)
  return { redis, a: await startNode(t, 'a', redis), b: await startNode(t, 'b', redis) }
}

function numbered(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, index) => String(from + index))
}

function closed({ client }: TestClient): Promise<void> {
  return new Promise((resolve) => client.once('close', () => resolve()))
}

async function comes(receiver: TestClient, text: string): Promise<void> {
  for (let count = 1; !texts(receiver.received).includes(text); count = receiver.received.length + 1) {
    await receiver.messages(count)
  }
}

test('cluster: a client that comes to another node finds its subscriptions and what waits for it, in order', {
  timeout,
}, async (t) => {
  const { a, b } = await twoNodes(t)
  const first = await connectClient(t, a.url(), phone)
  await first.client.subscribeAsync('box/#', { qos: 1 })
  await first.end()
  const [atA, atB] = [await connectClient(t, a.url()), await connectClient(t, b.url())]
  await publishAll(atA, 'box/1', numbered(0, 200))
  await publishAll(atB, 'box/1', numbered(200, 400))
  const second = await connectClient(t, b.url(), phone)
  await publishAll(atA, 'box/1', numbered(400, 500))
  assert.deepEqual(texts(await second.messages(500)), numbered(0, 500))
  // And back, with nothing left behind.
  await second.end()
  await publishAll(atB, 'box/1', numbered(500, 600))
  const third = await connectClient(t, a.url(), phone)
  await third.messages(100)
  await publishAll(atB, 'box/1', ['end'])
  assert.deepEqual(texts(await third.messages(101)), [...numbered(500, 600), 'end'])
})

test('cluster: the connection at the former node ends', { timeout }, async (t) => {
  const { a, b } = await twoNodes(t)
  const first = await connectClient(t, a.url(), {
    ...phone,
    protocolVersion: 5,
    properties: { sessionExpiryInterval: 60 },
  })
  const ended = new Promise((resolve) => first.client.once('disconnect', resolve))
  await connectClient(t, b.url(), { ...phone, protocolVersion: 5, properties: { sessionExpiryInterval: 60 } })
  const packet = (await ended) as { reasonCode?: number }
  assert.equal(packet.reasonCode, 0x8e)
})

test('cluster: a clean start at another node ends the session', { timeout }, async (t) => {
  const { a, b } = await twoNodes(t)
  const first = await connectClient(t, a.url(), phone)
  await first.client.subscribeAsync('box', { qos: 1 })
  await first.end()
  const sender = await connectClient(t, b.url())
  await publishAll(sender, 'box', ['old'])
  const clean = await connectClient(t, b.url(), { clientId: 'phone', clean: true })
  await clean.end()
  const again = await connectClient(t, a.url(), phone)
  await again.client.subscribeAsync('box', { qos: 1 })
  await publishAll(sender, 'box', ['new'])
  assert.deepEqual(texts(await again.messages(1)), ['new'])
})

test('cluster: the session of a node that is away follows when it is back', { timeout }, async (t) => {
  const { redis, a, b } = await twoNodes(t)
  const first = await connectClient(t, a.url(), phone)
  await first.client.subscribeAsync('box', { qos: 1 })
  await first.end()
  const sender = await connectClient(t, a.url())
  await publishAll(sender, 'box', numbered(0, 50))
  await a.stop()
  const second = await connectClient(t, b.url(), phone)
  await second.client.subscribeAsync('other', { qos: 1 })
  const atB = await connectClient(t, b.url())
  await publishAll(atB, 'other', ['here'])
  assert.deepEqual(texts(await second.messages(1)), ['here'])
  const again = await startNode(t, 'a', redis, { folder: a.folder })
  assert.deepEqual(texts((await second.messages(51)).slice(1)), numbered(0, 50))
  // The subscription came, too.
  const atA = await connectClient(t, again.url())
  await publishAll(atA, 'box', ['after'])
  assert.equal((await second.messages(52)).at(-1)?.text, 'after')
})

test('cluster: while Redis is away clients connect where they are, and afterwards one connection is left', {
  timeout,
}, async (t) => {
  const { redis, a, b } = await twoNodes(t)
  const first = await connectClient(t, a.url(), phone)
  await first.client.subscribeAsync('box', { qos: 1 })
  await redis.kill()
  const firstClosed = closed(first)
  const second = await connectClient(t, b.url(), phone)
  await second.client.subscribeAsync('box', { qos: 1 })
  const sender = await connectClient(t, a.url())
  await publishAll(sender, 'box', numbered(0, 20))
  await first.messages(20)
  await redis.start()
  await firstClosed
  assert.equal(second.client.connected, true)
  await publishAll(sender, 'box', ['end'])
  await comes(second, 'end')
})

test('cluster: what was received of QoS 2 and not released, and what was sent and not acknowledged, is known at the next node', {
  timeout,
}, async (t) => {
  const { a, b } = await twoNodes(t)
  const receiver = await connectClient(t, a.url())
  await receiver.client.subscribeAsync('exactly', { qos: 2 })
  const first = await connectRaw(t, a.port(), kept('phone'))
  await first.subscribe('box', { qos: 1 })
  const messageId = first.publish('exactly', 'once', { qos: 2 })
  await first.expect('pubrec')
  const sender = await connectClient(t, b.url())
  await publishAll(sender, 'box', ['unacknowledged'])
  const sent = await first.expect('publish')
  await first.cut()
  const second = await connectRaw(t, b.port(), { ...kept('phone'), clean: false })
  const again = await second.expect('publish')
  assert.deepEqual([again.messageId, again.dup, String(again.payload)], [sent.messageId, true, 'unacknowledged'])
  second.acknowledge(again)
  second.send({ cmd: 'publish', topic: 'exactly', payload: 'once', qos: 2, messageId, dup: true, retain: false })
  await second.expect('pubrec')
  second.send({ cmd: 'pubrel', messageId })
  await second.expect('pubcomp')
  await publishAll(sender, 'exactly', ['end'])
  assert.deepEqual(texts(await receiver.messages(2)), ['once', 'end'])
})

test('cluster: a node that is cut off hands its clients over when it is healed', { timeout }, async (t) => {
  const redis = await startRedis(t)
  const proxy = await startProxy(t, redis.port)
  const a = await startNode(t, 'a', { url: `redis://127.0.0.1:${proxy.port}` })
  const b = await startNode(t, 'b', redis)
  const first = await connectClient(t, a.url(), phone)
  await first.client.subscribeAsync('box', { qos: 1 })
  proxy.reset()
  const second = await connectClient(t, b.url(), phone)
  assert.equal(first.client.connected, true)
  const firstClosed = closed(first)
  proxy.heal()
  await firstClosed
  const sender = await connectClient(t, a.url())
  await publishAll(sender, 'box', ['box'])
  await comes(second, 'box')
})

test('cluster: the client id of another user is refused on every node', { timeout }, async (t) => {
  const redis = await startRedis(t)
  const a = await startNode(t, 'a', redis)
  const b = await startNode(t, 'b', redis)
  const alice = await connectClient(t, a.url(), { ...phone, username: 'alice' })
  await assert.rejects(connectClient(t, b.url(), { ...phone, username: 'bob' }))
  assert.equal(alice.client.connected, true)
})

test('cluster: a session that moves again and again while much is published to it gets everything, and nothing new twice', {
  timeout,
}, async (t) => {
  const { a, b } = await twoNodes(t)
  const senders = [await connectClient(t, a.url()), await connectClient(t, b.url())]
  const clients: TestClient[] = []
  const publishing: Promise<void>[] = []
  let sent = 0
  for (let move = 0; move < 30; move += 1) {
    const now = await connectClient(t, (move % 2 === 0 ? a : b).url(), phone)
    if (move === 0) await now.client.subscribeAsync('box', { qos: 1 })
    for (const sender of senders) {
      publishing.push(publishAll(sender, 'box', numbered(sent, sent + 50)))
      sent += 50
    }
    await now.messages(20)
    await now.end()
    clients.push(now)
  }
  await Promise.all(publishing)
  const last = await connectClient(t, a.url(), phone)
  clients.push(last)
  const all = () => clients.flatMap(({ received }) => received)
  while (new Set(texts(all())).size < sent) await last.messages(last.received.length + 1)
  // What the client did not acknowledge before it left comes again, and says so.
  const fresh = texts(all().filter(({ packet }) => !packet.dup))
  assert.equal(new Set(fresh).size, fresh.length)
})

test('cluster: what waits with QoS 0, since its subscription was lowered, moves too, and comes once', {
  timeout,
}, async (t) => {
  const { a, b } = await twoNodes(t)
  const first = await connectRaw(t, a.port(), {
    ...kept('reader'),
    properties: { receiveMaximum: 1, sessionExpiryInterval: 600 },
  })
  await first.subscribe('box', { qos: 1 })
  const sender = await connectRaw(t, a.port(), { clientId: 'sender' })
  const sent = numbered(0, 300)
  for (const text of sent) await sender.publishAcknowledged('box', text)
  assert.equal((await first.expect('publish')).payload.toString(), '0')
  await first.subscribe('box', { qos: 0 })
  await first.cut()
  const second = await connectRaw(t, b.port(), { ...kept('reader'), clean: false, answers: true })
  // The one that was sent with QoS 1 may come behind those with QoS 0.
  assert.deepEqual((await second.texts(300)).toSorted(), sent.toSorted())
  // Behind the reads of the log that were to find it a second time.
  await sender.publishAcknowledged('box', 'last')
  assert.deepEqual(await second.texts(1), ['last'])
})
