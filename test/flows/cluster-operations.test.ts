// Running a cluster: how its nodes are, forgetting one that is gone, and refusing one that speaks another way.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Redis } from 'ioredis'
import type { ClusterStatus, NodeStatus } from '../../broker/cluster/cluster-status.ts'
import { until } from '../chaos/crowd.ts'
import { RoamingClient } from '../chaos/roaming-client.ts'
import type { Cleanup } from '../helpers/broker.ts'
import { type ClusterNode, startCluster } from '../helpers/cluster.ts'

const timeout = 60_000

async function status(node: ClusterNode): Promise<ClusterStatus & { readonly exitCode: number | null }> {
  const { stdout, stderr, exitCode } = await node.command('cluster', 'status', '--json')
  assert.ok(stdout.startsWith('{'), stderr)
  return { ...(JSON.parse(stdout) as ClusterStatus), exitCode }
}

function find({ nodes }: ClusterStatus, name: string): NodeStatus {
  const found = nodes.find(({ node }) => node === name)
  assert.ok(found !== undefined, `no node ${name}`)
  return found
}

async function client(t: Cleanup, port: number, clientId: string, version: 4 | 5 = 5): Promise<RoamingClient> {
  const made = new RoamingClient({ clientId, version })
  t.after(() => made.destroy())
  await made.connect(port)
  return made
}

test('cluster status: nodes with their clients, what waits for one that is away, and Redis', { timeout }, async (t) => {
  const { nodes, redis } = await startCluster(t, { nodes: ['one', 'two'] })
  const [one, two] = nodes as [ClusterNode, ClusterNode]
  const subscriber = await client(t, two.port, 'subscriber')
  await subscriber.subscribe([{ topic: 'a', qos: 1 }])
  const all = await status(one)
  assert.equal(all.exitCode, 0)
  assert.deepEqual([all.cluster, all.redis.isUp, all.redis.warnings], ['chaos', true, []])
  assert.match(all.redis.version ?? '', /^\d+\./)
  assert.deepEqual(
    all.nodes.map(({ node, state }) => [node, state]),
    [
      ['one', 'here'],
      ['two', 'live'],
    ],
  )
  const { report, serverReference } = find(all, 'two')
  assert.deepEqual([report?.connections, report?.sessions, report?.subscriptions], [1, 1, 1])
  assert.equal(serverReference, `127.0.0.1:${two.port}`)
  assert.match(report?.version ?? '', /^\d+\.\d+\.\d+$/)

  await two.kill()
  await until('two is away', async () => find(await status(one), 'two').state === 'away', 15_000)
  const publisher = await client(t, one.port, 'publisher')
  for (let n = 0; n < 3; n += 1) await publisher.publish('a', 'x', 1)
  const later = await status(one)
  assert.equal(later.exitCode, 1)
  assert.equal(find(later, 'two').report, undefined)
  assert.ok((find(later, 'two').stream?.entries ?? 0) > 0)
  const outbox = find(later, 'one').report?.outboxes.find(({ node }) => node === 'two')
  assert.deepEqual([outbox?.messages, outbox?.isLive], [3, false])
  const metrics = await one.metrics()
  assert.equal(metrics.get('oriole_cluster_outbox_messages{node="two"}'), 3)
  assert.equal(metrics.get('oriole_cluster_nodes{state="away"}'), 1)
  assert.equal(metrics.get('oriole_cluster_redis_up'), 1)
  assert.equal(metrics.get('oriole_cluster_filters'), 1)
  const table = (await one.command('cluster', 'status')).stdout
  assert.match(table, /^cluster chaos, redis \d/)
  assert.match(table, /^two +away +- +1 /m)
  assert.match(table, /^ {2}one has 3 messages, .* for two \(it is away\)/m)

  await redis.kill()
  await until('one knows that Redis is away', async () => !(await status(one)).redis.isUp, 15_000)
  assert.equal(find(await status(one), 'two').state, 'unknown')
  const ready = await one.ready()
  assert.deepEqual([ready.status, ready.body.cluster], [200, { redis: 'away', nodes: { live: 0, away: 1 } }])
})

