// A short version of `npm run chaos -- stranger`.
import { test } from 'node:test'
import { seeded } from '../helpers/random.ts'
import { strangerRun } from './stranger.ts'

test('chaos: whoever else comes with its client id, an owner loses nothing', { timeout: 60_000 }, async (t) => {
  t.diagnostic(JSON.stringify(await strangerRun(t, seeded(t), 20)))
})
