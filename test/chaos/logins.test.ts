// A short version of `npm run chaos -- logins`.
import { test } from 'node:test'
import { loginsRun } from './logins.ts'

test('chaos: wrong passwords in a flood keep nobody waiting who has the right one', { timeout: 90_000 }, async (t) => {
  t.diagnostic(JSON.stringify(await loginsRun(t, { badPerS: 200, seconds: 3 })))
})
