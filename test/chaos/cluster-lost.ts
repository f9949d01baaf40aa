// kill -9 of a node of three under load, and it does not come back, nor does its disk; or it comes back when its sessions
// have gone on elsewhere. Nothing acknowledged is lost, and nothing with QoS 2 comes twice.
import assert from 'node:assert/strict'
import { setTimeout as wait } from 'node:timers/promises'
import type { Cleanup } from '../helpers/broker.ts'
import { type ClusterNode, startCluster } from '../helpers/cluster.ts'
import type { Random } from '../helpers/random.ts'
import { names, roaming } from './cluster-node.ts'
import { acrossNodes, CrossLoad, type LaneOptions, type LoadReport } from './cross-load.ts'
import { until } from './crowd.ts'

export interface ClusterLostOptions {
  readonly perS: number
  /** How long the load goes on after it. */
  readonly afterS: number
  /** With its disk, when the others have its sessions. */
  readonly comesBack?: boolean
  /** 0: to see what is lost without them. */
  readonly replicas?: 0 | 1
}

export interface ClusterLostReport extends LoadReport {
  readonly killed: string
  /** Subscribers that were away when their node was lost, and those that were connected to it. */
  readonly away: number
  readonly connected: number
}

export async function clusterLostRun(
  t: Cleanup,
  random: Random,
  { perS, afterS, comesBack = false, replicas = 1 }: ClusterLostOptions,
): Promise<ClusterLostReport> {
  const cluster = await startCluster(t, { nodes: names, settings: `replicas: ${replicas}` })
  const run = async (): Promise<ClusterLostReport> => {
    const { nodes } = cluster
    const lost = random.pick(nodes)
    const nextPort = roaming(cluster, random)
    const load = await CrossLoad.start(
      t,
      lanesOf(nodes, lost).map((lane) => ({ ...lane, nextPort })),
      perS,
    )
    // Away with a queue when the node dies: what is on its disk alone would be lost.
    const away = load.lanes.filter((_, index) => index % 2 === 0).map(({ subscriber }) => subscriber)
    await Promise.all(
      away.map((subscriber) => {
        subscriber.onClosed = () => {}
        return subscriber.disconnect()
      }),
    )
    if (replicas > 0) await untilReplicated(nodes)
    await wait(2_000 + random.below(2_000))
    if (comesBack) await lost.kill('SIGKILL')
    else await lost.destroy()
    await wait((afterS / 2) * 1000)
    const reconnects = away.map((subscriber) => subscriber.connectSomewhere(() => nextPort(subscriber, lost)))
    await Promise.all(reconnects)
    for (const subscriber of away)
      assert.equal(subscriber.sessionPresent, true, `${subscriber.clientId} has no session`)
    await wait((afterS / 4) * 1000)
    if (comesBack) await lost.start()
    await wait((afterS / 4) * 1000)
    const report = await load.finish(60_000).catch((error: unknown) => {
      // Then it acknowledged what was on its own disk alone (docs/cluster.md, Session replicas).
      if (lost.output.includes('redis is away')) throw new Error('Redis was away from the lost node', { cause: error })
      throw error
    })
    const twice = load.lanes.filter(({ options, again }) => options.qos === 2 && again > 0)
    assert.deepEqual(
      twice.map(
        (lane) => `${lane}: ${lane.again} came twice (${lane.twice.slice(0, 5).join(' ')} of ${lane.acknowledged})`,
      ),
      [],
    )
    const connected = load.lanes.filter(({ options, subscriber }) => options.to === lost && !away.includes(subscriber))
    return { ...report, killed: lost.name, away: away.length, connected: connected.length }
  }
  return cluster.during(run())
}

/**
 * QoS 1 from every node to every node. QoS 2 not from the one that is lost: what a publisher sends again because PUBREC
 * died with the node is a new message for the others.
 */
function lanesOf(nodes: readonly ClusterNode[], lost: ClusterNode): LaneOptions[] {
  const sameNode: LaneOptions[] = nodes.map((node) => ({ from: node, to: node, qos: 1 }))
  const exactly = nodes
    .filter((node) => node !== lost)
    .flatMap((from): LaneOptions[] => [
      { from, to: lost, qos: 2 },
      { from, to: lost, qos: 2 },
      { from, to: from, qos: 2 },
    ])
  return [...acrossNodes(nodes, 12), ...sameNode, ...exactly]
}

/** Each session of these lanes lies on a second node. */
async function untilReplicated(nodes: readonly ClusterNode[]): Promise<void> {
  await until(
    'all replicas are complete',
    async () => {
      const all = await Promise.all(nodes.map((node) => node.metrics()))
      return all.every((metrics) => metrics.get('oriole_cluster_replicas{state="missing"}') === 0)
    },
    30_000,
  )
}
