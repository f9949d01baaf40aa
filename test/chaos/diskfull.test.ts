// A run of `npm run chaos -- diskfull`: it takes a few seconds.
import { test } from 'node:test'
import { seeded } from '../helpers/random.ts'
import { diskfullRun, smallDisk } from './diskfull.ts'

test('chaos: with a full, a broken and a read-only disk nothing is promised, and the broker recovers by itself', {
  timeout: 120_000,
}, async (t) => {
  const disk = await smallDisk(t)
  if (disk === undefined) {
    t.skip('mounting a tmpfs needs root')
    return
  }
  const report = await diskfullRun(t, seeded(t), disk)
  t.diagnostic(JSON.stringify(report))
})
