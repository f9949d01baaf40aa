// `npm run fuzz -- --minutes 10 --seed N`: the long run, with the heap before and after.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectAsync } from 'mqtt'
import { pino } from 'pino'
import { startOriole } from '../../broker/main.ts'
import { Random } from '../helpers/random.ts'
import { readToolArguments, toolNumber } from '../helpers/tool-arguments.ts'
import { fuzz, fuzzConfig } from './fuzzer.ts'

/** The heap may be this much larger after the run than before it. */
const growthMaxBytes = 16 * 1024 * 1024

const usage = 'usage: npm run fuzz -- [--minutes M] [--seed S]'

const { values } = readToolArguments(usage, {
  options: { minutes: { type: 'string', default: '10' }, seed: { type: 'string' } },
})
const seed = toolNumber('--seed', values.seed ?? String(Math.floor(Math.random() * 2 ** 32)), usage, 0)
const minutes = toolNumber('--minutes', values.minutes, usage, 0.1)
console.log(`seed=${seed} minutes=${values.minutes}`)

const folder = await mkdtemp(join(tmpdir(), 'oriole-fuzz-'))
const configPath = join(folder, 'oriole.yaml')
await writeFile(configPath, fuzzConfig)
const running = await startOriole({ configPath, env: process.env, log: pino({ level: 'silent' }) })
const url = running.listeners[0]!.url
const port = running.listeners[0]!.port
const witness = await connectAsync(url, { clientId: 'witness', protocolVersion: 5 })
// The first seconds fill caches and compile code; they are not growth.
await fuzz({ port, random: new Random(seed), seconds: 5, witness })
const seconds = minutes * 60
const report = await fuzz({ port, random: new Random(seed + 1), seconds, witness })
await witness.endAsync()
await running.stop()
await rm(folder, { recursive: true, force: true })

const growth = report.heapAfter - report.heapBefore
console.log(
  `connections=${report.connections} bytes=${report.bytes} round_trips=${report.roundTrips} heap_growth=${growth}`,
)
if (growth > growthMaxBytes) {
  console.error(`the heap grew by ${growth} bytes; at most ${growthMaxBytes} are expected`)
  process.exitCode = 1
}
