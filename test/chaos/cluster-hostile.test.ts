// A short version of `npm run chaos -- cluster-hostile`.
import { test } from 'node:test'
import { seeded } from '../helpers/random.ts'
import { clusterHostileRun } from './cluster-hostile.ts'

test('chaos: hostile frames on channels and streams get in nowhere, are counted, and end no node', {
  timeout: 90_000,
}, async (t) => {
  t.diagnostic(JSON.stringify(await clusterHostileRun(t, seeded(t), { frames: 1_000, perS: 200 })))
})
