// A short version of `npm run chaos -- reset`.
import { test } from 'node:test'
import { resetRun } from './reset.ts'

test('chaos: of a thousand connections that are reset at once every will arrives', { timeout: 120_000 }, async (t) => {
  // On a loaded machine.
  t.diagnostic(JSON.stringify(await resetRun(t, { clients: 1_000, moreMs: 500 })))
})
