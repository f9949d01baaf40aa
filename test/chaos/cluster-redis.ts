// Redis is killed, hangs, or comes back empty, again and again, under load: neighbours on one node do not notice, and
// nothing acknowledged between nodes is lost.
import assert from 'node:assert/strict'
import { setTimeout as wait } from 'node:timers/promises'
import type { Cleanup } from '../helpers/broker.ts'
import { startCluster, type TestCluster } from '../helpers/cluster.ts'
import type { Random } from '../helpers/random.ts'
import { acrossNodes, CrossLoad, type LaneOptions, type LoadReport } from './cross-load.ts'
import { Latencies } from './latencies.ts'

export interface ClusterRedisOptions {
  readonly times: number
  readonly awayS: number
  /** Between two times, and before the first to know what is normal. */
  readonly betweenS: number
  readonly perS: number
  /** On the 99th percentile of the same node, beside twice its normal: a loaded machine stumbles. */
  readonly slackMs: number
  readonly ways?: readonly Way[]
}

/** As it is recommended; what it has written a kill -9 does not take. */
const onDisk = ['--appendonly', 'yes', '--appendfsync', 'everysec']
/** `forgotten`: killed, and its data is gone, as without a volume. */
const ways = ['killed', 'hung', 'forgotten'] as const
type Way = (typeof ways)[number]

export interface ClusterRedisReport extends LoadReport {
  readonly p99NormalMs: number
  /** Of the same node, while Redis was away. */
  readonly p99AwayMs: number
  readonly ways: readonly Way[]
}

export async function clusterRedisRun(
  t: Cleanup,
  random: Random,
  options: ClusterRedisOptions,
): Promise<ClusterRedisReport> {
  const cluster = await startCluster(t, { nodes: ['one', 'two'], redisArguments: onDisk })
  return cluster.during(measure(t, cluster, random, options))
}

async function measure(
  t: Cleanup,
  { redis, nodes }: TestCluster,
  random: Random,
  options: ClusterRedisOptions,
): Promise<ClusterRedisReport> {
  const latencies = new Latencies()
  const sameNode: LaneOptions[] = nodes.flatMap((node) =>
    ([0, 1] as const).map((qos) => ({ from: node, to: node, qos, latencies })),
  )
  const lanes = [...sameNode, ...acrossNodes(nodes, 4, 1), ...acrossNodes(nodes, 2, 2)]
  const load = await CrossLoad.start(t, lanes, options.perS)
  await wait(1000)
  latencies.clear()
  await wait(options.betweenS * 1000)
  const p99NormalMs = latencies.percentile(0.99)

  const away = new Latencies()
  const used: Way[] = []
  for (let time = 0; time < options.times; time += 1) {
    const way = random.pick(options.ways ?? ways)
    used.push(way)
    latencies.clear()
    if (way === 'hung') redis.freeze()
    else await redis.kill()
    await wait(options.awayS * 1000)
    away.add(latencies)
    if (way === 'hung') redis.thaw()
    else await redis.start({ empty: way === 'forgotten' })
    await wait(options.betweenS * 1000)
  }
  const report = await load.finish(60_000)
  const p99AwayMs = away.percentile(0.99)
  assert.ok(p99AwayMs < 2 * p99NormalMs + options.slackMs, `p99 ${p99AwayMs} ms, normal ${p99NormalMs} ms`)
  for (const lane of load.lanes) {
    if (lane.options.qos === 2) assert.equal(lane.again, 0, `${lane}: QoS 2 came again`)
  }
  return { ...report, p99NormalMs, p99AwayMs, ways: used }
}
