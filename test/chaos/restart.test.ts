// A short version of `npm run chaos -- restart`.
import { test } from 'node:test'
import { seeded } from '../helpers/random.ts'
import { restartRun } from './restart.ts'

test('chaos: after restarts of all kinds old messages come before new ones, and all of them', {
  timeout: 60_000,
}, async (t) => {
  const report = await restartRun(t, seeded(t), 6)
  t.diagnostic(JSON.stringify(report))
})
