// Nodes that share nothing but a Redis: what is published at one arrives at the others, once, whatever happens to Redis.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { connectClient, leaveSession, publishAll, texts } from '../helpers/client.ts'
import { startNode } from '../helpers/cluster-node.ts'
import { startRedis } from '../helpers/redis.ts'

const timeout = 60_000

async function twoNodes(t: TestContext) {
  const redis = await startRedis(t)
  return { redis, a: await startNode(t, 'a', redis), b: await startNode(t, 'b', redis) }
}

function numbered(count: number): string[] {
  return Array.from({ length: count }, (_, index) => String(index))
}

test('cluster: a message of each QoS reaches a subscriber on the other node', { timeout }, async (t) => {
  const { a, b } = await twoNodes(t)
  const receiver = await connectClient(t, b.url())
  await receiver.client.subscribeAsync('news/#', { qos: 2 })
  const sender = await connectClient(t, a.url())
  for (const qos of [0, 1, 2] as const) await sender.client.publishAsync(`news/${qos}`, `q${qos}`, { qos })
  const messages = await receiver.messages(3)
  assert.deepEqual(texts(messages).sort(), ['q0', 'q1', 'q2'])
  assert.deepEqual(messages.map(({ packet }) => packet.qos).sort(), [0, 1, 2])
})

test('cluster: once SUBACK is there, what is published at the other node arrives', { timeout }, async (t) => {
  const { a, b } = await twoNodes(t)
  const receiver = await connectClient(t, b.url())
  const sender = await connectClient(t, a.url())
  for (let round = 0; round < 100; round += 1) {
    const qos = round % 2 === 0 ? 0 : 1
    await receiver.client.subscribeAsync(`round/${round}/+`, { qos })
    await sender.client.publishAsync(`round/${round}/x`, String(round), { qos })
    await receiver.messages(round + 1)
    if (round % 3 === 0) await receiver.client.unsubscribeAsync(`round/${round}/+`)
  }
  assert.deepEqual(texts(receiver.received), numbered(100))
})

test('cluster: many messages arrive once and in their order', { timeout }, async (t) => {
  const { a, b } = await twoNodes(t)
  const receiver = await connectClient(t, b.url())
  await receiver.client.subscribeAsync('many', { qos: 1 })
  const sender = await connectClient(t, a.url())
  await publishAll(sender, 'many', numbered(5_000))
  assert.deepEqual(texts(await receiver.messages(5_000)), numbered(5_000))
})

test('cluster: a session that is away on the other node finds its messages, also after that node restarted', {
  timeout,
}, async (t) => {
  const { redis, a, b } = await twoNodes(t)
  await leaveSession(t, b, 'away', 'inbox/#')
  const sender = await connectClient(t, a.url())
  await publishAll(sender, 'inbox/1', numbered(50))
  await b.stop()
  await publishAll(sender, 'inbox/2', numbered(50))
  const again = await startNode(t, 'b', redis, { folder: b.folder })
  await publishAll(sender, 'inbox/3', numbered(50))
  const back = await connectClient(t, again.url(), { clientId: 'away', clean: false })
  assert.deepEqual(texts(await back.messages(150)), [...numbered(50), ...numbered(50), ...numbered(50)])
})

test('cluster: while Redis is away local clients go on, and what was acknowledged arrives when it is back, empty', {
  timeout,
}, async (t) => {
  const { redis, a, b } = await twoNodes(t)
  await leaveSession(t, b, 'away', 'box')
  const receiver = await connectClient(t, b.url())
  await receiver.client.subscribeAsync('box', { qos: 1 })
  const local = await connectClient(t, a.url())
  await local.client.subscribeAsync('box', { qos: 1 })
  const sender = await connectClient(t, a.url())
  let sent = 0
  for (let round = 0; round < 3; round += 1) {
    const publishing = publishAll(sender, 'box', numbered(sent + 150).slice(sent))
    sent += 150
    await redis.kill()
    await publishing
    await publishAll(sender, 'box', numbered(sent + 150).slice(sent))
    sent += 150
    await local.messages(sent)
    await redis.start()
    // Once it is noticed that Redis was away, and once perhaps not.
    if (round !== 1) await receiver.messages(sent)
  }
  assert.deepEqual(texts(local.received), numbered(sent))
  assert.deepEqual(texts(await receiver.messages(sent)), numbered(sent))
  const back = await connectClient(t, b.url(), { clientId: 'away', clean: false })
  assert.deepEqual(texts(await back.messages(sent)), numbered(sent))
})

