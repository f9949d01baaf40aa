// A short version of `npm run chaos -- cluster-rolling`.
import { test } from 'node:test'
import { seeded } from '../helpers/random.ts'
import { clusterRollingRun } from './cluster-rolling.ts'

test('chaos: three nodes are drained and started again under load; nothing is lost, no will is published', {
  timeout: 120_000,
}, async (t) => {
  t.diagnostic(JSON.stringify(await clusterRollingRun(t, seeded(t), { perS: 150, lanes: 6, betweenS: 1 })))
})
