// One client publishes as fast as it can. The others are served as before, nothing that was acknowledged is lost, and
// the memory of the broker stays bounded.
import assert from 'node:assert/strict'
import { setTimeout as wait } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import type { Cleanup } from '../helpers/broker.ts'
import { residentMb, startCrowdBroker, startPairs, until } from './crowd.ts'
import type { FlooderOptions, FloodReport } from './flooder.ts'

export interface FloodOptions {
  /** Of QoS 0, and then of QoS 1. */
  readonly seconds: number
  readonly pairs: number
  /** Messages a second of each pair. */
  readonly perS: number
  /** For the 99th percentile of the pairs. */
  readonly p99MaxMs: number
}

interface RunReport extends FloodReport {
  readonly qos: 0 | 1
  readonly p99BeforeMs: number
  readonly p99FloodMs: number
  readonly maxFloodMs: number
  readonly memoryBeforeMb: number
  readonly memoryMaxMb: number
}

/** What the flood may add to the memory: buffers up to their marks, and a heap that grows until it is collected. */
const memoryMoreMb = 250

export async function floodRun(t: Cleanup, options: FloodOptions): Promise<readonly RunReport[]> {
  return [await oneRun(t, 0, options), await oneRun(t, 1, options)]
}

async function oneRun(t: Cleanup, qos: 0 | 1, options: FloodOptions): Promise<RunReport> {
  // The receiver of the flood may lag behind by more than a queue holds by default: what is looked for is loss.
  const limits = '{ queueMessages: 50000000, queueBytes: 8000000000 }'
  const { broker, port } = await startCrowdBroker(t, { limits })
  const { latencies, pairs, stop } = await startPairs(t, port, options.pairs, options.perS)
  await wait(Math.max(2000, options.seconds * 100))
  const p99BeforeMs = latencies.percentile(0.99)
  const memoryBeforeMb = await residentMb(broker.child.pid)
  latencies.clear()

  const flooder = await startFlooder(t, { port, qos })
  let memoryMaxMb = 0
  const until1 = performance.now() + options.seconds * 1000
  while (performance.now() < until1) {
    await wait(100)
    memoryMaxMb = Math.max(memoryMaxMb, await residentMb(broker.child.pid))
  }
  const p99FloodMs = latencies.percentile(0.99)
  const maxFloodMs = latencies.percentile(1)
  const flood = await flooder.stop()
  stop()
  await until(
    'the pairs are acknowledged',
    () => pairs.every(({ publisher }) => publisher.unacknowledged === 0),
    30_000,
  )
  await until('what was acknowledged arrives', () => pairs.every(({ lost }) => lost === 0), 30_000)
  for (const pair of pairs) pair.destroy()
  await broker.kill('SIGTERM')

  const report = { qos, p99BeforeMs, p99FloodMs, maxFloodMs, memoryBeforeMb, memoryMaxMb, ...flood }
  const told = JSON.stringify(report)
  assert.ok(flood.sent > 10_000, `that was no flood: ${told}`)
  if (qos === 1) {
    assert.equal(flood.acknowledged, flood.sent, `not acknowledged: ${told}`)
    assert.equal(flood.received, flood.sent, `acknowledged and lost: ${told}`)
  }
  assert.ok(p99FloodMs < options.p99MaxMs, `the others waited: ${told}`)
  assert.ok(memoryMaxMb <= memoryBeforeMb + memoryMoreMb, `the memory grew: ${told}`)
  return report
}

async function startFlooder(t: Cleanup, options: FlooderOptions): Promise<{ stop(): Promise<FloodReport> }> {
  const worker = new Worker(new URL('./flooder.js', import.meta.url), { workerData: options })
  t.after(() => worker.terminate())
  const next = (): Promise<unknown> =>
    new Promise((resolve, reject) => {
      worker.once('message', resolve)
      worker.once('error', reject)
    })
  await next()
  return {
    async stop() {
      const report = next()
      worker.postMessage('stop')
      return (await report) as FloodReport
    },
  }
}
