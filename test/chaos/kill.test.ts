// A short version of `npm run chaos -- kill`.
import { test } from 'node:test'
import { seeded } from '../helpers/random.ts'
import { killRun } from './kill.ts'

for (let run = 1; run <= 2; run += 1) {
  test(`chaos: kill -9 under load loses nothing and doubles nothing (${run})`, { timeout: 60_000 }, async (t) => {
    const report = await killRun(t, seeded(t), 3_000, 5)
    t.diagnostic(JSON.stringify(report))
  })
}
