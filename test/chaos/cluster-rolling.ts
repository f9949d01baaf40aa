// Three nodes are drained and started again, one after the other, under load: nothing is lost, everyone is back soon, and
// nobody's will is published.
import assert from 'node:assert/strict'
import { setTimeout as wait } from 'node:timers/promises'
import type { Cleanup } from '../helpers/broker.ts'
import { type ClusterNode, startCluster, type TestCluster } from '../helpers/cluster.ts'
import type { Random } from '../helpers/random.ts'
import { acrossNodes, CrossLoad, type LoadReport } from './cross-load.ts'
import { RoamingClient } from './roaming-client.ts'

export interface ClusterRollingOptions {
  readonly perS: number
  readonly lanes: number
  readonly betweenS: number
}

export interface ClusterRollingReport extends LoadReport {
  readonly drainMs: readonly number[]
  /** How often a client was told where to go. */
  readonly references: number
}

const backMaxMs = 30_000
const drainMaxMs = 60_000
const willTopic = 'wills'

export async function clusterRollingRun(
  t: Cleanup,
  random: Random,
  options: ClusterRollingOptions,
): Promise<ClusterRollingReport> {
  const cluster = await startCluster(t, { nodes: ['one', 'two', 'three'] })
  return cluster.during(roll(t, cluster, random, options))
}

async function roll(
  t: Cleanup,
  cluster: TestCluster,
  random: Random,
  { perS, lanes, betweenS }: ClusterRollingOptions,
): Promise<ClusterRollingReport> {
  let references = 0
  const nextPort = (client: RoamingClient): number => {
    const told = portOf(client.serverReference)
    if (told === undefined) return random.pick(cluster.running).port
    references += 1
    client.serverReference = undefined
    return told
  }
  const all = acrossNodes(cluster.nodes, lanes).map((lane) => ({ ...lane, nextPort, willTopic }))
  const load = await CrossLoad.start(t, all, perS)
  const wills = await watchWills(t, cluster)
  const drainMs: number[] = []
  for (const node of cluster.nodes) {
    await wait(betweenS * 1000)
    drainMs.push(await drain(node))
    await node.start()
  }
  await wait(betweenS * 1000)
  const report = await load.finish(60_000)
  assert.ok(report.longestAwayMs < backMaxMs, `a client was away for ${report.longestAwayMs} ms`)
  assert.deepEqual(wills, [], 'wills')
  return { ...report, drainMs, references }
}

async function drain(node: ClusterNode): Promise<number> {
  const startedAt = performance.now()
  node.mayEnd()
  const ended = node.ended()
  const { exitCode, stderr } = await node.command('drain')
  assert.equal(exitCode, 0, `oriole drain: ${stderr}`)
  const deadline = new AbortController()
  const late = wait(drainMaxMs, undefined, { signal: deadline.signal }).then(() => {
    throw new Error(`${node.name} did not end within ${drainMaxMs} ms of its drain:\n${node.output.slice(-2000)}`)
  })
  await Promise.race([ended, late]).finally(() => deadline.abort())
  return Math.round(performance.now() - startedAt)
}

/** Persistent, on every node, so that it is always somewhere. */
async function watchWills(t: Cleanup, cluster: TestCluster): Promise<string[]> {
  const wills: string[] = []
  for (const node of cluster.nodes) {
    const watcher = new RoamingClient({ clientId: `watcher ${node.name}` })
    t.after(() => watcher.destroy())
    watcher.onMessage = ({ payload }) => wills.push(payload.toString())
    await watcher.connect(node.port)
    await watcher.subscribe([{ topic: willTopic, qos: 1 }])
    watcher.keepConnected(() => cluster.running[0]!.port)
  }
  return wills
}

/** Of `host:port` or a URL. */
function portOf(serverReference: string | undefined): number | undefined {
  const port = Number(/:(\d+)(?:\/|$|\s)/.exec(serverReference ?? '')?.[1])
  return Number.isNaN(port) ? undefined : port
}
