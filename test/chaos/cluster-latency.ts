// How long a message takes from a client of one node to a client of another, on loopback.
import assert from 'node:assert/strict'
import { setTimeout as wait } from 'node:timers/promises'
import type { Cleanup } from '../helpers/broker.ts'
import { startCluster, type TestCluster } from '../helpers/cluster.ts'
import { acrossNodes, CrossLoad } from './cross-load.ts'
import { Latencies } from './latencies.ts'

export interface ClusterLatencyOptions {
  readonly perS: number
  readonly forS: number
  readonly p99MaxMs: number
}

export interface ClusterLatencyReport {
  readonly qos: 0 | 1
  readonly messages: number
  readonly p50Ms: number
  readonly p99Ms: number
}

export async function clusterLatencyRun(t: Cleanup, options: ClusterLatencyOptions): Promise<ClusterLatencyReport[]> {
  const cluster = await startCluster(t, { nodes: ['one', 'two'], isDirect: true })
  return cluster.during(measure(t, cluster, options))
}

async function measure(
  t: Cleanup,
  { nodes }: TestCluster,
  { perS, forS, p99MaxMs }: ClusterLatencyOptions,
): Promise<ClusterLatencyReport[]> {
  const reports: ClusterLatencyReport[] = []
  for (const qos of [0, 1] as const) {
    const latencies = new Latencies()
    const lanes = acrossNodes(nodes, 10, qos).map((lane) => ({ ...lane, latencies }))
    const load = await CrossLoad.start(t, lanes, perS)
    // Code that was never run is slow.
    await wait(3_000)
    latencies.clear()
    await wait(forS * 1000)
    const report = {
      qos,
      messages: latencies.count,
      p50Ms: latencies.percentile(0.5),
      p99Ms: latencies.percentile(0.99),
    }
    reports.push(report)
    await load.finish(10_000)
    load.destroy()
    assert.ok(report.p99Ms < p99MaxMs, JSON.stringify(reports))
  }
  return reports
}
