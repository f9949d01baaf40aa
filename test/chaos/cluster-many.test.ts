// A short version of `npm run chaos -- cluster-many`.
import { test } from 'node:test'
import { seeded } from '../helpers/random.ts'
import { clusterManyRun } from './cluster-many.ts'

test('chaos: a node with many sessions comes back, and is lost', { timeout: 180_000 }, async (t) => {
  t.diagnostic(JSON.stringify(await clusterManyRun(t, seeded(t), { sessions: 1_000, asked: 50, perS: 100 })))
})
