// A short version of `npm run chaos -- cluster-latency`.
import { test } from 'node:test'
import { clusterLatencyRun } from './cluster-latency.ts'

test('chaos: from node to node a message takes no time to speak of', { timeout: 60_000 }, async (t) => {
  // On a machine that runs other tests; what is promised is measured by the long version.
  t.diagnostic(JSON.stringify(await clusterLatencyRun(t, { perS: 200, forS: 3, p99MaxMs: 500 })))
})
