// A short version of `npm run chaos -- powercut`.
import { test } from 'node:test'
import { seeded } from '../helpers/random.ts'
import { powercutRun } from './powercut.ts'
import { canTrace } from './strace.ts'

test('chaos: a power cut loses nothing that was acknowledged, and no acknowledgement leaves before its sync', {
  timeout: 60_000,
}, async (t) => {
  if (!(await canTrace())) {
    t.skip('strace is not installed, or this process may not trace others (ptrace)')
    return
  }
  const report = await powercutRun(t, seeded(t), 2_000)
  t.diagnostic(JSON.stringify(report))
})
