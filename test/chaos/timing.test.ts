// A short version of `npm run chaos -- timing`.
import { test } from 'node:test'
import { seeded } from '../helpers/random.ts'
import { timingRun } from './timing.ts'

test('chaos: the time of a refusal does not tell which names exist', { timeout: 110_000 }, async (t) => {
  t.diagnostic(JSON.stringify(await timingRun(t, seeded(t), 90, 10)))
})
