// `npm run bench`: Oriole side by side with other brokers, each pinned to one core and the load to another.
import { parseArgs } from 'node:util'
import { buildGenerator } from './generator.ts'
import { measureRow, type RowResult } from './measure.ts'
import { canPin, Unavailable } from './programs.ts'
import { rowText, sampleText } from './report.ts'
import type { Bench } from './row.ts'
import { rows } from './rows.ts'
import { Scope } from './scope.ts'

const usage = `usage: npm run bench -- [options]
  --list             the rows
  --only NAME        this row; more than once: these (a name with * at its end: all that begin so)
  --rounds N         of which the median counts (3)
  --seconds S        of each measurement (4)
  --node PATH        the node that runs Oriole and aedes (this one)`

const { values } = parseArgs({
  options: {
    list: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '4' },
    node: { type: 'string', default: process.execPath },
    help: { type: 'boolean', default: false },
  },
})

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
  if (values.help) return say(usage, 0)
  const wanted = rows.filter(({ name }) => values.only === undefined || values.only.some((one) => fits(one, name)))
  if (values.list) return say(rows.map(({ name, work }) => `${name.padEnd(20)} ${work}`).join('\n'), 0)
  if (wanted.length === 0) return say(`no row is called ${values.only?.join(' or ')}; see --list\n\n${usage}`, 2)
  if (!canPin)
    console.log('nothing is pinned to a core here (taskset and two cores are needed): read the ratios with care')

  const bench = await makeBench()
  const results: RowResult[] = []
  for (const row of wanted) {
    console.log(`${row.name}: ${row.work}`)
    const result = await measureRow(bench, row, Number(values.rounds), {
      sample: (...sample) => console.log(sampleText(...sample)),
      skipped: (_row, side, reason) => console.log(`  skipped  ${side}: ${reason}`),
    })
    results.push(result)
  }
  console.log(`\n${results.map(rowText).join('\n')}`)
  return 0
}

async function makeBench(): Promise<Bench> {
  const made = new Map<string, Promise<unknown>>()
  return {
    generator: await buildGenerator(),
    seconds: Number(values.seconds),
    node: values.node,
    profiles: undefined,
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
