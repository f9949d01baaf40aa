// Shared subscriptions: which member gets the next message, by each strategy.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openConfig, startBroker } from '../helpers/broker.ts'
import { connectClient, type TestClient } from '../helpers/client.ts'

/** How many of the messages, given by topic and publisher, each of three members got. */
async function counts(
  t: Parameters<typeof startBroker>[0],
  strategy: string,
  messages: readonly { readonly topic: string; readonly publisher: number }[],
): Promise<number[]> {
  const broker = await startBroker(t, `${openConfig}sharedSubscriptions: ${strategy}\n`)
  const members: TestClient[] = []
  for (let index = 0; index < 3; index += 1) {
    const member = await connectClient(t, broker.url(), { protocolVersion: 5 })
    await member.client.subscribeAsync('$share/group/jobs/#', { qos: 1 })
    members.push(member)
  }
  const publishers = [
    await connectClient(t, broker.url(), { clientId: 'p0' }),
    await connectClient(t, broker.url(), { clientId: 'p1' }),
  ]
  for (const { topic, publisher } of messages)
    await publishers[publisher]!.client.publishAsync(topic, 'work', { qos: 1 })
  const total = (): number => members.reduce((sum, { received }) => sum + received.length, 0)
  while (total() < messages.length)
    await Promise.race(members.map((member) => member.messages(member.received.length + 1)))
  return members.map(({ received }) => received.length)
}

const sameTopic = Array.from({ length: 9 }, () => ({ topic: 'jobs/a', publisher: 0 }))

test('shared subscriptions: round-robin gives each member the same number', { timeout: 10_000 }, async (t) => {
  assert.deepEqual(await counts(t, 'round-robin', sameTopic), [3, 3, 3])
})

test('shared subscriptions: sticky stays with one member', { timeout: 10_000 }, async (t) => {
  assert.deepEqual((await counts(t, 'sticky', sameTopic)).sort(), [0, 0, 9])
})

test('shared subscriptions: hash-topic keeps a topic with one member and spreads topics', {
  timeout: 10_000,
}, async (t) => {
  assert.deepEqual((await counts(t, 'hash-topic', sameTopic)).sort(), [0, 0, 9])
  const topics = Array.from({ length: 30 }, (_, index) => ({ topic: `jobs/${index}`, publisher: 0 }))
  assert.ok((await counts(t, 'hash-topic', topics)).every((count) => count > 0))
})

test('shared subscriptions: hash-client keeps a publisher with one member', { timeout: 10_000 }, async (t) => {
  const topics = Array.from({ length: 12 }, (_, index) => ({ topic: `jobs/${index}`, publisher: 0 }))
  assert.deepEqual(
    (await counts(t, 'hash-client', topics)).sort((a, b) => a - b),
    [0, 0, 12],
  )
})

test('shared subscriptions: fewest-in-flight passes by a member that does not acknowledge', {
  timeout: 10_000,
}, async (t) => {
  const broker = await startBroker(t, `${openConfig}sharedSubscriptions: fewest-in-flight\n`)
  const slow = await connectClient(t, broker.url(), { protocolVersion: 5 })
  slow.client.handleMessage = () => {}
  const quick = await connectClient(t, broker.url(), { protocolVersion: 5 })
  await slow.client.subscribeAsync('$share/group/jobs', { qos: 1 })
  await quick.client.subscribeAsync('$share/group/jobs', { qos: 1 })
  const publisher = await connectClient(t, broker.url())
  for (let sent = 0; sent < 10; sent += 1) {
    await publisher.client.publishAsync('jobs', String(sent), { qos: 1 })
    if (sent > 0) await quick.messages(sent)
  }
  assert.equal(quick.received.length, 9)
})
