// Short versions of `npm run chaos -- cluster-lost` and `cluster-back`.
import { test } from 'node:test'
import { seeded } from '../helpers/random.ts'
import { clusterLostRun } from './cluster-lost.ts'

const timeout = 180_000

test('chaos: one node of three is lost with its disk', { timeout }, async (t) => {
  t.diagnostic(JSON.stringify(await clusterLostRun(t, seeded(t), { perS: 150, afterS: 6 })))
})

test('chaos: one node of three is killed, and comes back when its sessions have gone on', { timeout }, async (t) => {
  t.diagnostic(JSON.stringify(await clusterLostRun(t, seeded(t), { perS: 150, afterS: 8, comesBack: true })))
})
