// `npm run walk -- --walks 2000 --seed 7`: random walks until one differs from the model, which is then made shorter.
import { Random } from '../helpers/random.ts'
import { readToolArguments, toolNumber } from '../helpers/tool-arguments.ts'
import { shorten } from './shorten.ts'
import { randomSteps, type Step } from './steps.ts'
import { type StoreKind, walk } from './walk.ts'

const usage = `usage: npm run walk -- [options]
  --walks N      how many (100), of --steps N steps each (40)
  --seed S       of the first one; chosen and printed without it
  --store KIND   memory or level; without it both in turn
  --keep-going   does not end at the first difference`

const { values } = readToolArguments(usage, {
  options: {
    walks: { type: 'string', default: '100' },
    steps: { type: 'string', default: '40' },
    seed: { type: 'string' },
    store: { type: 'string' },
    'keep-going': { type: 'boolean', default: false },
  },
})
const first = toolNumber('--seed', values.seed ?? String(Math.floor(Math.random() * 2 ** 31)), usage, 0)
const walks = toolNumber('--walks', values.walks, usage)
const length = toolNumber('--steps', values.steps, usage)
let differences = 0
console.log(`${walks} walks of ${values.steps} steps, seeds ${first} to ${first + walks - 1}`)
const startedAt = Date.now()
for (let seed = first; seed < first + walks; seed += 1) {
  const store = (values.store ?? (seed % 3 === 0 ? 'memory' : 'level')) as StoreKind
  const steps = randomSteps(new Random(seed), length, store === 'level')
  const { difference, history } = await walk(steps, store)
  if (difference !== undefined) {
    differences += 1
    console.log(`seed ${seed} (${store} store): ${difference}`)
    console.log(history.join('\n'))
    if (!values['keep-going']) {
      await showShortest(steps, store)
      break
    }
  }
  if ((seed - first + 1) % 100 === 0)
    console.log(`${seed - first + 1} walks, ${Math.round((Date.now() - startedAt) / 1000)} s`)
}
console.log(differences === 0 ? 'no difference' : `${differences} walks differ`)
process.exitCode = differences === 0 ? 0 : 1

async function showShortest(steps: readonly Step[], store: StoreKind): Promise<void> {
  const { difference, history } = await shorten(steps, store)
  console.log(`\nmade shorter: ${difference}\n${history.join('\n')}`)
}