test('cluster: a node that stops with messages for another one sends them after its next start', {
  timeout,
}, async (t) => {
  const { redis, a, b } = await twoNodes(t)
  await leaveSession(t, b, 'away', 'box')
  const sender = await connectClient(t, a.url())
  await redis.kill()
  await publishAll(sender, 'box', numbered(100))
  await a.stop()
  await redis.start()
  await startNode(t, 'a', redis, { folder: a.folder })
  const back = await connectClient(t, b.url(), { clientId: 'away', clean: false })
  assert.deepEqual(texts(await back.messages(100)), numbered(100))
})

test('cluster: a retained message is found on every node, and so is its removal', { timeout }, async (t) => {
  const { a, b } = await twoNodes(t)
  const sender = await connectClient(t, a.url())
  const live = await connectClient(t, b.url())
  await live.client.subscribeAsync('state/#', { qos: 1 })
  await sender.client.publishAsync('state/0', 'zero', { qos: 0, retain: true })
  await sender.client.publishAsync('state/1', 'one', { qos: 1, retain: true })
  await sender.client.publishAsync('state/gone', 'soon', { qos: 1, retain: true })
  await sender.client.publishAsync('state/gone', '', { qos: 1, retain: true })
  await live.messages(4)
  const late = await connectClient(t, b.url())
  await late.client.subscribeAsync('state/#', { qos: 1 })
  await late.messages(2)
  await late.client.subscribeAsync('end', { qos: 1 })
  await sender.client.publishAsync('end', 'end', { qos: 1 })
  assert.deepEqual(texts(await late.messages(3)).sort(), ['end', 'one', 'zero'])
})

test('cluster: of a shared group over two nodes each message reaches one member', { timeout }, async (t) => {
  const { a, b } = await twoNodes(t)
  const one = await connectClient(t, a.url())
  const two = await connectClient(t, b.url())
  const three = await connectClient(t, b.url())
  await two.client.subscribeAsync('$share/g/jobs/+', { qos: 1 })
  await three.client.subscribeAsync('$share/g/jobs/+', { qos: 1 })
  const sender = await connectClient(t, a.url())
  await publishAll(sender, 'jobs/x', numbered(100))
  await sender.client.publishAsync('jobs/x', '100', { qos: 0 })
  while (two.received.length + three.received.length < 101) await new Promise((resolve) => setTimeout(resolve, 5))
  await one.client.subscribeAsync('$share/g/jobs/+', { qos: 1 })
  await publishAll(sender, 'jobs/x', numbered(100))
  // Members here come first.
  assert.equal((await one.messages(100)).length, 100)
  const all = [...two.received, ...three.received]
  assert.deepEqual(
    texts(all).sort((x, y) => Number(x) - Number(y)),
    numbered(101),
  )
  assert.ok(two.received.length > 30 && three.received.length > 30)
})

/** `a` started again while Redis is away; a session at `b` waits for `box/+`. */
async function startedAlone(t: TestContext) {
  const { redis, a, b } = await twoNodes(t)
  await leaveSession(t, b, 'away', 'box/+')
  await a.stop()
  await redis.kill()
  return { redis, b, a: await startNode(t, 'a', redis, { folder: a.folder }) }
}

test('cluster: what is published at a node that started without Redis arrives when Redis is there', {
  timeout,
}, async (t) => {
  const { redis, a: again, b } = await startedAlone(t)
  const sender = await connectClient(t, again.url())
  await publishAll(sender, 'box/1', numbered(100))
  await publishAll(sender, 'nobody/wants', ['this'])
  await redis.start()
  const back = await connectClient(t, b.url(), { clientId: 'away', clean: false })
  await back.messages(100)
  await publishAll(sender, 'box/1', ['last'])
  assert.deepEqual(texts(await back.messages(101)), [...numbered(100), 'last'])
})

test('cluster: what is published at a node that starts and stops without Redis arrives after its next start', {
  timeout,
}, async (t) => {
  const { redis, a: alone, b } = await startedAlone(t)
  await publishAll(await connectClient(t, alone.url()), 'box/1', numbered(100))
  await alone.stop()
  await redis.start()
  const again = await startNode(t, 'a', redis, { folder: alone.folder })
  const back = await connectClient(t, b.url(), { clientId: 'away', clean: false })
  await back.messages(100)
  await publishAll(await connectClient(t, again.url()), 'box/1', ['last'])
  assert.deepEqual(texts(await back.messages(101)), [...numbered(100), 'last'])
})
