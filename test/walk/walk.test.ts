// A few random walks of real clients against the broker and against the naive model; `npm run walk` takes many.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Random, seeded } from '../helpers/random.ts'
import { randomSteps } from './steps.ts'
import { type StoreKind, walk } from './walk.ts'

const walks = 20
const stepsOfOne = 40

for (const store of ['memory', 'level'] as const satisfies readonly StoreKind[]) {
  test(`walk: the broker with the ${store} store does what the model says`, { timeout: 60_000 }, async (t) => {
    const seed = seeded(t).seed
    for (let index = 0; index < walks; index += 1) {
      const steps = randomSteps(new Random(seed + index), stepsOfOne, store === 'level')
      const { difference, history } = await walk(steps, store)
      const again = `npm run walk -- --walks 1 --seed ${seed + index} --store ${store}`
      assert.equal(difference, undefined, `${difference}\n${history.join('\n')}\nAgain, and made shorter: ${again}`)
    }
  })
}
