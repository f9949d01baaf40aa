// One client publishes as fast as it can. The others are served as before, nothing that was acknowledged is lost, and
// the memory of the broker stays bounded.
import assert from 'node:assert/strict'
import { setTimeout as wait } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import type { Cleanup } from '../helpers/broker.ts'
import { atMost, type CrowdBroker, memoryMb, startCrowdBroker, startPairs, until } from './crowd.ts'
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
  /** Of the pairs with QoS 0, and of those with QoS 1, which wait for the disk. */
  readonly p99BeforeMs: readonly number[]
  readonly p99FloodMs: readonly number[]
  readonly maxFloodMs: readonly number[]
  readonly memoryBeforeMb: number
  readonly memoryMaxMb: number
}

/** What the flood may add to the memory: buffers up to their marks, and a heap that grows until it is collected. */
const memoryMoreMb = 400

export async function floodRun(t: Cleanup, options: FloodOptions): Promise<readonly RunReport[]> {
  return [await oneRun(t, 0, options), await oneRun(t, 1, options)]
}

async function oneRun(t: Cleanup, qos: 0 | 1, options: FloodOptions): Promise<RunReport> {
  // The receiver of the flood lags behind by more than a queue holds by default: what is looked for is loss.
  const crowd = await startCrowdBroker(t, { limits: '{ queueMessages: 100000 }' })
  const report = await crowd.during(measure(t, crowd, qos, options))
  const told = JSON.stringify(report)
  assert.ok(report.sent > 10_000, `that was no flood: ${told}`)
  if (qos === 1) {
    assert.equal(report.acknowledged, report.sent, `not acknowledged: ${told}`)
    assert.equal(report.received, report.sent, `acknowledged and lost: ${told}`)
  }
  const allowedMs = atMost(options.p99MaxMs, Math.max(...report.p99BeforeMs))
  assert.ok(Math.max(...report.p99FloodMs) < allowedMs, `the others waited: ${told}`)
  assert.ok(report.memoryMaxMb <= report.memoryBeforeMb + memoryMoreMb, `the memory grew: ${told}`)
  await crowd.broker.kill('SIGTERM')
  return report
}

async function measure(t: Cleanup, crowd: CrowdBroker, qos: 0 | 1, options: FloodOptions): Promise<RunReport> {
  const { broker, port } = crowd
  const { latenciesByQos, pairs, stop } = await startPairs(t, port, options.pairs, options.perS)
  await wait(Math.max(2000, options.seconds * 100))
  const p99BeforeMs = latenciesByQos.map((all) => all.percentile(0.99))
  const memoryBeforeMb = await memoryMb(broker.child.pid)
  for (const all of latenciesByQos) all.clear()

  const flooder = await startFlooder(t, { port, qos })
  let memoryMaxMb = 0
  const endsAt = performance.now() + options.seconds * 1000
  while (performance.now() < endsAt) {
    await wait(100)
    memoryMaxMb = Math.max(memoryMaxMb, await memoryMb(broker.child.pid))
  }
  const p99FloodMs = latenciesByQos.map((all) => all.percentile(0.99))
  const maxFloodMs = latenciesByQos.map((all) => all.percentile(1))
  const flood = await flooder.stop()
  stop()
  await until(
    'the pairs are acknowledged',
    () => pairs.every(({ publisher }) => publisher.unacknowledged === 0),
    30_000,
  )
  await until('what was acknowledged arrives', () => pairs.every(({ lost }) => lost === 0), 30_000)
  for (const pair of pairs) pair.destroy()
  return { qos, p99BeforeMs, p99FloodMs, maxFloodMs, memoryBeforeMb, memoryMaxMb, ...flood }
}

async function startFlooder(t: Cleanup, options: FlooderOptions): Promise<{ stop(): Promise<FloodReport> }> {
  const worker = new Worker(new URL('./flooder.js', import.meta.url), { workerData: options })
  t.after(() => worker.terminate())
  const failed = new Promise<never>((_resolve, reject) => worker.once('error', reject))
  failed.catch(() => {})
  const next = (): Promise<unknown> => Promise.race([new Promise((resolve) => worker.once('message', resolve)), failed])
  await next()
  return {
    async stop() {
      const report = next()
      worker.postMessage('stop')
      return (await report) as FloodReport
    },
  }
}
