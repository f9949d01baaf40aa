// `--soak MINUTES`: 2,000 clients, 500 messages a second, half of the clients come and go; memory must become flat.
import { setTimeout as wait } from 'node:timers/promises'
import type { RunningBroker } from './brokers/broker.ts'
import { startOriole } from './brokers/oriole.ts'
import { resident } from './resident.ts'
import type { Bench } from './row.ts'
import { type Scope, scoped } from './scope.ts'

/** Half of all clients stay, in 500 pairs; the others are groups of 50 pairs of which each lives for a minute. */
const stayingPairs = 500
const groups = 10
const groupPairs = 50
const groupLifeS = 60
/** For each pair: together 500 messages a second. */
const ratePerPair = '0.5'
const sampleEveryMs = 5_000
/** Of the mean of the second third; the last third may be this much above. */
const growthMax = 0.05

/** Resolves with the exit code. */
export async function soak(bench: Bench, minutes: number): Promise<number> {
  return scoped(async (scope) => {
    const broker = await startOriole(bench, scope)
    const endsAt = performance.now() + minutes * 60_000
    const steady = bench.generator.load(scope, broker, [
      ...pairsOf(stayingPairs, String(minutes * 60), 'stay'),
      ...['--keepalive', '30'],
    ])
    const churn = Array.from({ length: groups }, (_, group) => comeAndGo(bench, scope, broker, group, endsAt))
    const memory = await watch(broker, endsAt)
    const [{ figures }] = await Promise.all([steady, ...churn])
    console.log(`staying clients: ${figures.deliveredPerS?.toFixed(0)} delivered/s, p99 ${figures.p99Us} µs`)
    return verdict(memory)
  })
}

function pairsOf(pairs: number, seconds: string, name: string): string[] {
  const who = ['--client-prefix', name, '--topic-prefix', `bench/${name}`]
  const work = ['--mode', 'pair', '--publishers', String(pairs), '--qos', '1', '--rate', ratePerPair]
  return [...who, ...work, '--window', '1000', '--warmup', '0', '--seconds', seconds]
}

/** Every second group has persistent sessions, which are found again by the next life. */
async function comeAndGo(bench: Bench, scope: Scope, broker: RunningBroker, group: number, endsAt: number) {
  await wait((group * groupLifeS * 1_000) / groups)
  while (performance.now() < endsAt) {
    const leftS = (endsAt - performance.now()) / 1_000
    const args = pairsOf(groupPairs, String(Math.min(groupLifeS, Math.max(1, leftS))), `group${group}`)
    await bench.generator.prepare(scope, broker, group % 2 === 0 ? [...args, '--persistent'] : args)
  }
}

async function watch({ pid }: RunningBroker, endsAt: number): Promise<number[]> {
  const memory: number[] = []
  while (performance.now() < endsAt - sampleEveryMs) {
    await wait(sampleEveryMs)
    memory.push((await resident(pid)).nowBytes)
    if (memory.length % 12 === 0) console.log(`minute ${memory.length / 12}: ${megabytes(memory.at(-1)!)} MB`)
  }
  return memory
}

function verdict(memory: readonly number[]): number {
  const third = Math.floor(memory.length / 3)
  const means = [0, 1, 2].map((part) => mean(memory.slice(part * third, (part + 1) * third)))
  const growth = means[2]! / means[1]! - 1
  const flat = growth <= growthMax
  console.log(
    `memory by thirds: ${means.map(megabytes).join(', ')} MB; the last above the second by ${(growth * 100).toFixed(1)} %`,
  )
  console.log(flat ? 'hit: flat after the first third' : `MISSED: grows by more than ${growthMax * 100} %`)
  return flat ? 0 : 1
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(0)
}
