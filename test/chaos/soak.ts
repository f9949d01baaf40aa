// A long quiet time: two thousand clients, 500 messages a second, clients that come and go. The memory is flat after
// the first third, and nothing that was acknowledged is lost.
import assert from 'node:assert/strict'
import { setTimeout as wait } from 'node:timers/promises'
import type { Cleanup } from '../helpers/broker.ts'
import type { Random } from '../helpers/random.ts'
import { type CrowdBroker, connectAll, memoryMb, startCrowdBroker, startPairs, until } from './crowd.ts'
import type { LightClient } from './light-client.ts'

export interface SoakOptions {
  readonly minutes: number
  readonly clients: number
  /** In all. */
  readonly messagesPerS: number
  /** Clients that leave and come back: half of them say goodbye, half keep their session. */
  readonly churnPerS: number
}

export interface SoakReport {
  readonly minutes: number
  readonly published: number
  readonly cameBack: number
  readonly p99Ms: number
  /** The mean of each third, in MB, the files that LevelDB maps left out. */
  readonly memoryMb: readonly number[]
  /** The live heap as far as it shows: the least of each third. */
  readonly leastMb: readonly number[]
}

const samplesPerThird = 20
/** What the last third may lie above the second: garbage is collected when the heap is full, not when we look. */
const growthMax = { share: 0.1, mb: 10 } as const

/** Throws AssertionError when a promise is broken. */
export async function soakRun(t: Cleanup, random: Random, options: SoakOptions): Promise<SoakReport> {
  const crowd = await startCrowdBroker(t)
  const report = await crowd.during(measure(t, crowd, random, options))
  const [, second, third] = report.leastMb as [number, number, number]
  const more = third - second
  const allowed = Math.max(growthMax.mb, second * growthMax.share)
  assert.ok(more <= allowed, `the memory grew by ${more} MB in the last third: ${JSON.stringify(report)}`)
  await crowd.broker.kill('SIGTERM')
  return report
}

async function measure(
  t: Cleanup,
  { port, broker }: CrowdBroker,
  random: Random,
  { minutes, clients, messagesPerS, churnPerS }: SoakOptions,
): Promise<SoakReport> {
  const pairCount = Math.max(1, Math.floor(clients / 20))
  const idle = await connectAll(
    t,
    Array.from({ length: clients - 2 * pairCount }, (_, index) => ({
      port,
      clientId: `idle ${index}`,
      clean: index % 2 === 0,
      keepAliveS: 60,
    })),
  )
  for (const client of idle) await client.subscribe(`im/u/${client.clientId}/#`, 1)
  const pings = setInterval(() => {
    for (const client of idle) client.ping()
  }, 30_000)
  t.after(() => clearInterval(pings))
  const load = await startPairs(t, port, pairCount, messagesPerS / pairCount)
  const churn = startChurn(idle, random, churnPerS)
  t.after(() => churn.stop())

  const samples: number[] = []
  const everyMs = (minutes * 60_000) / (3 * samplesPerThird)
  for (let sample = 0; sample < 3 * samplesPerThird; sample += 1) {
    await wait(everyMs)
    samples.push(await memoryMb(broker.child.pid))
    if (churn.failure !== undefined) throw churn.failure
  }
  churn.stop()
  load.stop()
  await until('what was acknowledged arrives', () => load.pairs.every(({ lost }) => lost === 0), 30_000)
  const thirds = [0, 1, 2].map((third) => samples.slice(third * samplesPerThird, (third + 1) * samplesPerThird))
  return {
    minutes,
    published: load.pairs.reduce((sum, pair) => sum + pair.sent, 0),
    cameBack: churn.cameBack,
    p99Ms: load.latencies.percentile(0.99),
    memoryMb: thirds.map((third) => Math.round(third.reduce((sum, mb) => sum + mb, 0) / third.length)),
    leastMb: thirds.map((third) => Math.min(...third)),
  }
}

interface Churn {
  readonly cameBack: number
  readonly failure: Error | undefined
  stop(): void
}

function startChurn(clients: readonly LightClient[], random: Random, perS: number): Churn {
  let cameBack = 0
  let failure: Error | undefined
  const away = new Set<LightClient>()
  const leaveAndReturn = async (client: LightClient): Promise<void> => {
    if (random.chance()) await client.disconnect()
    else client.destroy()
    await wait(random.below(500))
    await client.connect()
    await client.subscribe(`im/u/${client.clientId}/#`, 1)
    cameBack += 1
  }
  const timer = setInterval(() => {
    const client = random.pick(clients)
    if (away.has(client)) return
    away.add(client)
    leaveAndReturn(client)
      .catch((error: unknown) => {
        failure ??= error instanceof Error ? error : new Error(String(error))
      })
      .finally(() => away.delete(client))
  }, 1000 / perS)
  return {
    get cameBack() {
      return cameBack
    },
    get failure() {
      return failure
    },
    stop: () => clearInterval(timer),
  }
}
