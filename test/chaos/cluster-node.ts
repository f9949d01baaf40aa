// kill -9 of a node of three under load: it comes back. Nothing acknowledged is lost.
import { setTimeout as wait } from 'node:timers/promises'
import type { Cleanup } from '../helpers/broker.ts'
import { type ClusterNode, startCluster, type TestCluster } from '../helpers/cluster.ts'
import type { Random } from '../helpers/random.ts'
import { acrossNodes, CrossLoad, type LoadReport } from './cross-load.ts'
import type { RoamingClient } from './roaming-client.ts'

export interface ClusterNodeOptions {
  readonly kills: number
  /** The longest that a node is away, and that the load goes on after it; a lease is 5 s. */
  readonly awayMaxS: number
  readonly perS: number
}

export const names = ['one', 'two', 'three']

export interface ClusterNodeReport extends LoadReport {
  readonly killed: readonly string[]
}

/** Killed and restarted. Half of the clients wait for their node, half go to the next one that takes them. */
export async function clusterNodeRun(
  t: Cleanup,
  random: Random,
  { kills, awayMaxS, perS }: ClusterNodeOptions,
): Promise<ClusterNodeReport> {
  const cluster = await startCluster(t, { nodes: names })
  const run = async (): Promise<ClusterNodeReport> => {
    const lanes = acrossNodes(cluster.nodes, 12).map((lane, index) =>
      index < 6 ? lane : { ...lane, nextPort: roaming(cluster, random) },
    )
    const load = await CrossLoad.start(t, lanes, perS)
    const killed: string[] = []
    for (let kill = 0; kill < kills; kill += 1) {
      await wait(500 + random.below(2_000))
      const node = random.pick(cluster.nodes)
      killed.push(node.name)
      await node.kill('SIGKILL')
      await wait(random.below(awayMaxS * 1000))
      await node.start()
    }
    await wait(1_000 + random.below(1_000))
    return { ...(await load.finish(60_000)), killed }
  }
  return cluster.during(run())
}

/** Any node that runs. */
export function roaming(cluster: TestCluster, random: Random): (client: RoamingClient, home: ClusterNode) => number {
  return (_client, home) => (cluster.running.length === 0 ? home : random.pick(cluster.running)).port
}
