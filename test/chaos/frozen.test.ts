// A short version of `npm run chaos -- frozen`.
import { test } from 'node:test'
import { errorText } from '../../broker/errors.ts'
import { frozenRun } from './frozen.ts'

test('chaos: a subscriber that does not read harms nobody, and gets its QoS 1 messages later', {
  timeout: 120_000,
}, async (t) => {
  // On a loaded machine: what is looked for is a stall, which lasts for seconds.
  const run = () => frozenRun(t, { subscribers: 200, frozenS: 3, perS: 30, p99MaxMs: 500 })
  // Other tests may take the machine for a moment, but not twice: what the broker does wrong, it does again.
  const reports = await run().catch((error: unknown) => {
    t.diagnostic(`once more: ${errorText(error)}`)
    return run()
  })
  t.diagnostic(JSON.stringify(reports))
})
