// What is published at a node that started while Redis was away, so that it cannot know yet who wants it.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { connectClient, publishAll, type TestClient } from '../helpers/client.ts'
import { startNode } from '../helpers/cluster-node.ts'
import { startRedis, type TestRedis } from '../helpers/redis.ts'

const timeout = 60_000

interface Alone {
  readonly redis: TestRedis
  readonly member: TestClient
  readonly sender: TestClient
}

/** A node that started again while Redis is away, and a member of a shared group on another one. */
async function startAlone(t: TestContext): Promise<Alone> {
  const redis = await startRedis(t, { keeps: true })
  const a = await startNode(t, 'a', redis)
  const b = await startNode(t, 'b', redis)
  const member = await connectClient(t, b.url(), { clientId: 'member', clean: false })
  await member.client.subscribeAsync(['$share/g/job', 'plain'], { qos: 1 })
  await a.stop()
  await redis.kill()
  const again = await startNode(t, 'a', redis, { folder: a.folder })
  return { redis, member, sender: await connectClient(t, again.url()) }
}

function texts({ received }: TestClient): string[] {
  return received.map(({ text }) => text)
}

function numbered(name: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${name} ${index}`)
}

/** One after the other until the member has some of them; all that were sent. */
async function publishUntilSome({ sender, member }: Alone): Promise<string[]> {
  const sent: string[] = []
  while (!texts(member).some((text) => text.startsWith('job'))) {
    sent.push(`job ${sent.length}`)
    await sender.client.publishAsync('job', sent[sent.length - 1]!, { qos: 1 })
  }
  return sent
}

test('cluster: what a node that started without Redis took for a shared group elsewhere reaches its member', {
  timeout,
}, async (t) => {
  const { redis, member, sender } = await startAlone(t)
  const jobs = numbered('job', 50)
  await publishAll(sender, 'job', jobs)
  await sender.client.publishAsync('plain', 'plain', { qos: 1 })
  await redis.start()
  // All were decided in their order: the last one tells of the others.
  while (!texts(member).includes('plain')) await member.messages(member.received.length + 1)
  assert.deepEqual(texts(member), [...jobs, 'plain'])
})

test('cluster: what is published while the earlier messages are decided reaches the member of a group elsewhere once', {
  timeout,
}, async (t) => {
  const alone = await startAlone(t)
  const { redis, member, sender } = alone
  await publishAll(sender, 'nobody', numbered('nobody', 20_000))
  await redis.start()
  const sent = await publishUntilSome(alone)
  await sender.client.publishAsync('plain', 'plain', { qos: 1 })
  while (!texts(member).includes('plain')) await member.messages(member.received.length + 1)
  assert.deepEqual(
    texts(member)
      .filter((text) => text !== 'plain')
      .sort(),
    sent.sort(),
  )
})

test('cluster: two new nodes that served before Redis was there have what the other one took', {
  timeout,
}, async (t) => {
  const redis = await startRedis(t)
  await redis.kill()
  const nodes = await Promise.all([startNode(t, 'a', redis), startNode(t, 'b', redis)])
  const receivers: TestClient[] = []
  for (const node of nodes) {
    const receiver = await connectClient(t, node.url(), { clientId: `of ${receivers.length}`, clean: false })
    await receiver.client.subscribeAsync('box', { qos: 1 })
    receivers.push(receiver)
  }
  const sent = numbered('a', 20).concat(numbered('b', 20))
  const senders = await Promise.all(nodes.map((node) => connectClient(t, node.url())))
  await Promise.all(senders.map((sender, at) => publishAll(sender, 'box', numbered('ab'[at]!, 20))))
  await redis.start()
  for (const receiver of receivers) {
    await receiver.messages(sent.length)
    assert.deepEqual(texts(receiver).sort(), sent.toSorted())
  }
})
