// A node that is killed right after its first start comes back as the same node.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startCluster } from '../helpers/cluster.ts'

test('cluster: a node that is killed when it has just begun to serve is let in again at once', {
  timeout: 60_000,
}, async (t) => {
  const { nodes } = await startCluster(t, { nodes: ['a', 'b', 'c'] })
  await Promise.all(nodes.map((node) => node.kill()))
  await Promise.all(nodes.map((node) => node.start()))
  assert.ok(nodes.every(({ isRunning }) => isRunning))
})
