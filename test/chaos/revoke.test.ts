// A short version of `npm run chaos -- revoke`.
import { test } from 'node:test'
import { seeded } from '../helpers/random.ts'
import { revokeRun } from './revoke.ts'

test('chaos: a second after a right is taken away nothing is delivered and nothing accepted', {
  timeout: 60_000,
}, async (t) => {
  t.diagnostic(JSON.stringify(await revokeRun(t, seeded(t))))
})
