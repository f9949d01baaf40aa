// A short version of `npm run chaos -- reconnect`.
import { test } from 'node:test'
import { seeded } from '../helpers/random.ts'
import { reconnectRun } from './reconnect.ts'

test('chaos: a thousand devices that come back at once are served, and the others hardly notice', {
  timeout: 120_000,
}, async (t) => {
  const report = await reconnectRun(t, seeded(t), { devices: 1_000, servedMaxMs: 30_000, p99MaxMs: 2_000 })
  t.diagnostic(JSON.stringify(report))
})
