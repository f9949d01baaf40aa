// A short version of `npm run chaos -- flood`.
import { test } from 'node:test'
import { floodRun } from './flood.ts'

test('chaos: a client that publishes as fast as it can harms nobody', { timeout: 180_000 }, async (t) => {
  // On a loaded machine: without turns the others wait for seconds.
  const reports = await floodRun(t, { seconds: 3, pairs: 20, perS: 20, p99MaxMs: 400 })
  t.diagnostic(JSON.stringify(reports))
})
