// All connections are reset at once: every will arrives, and those who stay are served meanwhile.
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import type { Cleanup } from '../helpers/broker.ts'
import { type CrowdBroker, connectAll, startCrowdBroker, startPairs, until } from './crowd.ts'
import type { ResetCrowdOptions } from './reset-crowd.ts'

export interface ResetOptions {
  readonly clients: number
  /** What the broker may add to the pause of a server that does nothing, for the message of the others that waits longest. */
  readonly moreMs: number
}

export interface ResetReport {
  readonly wills: number
  /** From the reset to the last will. */
  readonly seconds: number
  readonly maxBeforeMs: number
  readonly maxMs: number
  /** How long a bare Node server stands still when as many connections are reset: below this nothing in Node comes. */
  readonly bareMs: number
}

export async function resetRun(t: Cleanup, options: ResetOptions): Promise<ResetReport> {
  const crowd = await startCrowdBroker(t, { limits: '{ queueMessages: 100000 }' })
  const bareMs = await measureBare(t, options.clients)
  const report = { ...(await crowd.during(measure(t, crowd, options))), bareMs }
  assert.ok(report.maxMs < bareMs + options.moreMs, `the others waited: ${JSON.stringify(report)}`)
  await crowd.broker.kill('SIGTERM')
  return report
}

async function measure(
  t: Cleanup,
  { port }: CrowdBroker,
  { clients }: ResetOptions,
): Promise<Omit<ResetReport, 'bareMs'>> {
  const [heir] = await connectAll(t, [{ port, clientId: 'heir', clean: false }])
  const arrived = new Set<string>()
  heir!.onMessage = (topic) => void arrived.add(topic.toString())
  await heir!.subscribe('wills/+', 1)

  const worker = await startResetCrowd(t, { port, clients })
  const { latencies, stop } = await startPairs(t, port, 10, 20)
  await until('the others are served', () => latencies.count > 200, 30_000)
  const maxBeforeMs = latencies.percentile(1)
  latencies.clear()

  const resetAt = performance.now()
  worker.postMessage('reset')
  await until(`${clients} wills`, () => arrived.size === clients, 60_000)
  const seconds = Math.round(performance.now() - resetAt) / 1000
  // What was sent while the last wills were on their way shall count.
  const seen = latencies.count
  await until('the others go on', () => latencies.count > seen + 40, 30_000)
  stop()
  return { wills: arrived.size, seconds, maxBeforeMs, maxMs: latencies.percentile(1) }
}

async function startResetCrowd(t: Cleanup, workerData: ResetCrowdOptions): Promise<Worker> {
  const worker = new Worker(new URL('./reset-crowd.js', import.meta.url), { workerData })
  t.after(() => worker.terminate())
  await once(worker, 'message')
  return worker
}

async function measureBare(t: Cleanup, clients: number): Promise<number> {
  // Both ends in one process would be more files than one may have open.
  const server = fork(fileURLToPath(new URL('./bare-server.js', import.meta.url)))
  t.after(() => server.kill('SIGKILL'))
  const [{ port }] = (await once(server, 'message')) as [{ port: number }]
  const crowd = await startResetCrowd(t, { port, clients })
  crowd.postMessage('reset')
  const [{ longestMs }] = (await once(server, 'message')) as [{ longestMs: number }]
  return longestMs
}
