// Sessions that move are counted on both nodes, with how long it took.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ClusterNode, startCluster } from '../helpers/cluster.ts'
import { connectRaw, kept } from '../helpers/raw-client.ts'

async function until(node: ClusterNode, metric: string, value: number): Promise<void> {
  while ((await node.metric(metric)) !== value);
}

const moves = (end: string): string => `oriole_cluster_session_moves_total{end="${end}"}`

test('cluster: sessions that are given, taken and not obtained are counted', { timeout: 60_000 }, async (t) => {
  const { nodes } = await startCluster(t, { nodes: ['a', 'b'], durability: 'os' })
  const [a, b] = [nodes[0]!, nodes[1]!]
  for (const clientId of ['mover', 'late']) {
    const client = await connectRaw(t, a.port, kept(clientId))
    await client.subscribe(`to/${clientId}`, { qos: 1 })
    await client.leave()
  }
  const sender = await connectRaw(t, a.port, { clientId: 'sender' })
  await sender.publishAcknowledged('to/mover', 'hello')
  const mover = await connectRaw(t, b.port, { ...kept('mover'), answers: true })
  assert.deepEqual(await mover.texts(1), ['hello'])
  await until(b, moves('taken'), 1)
  assert.equal(await a.metric(moves('given')), 1)
  assert.equal(await b.metric('oriole_cluster_session_move_seconds_count'), 1)
  const seconds = await b.metric('oriole_cluster_session_move_seconds_sum')
  assert.ok(seconds > 0 && seconds < 30, `${seconds} s`)

  // It hangs, and has its lease for some seconds more.
  process.kill(a.processId, 'SIGSTOP')
  await connectRaw(t, b.port, kept('late'))
  assert.equal(await b.metric(moves('failed')), 1)
  process.kill(a.processId, 'SIGCONT')
  await until(b, moves('taken'), 2)
  assert.equal(await b.metric(moves('partly')), 0)
})
