// A short version of `npm run chaos -- noisy`.
import { test } from 'node:test'
import { seeded } from '../helpers/random.ts'
import { noisyRun } from './noisy.ts'

test('chaos: a noisy group pushes out nothing but its own, and its members are told how much', {
  timeout: 60_000,
}, async (t) => {
  t.diagnostic(JSON.stringify(await noisyRun(t, seeded(t), 4_000)))
})
