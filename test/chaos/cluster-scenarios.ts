// The scenarios of a cluster at their full size, by the names that `npm run chaos` knows.
import type { Cleanup } from '../helpers/broker.ts'
import type { Random } from '../helpers/random.ts'
import { clusterCutRun } from './cluster-cut.ts'
import { clusterFlapRun } from './cluster-flap.ts'
import { clusterHostileRun } from './cluster-hostile.ts'
import { clusterLatencyRun } from './cluster-latency.ts'
import { clusterLostRun } from './cluster-lost.ts'
import { clusterManyRun } from './cluster-many.ts'
import { clusterMatrixRun } from './cluster-matrix.ts'
import { clusterNodeRun } from './cluster-node.ts'
import { clusterRedisRun } from './cluster-redis.ts'
import { clusterRollingRun } from './cluster-rolling.ts'

export interface ClusterSizes {
  readonly pairs: number
  readonly times: number
  readonly awayS: number
}

export function clusterScenarios(sizes: ClusterSizes) {
  const { pairs, times, awayS } = sizes
  const perS = 1_000
  return {
    'cluster-matrix': (t, random) => clusterMatrixRun(t, random, pairs),
    'cluster-redis': (t, random) => clusterRedisRun(t, random, { times, awayS, betweenS: 5, perS: 500, slackMs: 0 }),
    'cluster-node': (t, random) => clusterNodeRun(t, random, { kills: 1, awayMaxS: 8, perS }),
    'cluster-lost': (t, random) => clusterLostRun(t, random, { perS, afterS: 10 }),
    'cluster-back': (t, random) => clusterLostRun(t, random, { perS, afterS: 10, comesBack: true }),
    'cluster-many': (t, random) => clusterManyRun(t, random, { sessions: 20_000, asked: 500, perS: 300 }),
    'cluster-cut': (t, random) => clusterCutRun(t, random, { cutS: 12, perS: 300, rivals: 20 }),
    'cluster-flap': (t, random) => clusterFlapRun(t, random, { forS: 60, perS: 100, growthMaxMb: 60 }),
    'cluster-hostile': (t, random) => clusterHostileRun(t, random, { frames: 10_000, perS: 200 }),
    'cluster-rolling': (t, random) => clusterRollingRun(t, random, { perS, lanes: 30, betweenS: 5 }),
    'cluster-latency': (t) => clusterLatencyRun(t, { perS, forS: 20, p99MaxMs: 10 }),
  } satisfies Record<string, (t: Cleanup, random: Random) => Promise<unknown>>
}
