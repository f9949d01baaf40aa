// `npm run chaos -- NAME --runs N --seed S`: things go wrong on purpose, and what was promised is compared with what is.
import { errorText } from '../../broker/errors.ts'
import type { Cleanup } from '../helpers/broker.ts'
import { Random } from '../helpers/random.ts'
import { readToolArguments, toolNumber } from '../helpers/tool-arguments.ts'
import { backupRun } from './backup.ts'
import { clusterScenarios } from './cluster-scenarios.ts'
import { damageRun } from './damage.ts'
import { diskfullRun, smallDisk } from './diskfull.ts'
import { floodRun } from './flood.ts'
import { frozenRun } from './frozen.ts'
import { killRun } from './kill.ts'
import { loginsRun } from './logins.ts'
import { nofaultRun } from './nofault.ts'
import { noisyRun } from './noisy.ts'
import { powercutRun } from './powercut.ts'
import { reconnectRun } from './reconnect.ts'
import { resetRun } from './reset.ts'
import { restartRun } from './restart.ts'
import { revokeRun } from './revoke.ts'
import { soakRun } from './soak.ts'
import { strangerRun } from './stranger.ts'
import { timingRun } from './timing.ts'

type Run = (t: Cleanup, random: Random) => Promise<unknown>

const usage = `usage: npm run chaos -- NAME [options]
  --runs N       how often, each with the seed after the last (10)
  --seed S       of the first run; chosen and printed without it
  --messages N   kill: published (50,000); nofault and noisy: twice as many
  --pairs N      cluster-matrix (5,000)
  --times N, --away S   cluster-redis: how often Redis is killed (20), for how many seconds (10)
  --minutes M    soak (30)`

const { values, positionals } = readToolArguments(usage, {
  allowPositionals: true,
  options: {
    runs: { type: 'string', default: '10' },
    seed: { type: 'string' },
    messages: { type: 'string', default: '50000' },
    minutes: { type: 'string', default: '30' },
    pairs: { type: 'string', default: '5000' },
    times: { type: 'string', default: '20' },
    away: { type: 'string', default: '10' },
  },
})

const number = (option: keyof typeof values, least?: number) =>
  toolNumber(`--${option}`, values[option] ?? '', usage, least)
const numbers = {
  runs: number('runs'),
  messages: number('messages'),
  minutes: number('minutes', 0.1),
  pairs: number('pairs'),
  times: number('times'),
  away: number('away'),
}

const scenarios: Readonly<Record<string, Run>> = {
  kill: (t, random) => killRun(t, random, numbers.messages),
  nofault: (t, random) => nofaultRun(t, random, numbers.messages * 2),
  powercut: (t, random) => powercutRun(t, random, 6_000),
  diskfull: async (t, random) => {
    const disk = await smallDisk(t)
    if (disk === undefined) throw new Error('mounting a tmpfs needs root')
    return diskfullRun(t, random, disk)
  },
  restart: (t, random) => restartRun(t, random, 5),
  damage: damageRun,
  reset: (t) => resetRun(t, { clients: 10_000, moreMs: 500 }),
  backup: backupRun,
  revoke: revokeRun,
  logins: (t) => loginsRun(t, { badPerS: 1_000, seconds: 10 }),
  stranger: (t, random) => strangerRun(t, random, 50),
  frozen: (t) => frozenRun(t, { subscribers: 1_000, frozenS: 20, perS: 10, p99MaxMs: 100 }),
  flood: (t) => floodRun(t, { seconds: 60, pairs: 50, perS: 10, p99MaxMs: 50 }),
  reconnect: (t, random) => reconnectRun(t, random, { devices: 10_000, servedMaxMs: 30_000, p99MaxMs: 500 }),
  soak: (t, random) =>
    soakRun(t, random, { minutes: numbers.minutes, clients: 2_000, messagesPerS: 500, churnPerS: 20 }),
  timing: (t, random) => timingRun(t, random, 2_000, 1),
  noisy: (t, random) => noisyRun(t, random, numbers.messages * 2),
  ...clusterScenarios({ pairs: numbers.pairs, times: numbers.times, awayS: numbers.away }),
}

process.exitCode = await main(positionals[0])

async function main(name: string | undefined): Promise<number> {
  const run = name !== undefined && Object.hasOwn(scenarios, name) ? scenarios[name] : undefined
  if (run === undefined) {
    const wrong = name === undefined ? '' : `there is no "${name}"\n\n`
    console.error(`${wrong}${usage}\n\nNAME: ${Object.keys(scenarios).join(', ')}`)
    return 2
  }
  const first = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : number('seed', 0)
  const { runs } = numbers
  let misses = 0
  for (let seed = first; seed < first + runs; seed += 1) {
    const startedAt = performance.now()
    const result = await once(run, new Random(seed))
    if (result instanceof Error) misses += 1
    const shown = result instanceof Error ? `MISS: ${errorText(result)}` : JSON.stringify(result)
    console.log(`${name} seed=${seed} ${((performance.now() - startedAt) / 1000).toFixed(1)} s ${shown}`)
  }
  console.log(`${name}: ${runs - misses} of ${runs} runs kept every promise`)
  return misses === 0 ? 0 : 1
}

async function once(run: Run, random: Random): Promise<unknown> {
  const releases: (() => unknown)[] = []
  try {
    return await run({ after: (release: () => unknown) => void releases.push(release) }, random)
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  } finally {
    for (const release of releases.reverse()) await release()
  }
}
