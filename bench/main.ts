// `npm run bench`: Oriole side by side with other brokers, each pinned to one core and the load to another.
import { readToolArguments } from '../test/helpers/tool-arguments.ts'
import { buildGenerator } from './generator.ts'
import { describeMachine } from './machine.ts'
import { measureRow, type RowResult } from './measure.ts'
import { nodeProgram } from './other-node.ts'
import { writePage } from './page.ts'
import { scratchFolder } from './places.ts'
import { profileText } from './profile.ts'
import { canPin, Unavailable } from './programs.ts'
import { rowText, sampleText } from './report.ts'
import type { Bench } from './row.ts'
import { rows } from './rows.ts'
import { Scope } from './scope.ts'
import { soak } from './soak.ts'

const usage = `usage: npm run bench -- [options]
  --list             the rows
  --only NAME        this row; more than once: these (a name with * at its end: all that begin so)
  --rounds N         of which the median counts (3)
  --seconds S        of each measurement (4)
  --profile          one round of Oriole alone, and the functions in which it spent its time
  --write            put the figures into docs/benchmarks.md
  --node 24 | PATH   another Node.js for Oriole and aedes; a number is installed from npm
  --soak MINUTES     2,000 clients, 500 messages a second, clients come and go: memory must become flat`

const { values } = readToolArguments(usage, {
  options: {
    list: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '4' },
    profile: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    node: { type: 'string' },
    soak: { type: 'string' },
  },
})
const seconds = Number(values.seconds)
const rounds = values.profile ? 1 : Number(values.rounds)

/** What is kept until the end of the bench. */
const all = new Scope()
process.once('SIGINT', () => void all.end().then(() => process.exit(130)))
try {
  process.exitCode = await main()
} catch (error) {
  if (!(error instanceof Unavailable)) throw error
  console.error(`bench: ${error.message}`)
  process.exitCode = 1
} finally {
  await all.end()
}

async function main(): Promise<number> {
  if (!(seconds > 0 && rounds > 0)) return say(`--seconds and --rounds must be above 0\n\n${usage}`, 2)
  const wanted = rows.filter(({ name }) => values.only === undefined || values.only.some((one) => fits(one, name)))
  if (values.list) return say(rows.map(({ name, work }) => `${name.padEnd(20)} ${work}`).join('\n'), 0)
  if (wanted.length === 0) return say(`no row is called ${values.only?.join(' or ')}; see --list\n\n${usage}`, 2)
  if (!canPin) say('nothing is pinned to a core here (taskset and two cores are needed): read the ratios with care', 0)

  const bench = await makeBench()
  if (values.soak !== undefined) return soak(bench, Number(values.soak))
  const results: RowResult[] = []
  for (const row of wanted) {
    console.log(`${row.name}: ${row.work}`)
    const result = await measureRow(bench, row, rounds, {
      sample: (...sample) => console.log(sampleText(...sample)),
      skipped: (_row, side, reason) => console.log(`  skipped  ${side}: ${reason}`),
    })
    if (bench.profiles !== undefined) console.log(await profileText(bench.profiles, seconds))
    results.push(result)
  }
  console.log(`\n${results.map(rowText).join('\n')}`)
  if (values.write && !values.profile) {
    const machine = await describeMachine(bench.node)
    await writePage(results, { machine, rounds, seconds, otherNode: values.node !== undefined })
  }
  return 0
}

async function makeBench(): Promise<Bench> {
  const made = new Map<string, Promise<unknown>>()
  return {
    generator: await buildGenerator(),
    seconds,
    node: values.node === undefined ? process.execPath : await nodeProgram(values.node),
    profiles: values.profile ? await scratchFolder(all) : undefined,
    once<T>(key: string, make: (scope: Scope) => Promise<T>): Promise<T> {
      const known = made.get(key) ?? make(all)
      made.set(key, known)
      return known as Promise<T>
    },
  }
}

function fits(wanted: string, name: string): boolean {
  return wanted.endsWith('*') ? name.startsWith(wanted.slice(0, -1)) : name === wanted
}

function say(text: string, exitCode: number): number {
  console.log(text)
  return exitCode
}
