// Nothing is lost by what goes wrong beside: Redis comes back empty or as it was a while ago, members leave meanwhile, a disk fails.
import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { Redis } from 'ioredis'
import { askBroker } from '../../broker/admin/control.ts'
import type { ClusterStatus } from '../../broker/cluster/cluster-status.ts'
import { until } from '../chaos/crowd.ts'
import { connectClient, leaveSession, publishAll, texts } from '../helpers/client.ts'
import { startNode, type TestNode } from '../helpers/cluster-node.ts'
import { connectRaw } from '../helpers/raw-client.ts'
import { startRedis, type TestRedis } from '../helpers/redis.ts'

const timeout = 60_000
const kicked = 0x98
const alone = { cluster: 'replicas: 0' }

function numbered(count: number): string[] {
  return Array.from({ length: count }, (_, index) => String(index))
}

/** Whether this node says that the other one belongs to the cluster. */
async function knows({ folder }: TestNode, name: string): Promise<boolean> {
  const { nodes } = (await askBroker(join(folder, 'data'), { do: 'cluster status' })) as unknown as ClusterStatus
  return nodes.some(({ node }) => node === name)
}

/** What it has now is what it has after its next start. */
async function save({ port, host }: TestRedis): Promise<void> {
  const client = new Redis(port, host)
  await client.save()
  client.disconnect()
}

test('cluster: a message for a member of a group that left while Redis was away reaches a member elsewhere', {
  timeout,
}, async (t) => {
  const redis = await startRedis(t)
  const a = await startNode(t, 'a', redis)
  const b = await startNode(t, 'b', redis)
  const c = await startNode(t, 'c', redis)
  const leaving = await connectClient(t, b.url())
  await leaving.client.subscribeAsync('$share/g/job', { qos: 1 })
  const staying = await connectClient(t, c.url())
  await staying.client.subscribeAsync('$share/g/job', { qos: 1 })
  const sender = await connectClient(t, a.url())
  await redis.kill()
  await leaving.end()
  await publishAll(sender, 'job', numbered(20))
  await redis.start()
  await staying.messages(20)
  assert.deepEqual(texts(staying.received).sort(), numbered(20).sort())
  assert.deepEqual(leaving.received, [])
})

test('cluster: a node that is away keeps its later subscriptions though Redis comes back as it was before them', {
  timeout,
}, async (t) => {
  const redis = await startRedis(t)
  const a = await startNode(t, 'a', redis)
  const b = await startNode(t, 'b', redis)
  await leaveSession(t, b, 'early', 'early')
  await save(redis)
  await leaveSession(t, b, 'phone', 'box')
  await redis.kill()
  await b.stop()
  await redis.start()
  const c = await startNode(t, 'c', redis)
  const witness = await connectClient(t, c.url())
  await witness.client.subscribeAsync('sign', { qos: 1 })
  const sender = await connectClient(t, a.url())
  await sender.client.publishAsync('sign', 'a has read Redis', { qos: 1 })
  await witness.messages(1)
  await publishAll(sender, 'box', numbered(20))
  const again = await startNode(t, 'b', redis, { folder: b.folder })
  const phone = await connectClient(t, again.url(), { clientId: 'phone', clean: false })
  assert.deepEqual(texts(await phone.messages(20)), numbered(20))
})

test('cluster: a node that Redis lost is not forgotten because another node that came first does not know it', {
  timeout,
}, async (t) => {
  const redis = await startRedis(t)
  const b = await startNode(t, 'b', redis, alone)
  const c = await startNode(t, 'c', redis, alone)
  await c.stop()
  const d = await startNode(t, 'd', redis, alone)
  await leaveSession(t, d, 'phone', 'box')
  await d.stop()
  await publishAll(await connectClient(t, b.url()), 'box', numbered(100))
  await redis.kill()
  await b.stop()
  await redis.start()
  const first = await startNode(t, 'c', redis, { ...alone, folder: c.folder })
  await startNode(t, 'b', redis, { ...alone, folder: b.folder })
  await until('the first node knows of the lost one', () => knows(first, 'd'), 20_000)
  const again = await startNode(t, 'd', redis, { ...alone, folder: d.folder })
  const phone = await connectClient(t, again.url(), { clientId: 'phone', clean: false })
  assert.deepEqual(texts(await phone.messages(100)), numbered(100))
})

test('cluster: a ban of another node ends a connection though its file cannot be written', { timeout }, async (t) => {
  const redis = await startRedis(t)
  const a = await startNode(t, 'a', redis)
  const b = await startNode(t, 'b', redis)
  const mallory = await connectRaw(t, b.port(), { username: 'mallory' })
  await mkdir(join(b.folder, 'data', 'bans.json', 'in the way'), { recursive: true })
  await askBroker(join(a.folder, 'data'), { do: 'ban add', kind: 'user', value: 'mallory' })
  await mallory.disconnected(kicked)
})
