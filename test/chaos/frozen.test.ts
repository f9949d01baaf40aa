// A short version of `npm run chaos -- frozen`.
import { test } from 'node:test'
import { frozenRun } from './frozen.ts'

test('chaos: a subscriber that does not read harms nobody, and gets its QoS 1 messages later', {
  timeout: 120_000,
}, async (t) => {
  // On a loaded machine: what is looked for is a stall, which lasts for seconds.
  const reports = await frozenRun(t, { subscribers: 200, frozenS: 3, perS: 30, p99MaxMs: 500 })
  t.diagnostic(JSON.stringify(reports))
})