test('cluster status: a Redis that may throw away what it holds is warned of', { timeout }, async (t) => {
  const redisArguments = ['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru']
  const { nodes } = await startCluster(t, { nodes: ['one'], redisArguments })
  const { redis, exitCode } = await status(nodes[0]!)
  assert.match(redis.warnings.join(), /maxmemory-policy is allkeys-lru/)
  assert.equal(exitCode, 1)
})

test('cluster forget: a node that is gone goes with what waited for it; one that is alive or unknown does not', {
  timeout,
}, async (t) => {
  const { nodes } = await startCluster(t, { nodes: ['one', 'two', 'three'] })
  const [one, two, three] = nodes as [ClusterNode, ClusterNode, ClusterNode]
  const subscriber = await client(t, two.port, 'subscriber')
  await subscriber.subscribe([{ topic: 'a', qos: 1 }])
  const forget = (node: string) => one.command('cluster', 'forget', node)
  assert.match((await forget('two')).stderr, /ORI_CLUSTER_FORGET: node "two" cannot be forgotten: .* is alive/)
  assert.match((await forget('four')).stderr, /there is none of that name; there is (two, three|three, two)$/m)
  assert.match((await forget('one')).stderr, /it is this one; ask another node/)
  await two.kill()
  const publisher = await client(t, one.port, 'publisher')
  await publisher.publish('a', 'x', 1)
  await until('two is away', async () => find(await status(one), 'two').state === 'away', 15_000)
  const { stdout, stderr, exitCode } = await forget('two')
  assert.equal(exitCode, 0, stderr)
  assert.equal(stdout, 'two is forgotten; 1 messages that waited for it here were dropped\n')
  for (const node of [one, three]) {
    const isGone = async (): Promise<boolean> => (await status(node)).nodes.length === 2
    await until(`${node.name} has forgotten it`, isGone, 10_000)
  }
  assert.equal((await one.metrics()).has('oriole_cluster_outbox_messages{node="two"}'), false)
})

test('cluster: commands for a broker that is in none, or that does not run', { timeout }, async (t) => {
  const { nodes } = await startCluster(t, { nodes: ['one'], isAlone: true })
  const [one] = nodes as [ClusterNode]
  assert.match((await one.command('cluster', 'status')).stderr, /ORI_CLUSTER_NONE/)
  assert.match((await one.command('drain')).stderr, /ORI_DRAIN_NOWHERE: this broker is in no cluster/)
  assert.equal((await one.command('cluster', 'statsu')).exitCode, 2)
  assert.equal((await one.command('cluster', 'forget')).exitCode, 2)
  await one.kill('SIGTERM')
  assert.match((await one.command('cluster', 'status')).stderr, /no broker runs on /)
  assert.match((await one.command('drain')).stderr, /no broker runs on /)
})

test('cluster: a node of another bus version is refused with a clear word, and changes nothing', {
  timeout,
}, async (t) => {
  const { nodes, redis } = await startCluster(t, { nodes: ['one', 'two'] })
  const [one, two] = nodes as [ClusterNode, ClusterNode]
  await two.kill('SIGTERM')
  // A later release on a third machine: what follows its version it alone can read.
  const other = new Redis(redis.port)
  t.after(() => other.disconnect())
  const lease = `2 99 ${'ab'.repeat(8)} what version two writes`
  await other.set('{oriole:chaos}:node:later', lease, 'PX', 60_000)
  await other.hset('{oriole:chaos}:nodes', 'later', lease)
  const before = await status(one)
  await assert.rejects(two.start(), /ORI_CLUSTER_VERSION: node "later" of the cluster speaks bus version 2, this one 1/)
  assert.deepEqual(
    (await status(one)).nodes.map(({ node }) => node),
    before.nodes.map(({ node }) => node),
  )
  assert.equal(await other.exists('{oriole:chaos}:node:two'), 0)
  await other.del('{oriole:chaos}:node:later')
  await two.start()
})
