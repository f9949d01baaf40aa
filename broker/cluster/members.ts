// Who is there: keeps this node's lease, reads the others', and tells who joined, left or was forgotten.
import type { Redis } from 'ioredis'
import { OrioleError } from '../errors.ts'
import type { PluginLog } from '../plugin.ts'
import { type Lease, leaseMs, type Met, type Other } from './lease.ts'
import { busVersion, type Member, type MemberEvent } from './meeting.ts'

/** Without a renewal for so long, others may count this node as dead soon. */
const mayBeDeadAfterMs = 4_000

export class Members {
  readonly #self: Member
  readonly #lease: Lease
  readonly #log: PluginLog
  readonly #tell: (event: MemberEvent, member: Member) => void
  /** By name. */
  readonly #known = new Map<string, Member>()
  readonly #live = new Map<string, Member>()
  readonly #byRun = new Map<string, Member>()
  /** Named in the log already; at most as many as Redis has of them. */
  #foreign: readonly string[] = []
  #hasJoined = false
  #timesUnknown = 0
  #renewedAt = Number.NEGATIVE_INFINITY
  /** After Redis was away leases may be missing, until everybody had the time to renew. */
  #trustedFrom = 0

  /** `remembered`: those that a former run of this node knew. */
  constructor(
    self: Member,
    lease: Lease,
    log: PluginLog,
    tell: (event: MemberEvent, member: Member) => void,
    remembered: readonly Member[],
  ) {
    this.#self = self
    this.#lease = lease
    this.#log = log
    this.#tell = tell
    for (const member of remembered) if (member.node !== self.node) this.#known.set(member.node, member)
  }

  get mayBeDead(): boolean {
    return performance.now() - this.#renewedAt > mayBeDeadAfterMs
  }

  get timesUnknown(): number {
    return this.#timesUnknown
  }

  get live(): readonly Member[] {
    return [...this.#live.values()]
  }

  get known(): readonly Member[] {
    return [...this.#known.values()]
  }

  find(node: string): Member | undefined {
    return this.#known.get(node)
  }

  byRun(run: string): Member | undefined {
    return this.#byRun.get(run)
  }

  /** When Redis is back, and at the start. Rejects with OrioleError when this node may not join. */
  async enter(redis: Redis): Promise<void> {
    if (this.#hasJoined) this.#trustedFrom = performance.now() + leaseMs
    await this.renew(redis)
  }

  /** Renews the lease and reads the others'. Rejects when there is no lease. False: the one before had ended. */
  async renew(redis: Redis): Promise<boolean> {
    const startedAt = performance.now()
    const met = await this.#lease.meet(redis, this.#hasJoined ? 'renew' : 'take')
    if (met.outcome !== 'ok') throw refusal(this.#self, met)
    this.#hasJoined = true
    this.#renewedAt = startedAt
    this.#tellForeign(met.foreign)
    if (met.fresh) this.#timesUnknown += 1
    this.#take(met.others)
    await this.#restoreMissing(redis, new Set([...met.others.map(({ known }) => known.node), ...met.foreign]))
    return !met.lapsed
  }

  #tellForeign(nodes: readonly string[]): void {
    for (const node of nodes) {
      if (this.#foreign.includes(node)) continue
      this.#log.warn({ node }, 'a node of this cluster has another key; it is not met')
    }
    this.#foreign = nodes
  }

  #take(others: readonly Other[]): void {
    const joined: Member[] = []
    for (const { known, live } of others) {
      if (live === undefined) {
        if (!this.#known.has(known.node)) this.#known.set(known.node, known)
        continue
      }
      if (this.#live.get(live.node)?.run === live.run) continue
      this.#setLive(live)
      joined.push(live)
    }
    for (const member of joined) this.#tell('joined', member)
    this.#leave(others)
  }

  #setLive(member: Member): void {
    const before = this.#live.get(member.node)
    if (before !== undefined) this.#byRun.delete(before.run)
    this.#known.set(member.node, member)
    this.#live.set(member.node, member)
    this.#byRun.set(member.run, member)
  }

  #leave(others: readonly Other[]): void {
    if (performance.now() < this.#trustedFrom) return
    const alive = new Set(others.flatMap(({ live }) => (live === undefined ? [] : [live.node])))
    for (const member of this.live) {
      if (alive.has(member.node)) continue
      this.#live.delete(member.node)
      this.#byRun.delete(member.run)
      this.#tell('left', member)
    }
  }

  /** Redis does not have them: it lost them, or somebody said that they are to be forgotten. */
  async #restoreMissing(redis: Redis, seen: ReadonlySet<string>): Promise<void> {
    const missing = this.known.filter(({ node }) => !seen.has(node))
    if (missing.length === 0) return
    const forgotten = await this.#lease.restore(redis, missing)
    for (const member of missing) {
      if (!forgotten.includes(member.node) || this.#live.has(member.node)) continue
      this.#known.delete(member.node)
      this.#tell('forgotten', member)
    }
    const nodes = missing.length - forgotten.length
    if (nodes > 0) this.#log.info({ nodes }, 'redis lost its data: the nodes are written again')
  }

  async leave(redis: Redis): Promise<void> {
    if (this.#hasJoined) await this.#lease.leave(redis)
  }

  async forget(redis: Redis, node: string): Promise<void> {
    if (await this.#lease.forget(redis, node)) return
    throw new Error(`node "${node}" is alive; stop it first, and try again after ${leaseMs / 1000} s`)
  }
}

function refusal({ node }: Member, met: Exclude<Met, { outcome: 'ok' }>): OrioleError {
  if (met.outcome === 'version') {
    return new OrioleError(
      'ORI_CLUSTER_VERSION',
      `node "${met.node}" of the cluster speaks bus version ${met.version}, this one ${busVersion}; install the same release on all nodes`,
    )
  }
  const who =
    met.outcome === 'taken'
      ? 'another node, with another data folder,'
      : 'another process with a copy of this data folder'
  return new OrioleError(
    'ORI_CLUSTER_NAME_TAKEN',
    `${who} is "${node}" in the cluster; give this one a name of its own (node: in the config), or stop the other and wait ${leaseMs / 1000} s`,
  )
}
