// A short version of `npm run chaos -- timing`, in time of the processor, because that of the clock is the other tests' too.
import { test } from 'node:test'
import { processorMs } from '../helpers/processor-time.ts'
import { seeded } from '../helpers/random.ts'
import { timingRun } from './timing.ts'

test('chaos: the time of a refusal does not tell which names exist', { timeout: 110_000 }, async (t) => {
  // With a few logins of each kind medians are rough; half a hash more or less would be 50 %.
  const options = { clock: processorMs, differenceMax: 0.1 }
  t.diagnostic(JSON.stringify(await timingRun(t, seeded(t), 60, 4, options)))
})
