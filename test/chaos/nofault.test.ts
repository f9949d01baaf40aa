// A short version of `npm run chaos -- nofault`.
import { test } from 'node:test'
import { seeded } from '../helpers/random.ts'
import { nofaultRun } from './nofault.ts'

test('chaos: without a fault nobody misses a message of 50 publishers, and each one keeps its order', {
  timeout: 60_000,
}, async (t) => {
  const report = await nofaultRun(t, seeded(t), 10_000)
  t.diagnostic(JSON.stringify(report))
})
