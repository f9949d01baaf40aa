// Short versions of `npm run chaos -- cluster-matrix`, `cluster-flap`, `cluster-cut` and `cluster-node`.
import { test } from 'node:test'
import { seeded } from '../helpers/random.ts'
import { clusterCutRun } from './cluster-cut.ts'
import { clusterFlapRun } from './cluster-flap.ts'
import { clusterMatrixRun } from './cluster-matrix.ts'
import { clusterNodeRun } from './cluster-node.ts'

const timeout = 120_000

test('chaos: what a subscriber gets from two nodes is what it gets from one', { timeout }, async (t) => {
  t.diagnostic(JSON.stringify(await clusterMatrixRun(t, seeded(t), 150)))
})

test('chaos: a client that connects to two nodes in turn has one connection and its queue once', {
  timeout,
}, async (t) => {
  // Too short to see a leak: the heap is still growing.
  t.diagnostic(JSON.stringify(await clusterFlapRun(t, seeded(t), { forS: 4, perS: 100, growthMaxMb: 200 })))
})

test('chaos: a node is cut off from Redis and healed', { timeout }, async (t) => {
  t.diagnostic(JSON.stringify(await clusterCutRun(t, seeded(t), { cutS: 9, perS: 100, rivals: 5 })))
})

test('chaos: one node of three is killed under load and comes back', { timeout }, async (t) => {
  t.diagnostic(JSON.stringify(await clusterNodeRun(t, seeded(t), { kills: 1, awayMaxS: 3, perS: 200 })))
})
