// Puts the parts of the cluster together.
import { randomBytes } from 'node:crypto'
import type { Bans } from '../bans.ts'
import type { ClusterConfig } from '../config/schema.ts'
import type { Counts } from '../metrics/counts.ts'
import type { PluginLog } from '../plugin.ts'
import { committed, type Recovered, type Store, storeIdMark } from '../store/store.ts'
import type { Cluster } from './cluster.ts'
import { KnownNodes } from './known-nodes.ts'
import { Operations } from './operations.ts'
import { createMeeting, type RunningMeeting } from './redis-meeting.ts'
import { RedisMoves } from './redis-moves.ts'
import { RedisRouting } from './redis-routing.ts'
import { RedisWills } from './redis-wills.ts'
import { Replicas } from './replicas.ts'
import { RetainedCatchUp } from './retained-catch-up.ts'
import { SharedBans } from './shared-bans.ts'

export interface ClusterParts {
  readonly node: string
  /** Of the release. */
  readonly version: string
  readonly config: ClusterConfig
  readonly store: Store
  readonly recovered: Recovered
  readonly counts: Counts
  readonly bans: Bans
  readonly log: PluginLog
  /** A session came here with all that it has, in so many seconds. */
  onMoved(seconds: number): void
  readonly reload: () => Promise<unknown>
}

export function createCluster(parts: ClusterParts): Cluster {
  const { node, version, config, store, recovered, counts, log, reload } = parts
  const routing = new RedisRouting(store, counts, log)
  const filters = () => routing.filters
  const operations = new Operations({ cluster: config.name, version, store, filters, reload, log })
  const bans = new SharedBans(parts.bans, log)
  const storeId = storeIdOf(store, recovered)
  const known = new KnownNodes(config.name, store, recovered)
  const moves = new RedisMoves(log)
  const replicas = new Replicas(config.replicas)
  const wills = new RedisWills(log)
  let meeting: RunningMeeting | undefined
  let catchUp: RetainedCatchUp | undefined
  return {
    routing,
    operations,
    moves,
    replicas,
    wills,
    bans,
    async start(house) {
      // A node that comes back under its name has the store id of before.
      await committed(store)
      meeting = await createMeeting({
        node,
        storeId,
        config,
        log,
        counts,
        remembered: known.all(),
        prepare: (early) => {
          meeting = early
          known.follow(early)
          const onFormerAway = (clientId: string, node: string): void => wills.cancel(node, clientId)
          const onTaken = parts.onMoved
          moves.enter({ meeting: early, routing, store, replicas, log, counts, onFormerAway, onTaken }, house)
          wills.enter(early, house)
          catchUp = new RetainedCatchUp({ meeting: early, routing, store, log }, recovered)
          routing.enter(early, house, recovered)
          operations.enter(early, house)
          bans.enter(early, house)
        },
      })
      await routing.start(house)
      await catchUp?.start()
      await bans.start()
      moves.start()
      wills.start()
    },
    async stop() {
      replicas.stop()
      moves.stop()
      wills.stop()
      bans.stop()
      catchUp?.stop()
      await routing.stop()
      await meeting?.close()
    },
  }
}

/** Made at the first start. A crash before it is written makes another one, and nobody has anything of the first. */
function storeIdOf(store: Store, { marks }: Recovered): number {
  const known = marks.get(storeIdMark)
  if (known !== undefined) return known
  const made = randomBytes(6).readUIntBE(0, 6)
  store.putMark(storeIdMark, made)
  return made
}
