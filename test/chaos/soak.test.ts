// A short version of `npm run chaos -- soak`: whether it runs; what it looks for shows after minutes.
import { test } from 'node:test'
import { seeded } from '../helpers/random.ts'
import { soakRun } from './soak.ts'

test('chaos: clients that come and go under load leave nothing behind', { timeout: 120_000 }, async (t) => {
  const report = await soakRun(t, seeded(t), { minutes: 0.2, clients: 300, messagesPerS: 100, churnPerS: 20 })
  t.diagnostic(JSON.stringify(report))
})
