// Keeps a shadow of each session of this node on another one: which sessions have one where, and what is to be told.
import { errorText } from '../errors.ts'
import type { PluginLog } from '../plugin.ts'
import type { Store } from '../store/store.ts'
import type { ClusterHouse, ShadowPlace } from './cluster.ts'
import type { ReplicaCounts } from './cluster-status.ts'
import type { Meeting } from './meeting.ts'
import type { Ownership } from './ownership.ts'
import type { RedisRouting } from './redis-routing.ts'
import { ReplicaBuild } from './replica-build.ts'
import { chooseHolder } from './replica-choice.ts'
import { ReplicaDrops } from './replica-drops.ts'
import { ReplicaNotes } from './replica-notes.ts'
import { ReplicaProgress } from './replica-progress.ts'
import { type Useless, useless } from './replica-questions.ts'
import { parseShadowId, type Replication } from './replication.ts'
import type { Where } from './where.ts'

/** From so many nodes on there are replicas, when the config does not say. */
const nodesForReplicas = 3
/** A SUBACK waits no longer for the shadow. */
const settleMs = 2_000
/** Until a shadow that did not answer is built anew. */
const behindMs = 1_000
/** What could not be told, because the store cannot be read just now. */
const tellAgainMs = 1_000
const batchSessions = 100
const batchesAtOnce = 4
/** Sessions that are looked at before others have their turn. */
const turnSessions = 1_000

export interface ReplicaParts {
  readonly meeting: Meeting
  readonly routing: RedisRouting
  readonly house: ClusterHouse
  readonly store: Store
  readonly ownership: Ownership
  readonly where: Where
  readonly log: PluginLog
  /** Of the last claim of this run. */
  epochOf(clientId: string): number | undefined
}

/** What this node knows of the shadow of one of its sessions. */
export interface Replica {
  readonly id: string
  readonly epoch: number
  readonly node: string
  /** The session was new when it was begun: there is nothing to copy. */
  isWhole: boolean
  /** The holder has it. */
  isMade: boolean
  /** It misses something, so that another one is made. */
  isStale: boolean
  isComplete: boolean
  /** When the copy of what is unread was begun. */
  copiedAt: number | undefined
  /** What is unread until now was copied, or is being copied: what comes later is not among it. */
  isCopied: boolean
  cuts: readonly (readonly [storeId: number, sequence: number])[] | undefined
  /** Nodes that were away meanwhile, and may still send something here that the holder does not get. */
  missing: readonly string[]
  /** Those before it, which stay until it is complete. */
  readonly former: readonly { readonly node: string; readonly id: string }[]
}

interface Started extends ReplicaParts {
  readonly build: ReplicaBuild
  readonly drops: ReplicaDrops
  readonly notes: ReplicaNotes
  readonly progress: ReplicaProgress
}

export class Replicas implements Replication {
  readonly #setting: 0 | 1 | undefined
  #started: Started | undefined
  #isOn = false
  readonly #replicas = new Map<string, Replica>()
  /** Sessions whose shadow is to be told, or made; each is in memory anyway. */
  readonly #changed = new Set<string>()
  readonly #busy = new Set<string>()
  /** Sessions that had no subscription yet. */
  readonly #fresh = new Set<string>()
  readonly #waiting = new Map<string, (() => void)[]>()
  #batches = 0
  #isScheduled = false
  #isStopped = false

  constructor(setting: 0 | 1 | undefined) {
    this.#setting = setting
  }

  /** The sessions of this node are there, and it is known what the others want. */
  start(parts: ReplicaParts): void {
    const { meeting } = parts
    const drops = new ReplicaDrops(parts)
    const progress = new ReplicaProgress({ ...parts, replicaOf: (clientId) => this.#replicas.get(clientId) })
    const build = new ReplicaBuild({
      ...parts,
      drops,
      replicas: this.#replicas,
      isFresh: (clientId) => this.#fresh.delete(clientId),
      waiters: (clientId) => this.#takeWaiters(clientId),
      again: (clientIds, ms) => this.#again(clientIds, ms),
      moved: (clientId) => progress.moved(clientId),
    })
    const notes = new ReplicaNotes({
      ...parts,
      isBehind: (clientId, replica) => {
        replica.isStale = true
        this.#again([clientId], behindMs)
      },
    })
    this.#started = { ...parts, build, drops, notes, progress }
    meeting.bus.answer(useless, async (_from, body) => ({ ids: this.#uselessOf((body as Useless).ids) }))
    meeting.on('up', () => this.#look())
    meeting.onMember('joined', ({ node }) => this.#joined(node))
    meeting.onMember('left', ({ node }) => this.#left(node))
    meeting.onMember('forgotten', ({ node }) => this.#forgotten(node))
    this.#look()
  }

  stop(): void {
    this.#isStopped = true
    this.#started?.progress.stop()
    this.#started?.drops.stop()
    for (const clientId of [...this.#waiting.keys()]) this.#release(clientId)
  }

  opened(clientId: string): void {
    if (this.#isOn) this.#fresh.add(clientId)
  }

  changed(clientId: string): void {
    if (!this.#isOn) return
    this.#changed.add(clientId)
    this.#schedule()
  }

  moved(clientId: string): void {
    if (this.#isOn && this.#replicas.has(clientId)) this.#started?.progress.moved(clientId)
  }

  gone(clientId: string, why: 'ended' | 'moved'): void {
    if (!this.#isOn) return
    this.#changed.delete(clientId)
    this.#fresh.delete(clientId)
    this.#started?.progress.forget(clientId)
    this.#release(clientId)
    const replica = this.#replicas.get(clientId)
    this.#replicas.delete(clientId)
    // Where it went it gets another one: until that is complete this one may be needed.
    if (replica === undefined || (why === 'moved' && replica.isComplete)) return
    for (const { node, id } of [replica, ...replica.former]) this.#started?.drops.add(node, id)
  }

  settled(clientId: string): Promise<void> | undefined {
    const meeting = this.#started?.meeting
    if (!this.#isOn) return undefined
    if (meeting?.isUp !== true || meeting.live().length === 0) {
      this.#isLate(clientId)
      return undefined
    }
    if (!this.#changed.has(clientId) && !this.#busy.has(clientId)) return undefined
    return new Promise((resolve) => {
      const late = (): void => {
        this.#isLate(clientId)
        resolve()
      }
      const timer = setTimeout(late, settleMs)
      const done = (): void => {
        clearTimeout(timer)
        resolve()
      }
      this.#waiting.set(clientId, [...(this.#waiting.get(clientId) ?? []), done])
    })
  }

  /** Its client counts on what it subscribed to, and the holder may not collect it yet: that has to be copied. */
  #isLate(clientId: string): void {
    this.#fresh.delete(clientId)
    const replica = this.#replicas.get(clientId)
    if (replica !== undefined && !(replica.isComplete && replica.isMade)) replica.isStale = true
  }

  noted(clientId: string): Promise<void> | undefined {
    const replica = this.#isOn ? this.#replicas.get(clientId) : undefined
    if (replica === undefined || replica.isStale || this.#started?.meeting.isUp !== true) return undefined
    return this.#started.notes.add(clientId, replica)
  }

  placeOf(clientId: string): (ShadowPlace & { readonly storeId: number }) | undefined {
    const replica = this.#isOn ? this.#replicas.get(clientId) : undefined
    if (this.#started === undefined || replica === undefined) return undefined
    if (!replica.isComplete && !replica.isCopied) return undefined
    return { node: replica.node, id: replica.id, storeId: this.#started.meeting.self.storeId }
  }

  counts(): ReplicaCounts {
    const live = new Set(this.#started?.meeting.live().map(({ node }) => node))
    let complete = 0
    for (const { isComplete, isStale, node } of this.#replicas.values()) {
      if (isComplete && !isStale && live.has(node)) complete += 1
    }
    return { complete, missing: this.#replicas.size - complete }
  }

  /** Redis is back, nodes came or were forgotten: are there replicas, and does each lie where it belongs? */
  #look(): void {
    const known = this.#started?.meeting.known().length ?? 0
    const isOn = (this.#setting ?? (known + 1 >= nodesForReplicas ? 1 : 0)) === 1
    if (this.#isOn && !isOn) for (const clientId of [...this.#replicas.keys()]) this.gone(clientId, 'ended')
    this.#isOn = isOn
    if (isOn) void this.#lookAtAll()
  }

  async #lookAtAll(): Promise<void> {
    const { house, meeting } = this.#started!
    let turn = 0
    for (const { clientId, isPersistent, isLeaving } of house.sessions.all()) {
      turn += 1
      if (turn % turnSessions === 0) await new Promise((resolve) => setImmediate(resolve))
      if (!this.#isOn || this.#isStopped) return
      if (!isPersistent || isLeaving) continue
      if (this.#replicas.get(clientId)?.node === chooseHolder(clientId, meeting.live())?.node) continue
      this.changed(clientId)
    }
  }

  /** Also with another run: what it still has is asked for, and what was being built is begun anew. */
  #joined(node: string): void {
    for (const [clientId, replica] of this.#replicas) {
      if (replica.node !== node && !replica.missing.includes(node)) continue
      replica.isStale = !replica.isComplete || replica.missing.includes(node)
      this.changed(clientId)
    }
    this.#look()
  }

  #left(node: string): void {
    for (const [clientId, replica] of this.#replicas) if (replica.node === node) this.changed(clientId)
  }

  #forgotten(node: string): void {
    for (const replica of this.#replicas.values()) {
      replica.missing = replica.missing.filter((other) => other !== node)
    }
    this.#look()
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isStopped) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#flush()
    })
  }

  #again(clientIds: readonly string[], ms: number): void {
    const again = (): void => {
      for (const clientId of clientIds) if (this.#replicas.has(clientId)) this.changed(clientId)
    }
    setTimeout(again, ms).unref()
  }

  /** Of one session only one thing is told at a time. While Redis is away everything waits. */
  #flush(): void {
    const started = this.#started
    if (!this.#isOn || this.#isStopped || started?.meeting.isUp !== true) return
    while (this.#batches < batchesAtOnce) {
      const batch: string[] = []
      for (const clientId of this.#changed) {
        if (this.#busy.has(clientId)) continue
        this.#changed.delete(clientId)
        this.#busy.add(clientId)
        batch.push(clientId)
        if (batch.length === batchSessions) break
      }
      if (batch.length === 0) return
      this.#batches += 1
      const told = started.build.tell(batch).catch((error: unknown) => {
        started.log.warn({ error: errorText(error) }, 'sessions could not be told to a second node; told again')
        setTimeout(() => {
          for (const clientId of batch) this.changed(clientId)
        }, tellAgainMs).unref()
      })
      void told.finally(() => {
        this.#batches -= 1
        for (const clientId of batch) {
          this.#busy.delete(clientId)
          if (!this.#changed.has(clientId)) this.#release(clientId)
        }
        if (this.#changed.size > 0) this.#schedule()
      })
    }
  }

  #takeWaiters(clientId: string): () => void {
    const waiting = this.#waiting.get(clientId) ?? []
    this.#waiting.delete(clientId)
    return () => {
      for (const done of waiting) done()
    }
  }

  #release(clientId: string): void {
    this.#takeWaiters(clientId)()
  }

  /** A session that is not here has its replica elsewhere; one that has none yet may need the former one. */
  #uselessOf(ids: readonly string[]): string[] {
    const { house } = this.#started!
    return ids.filter((id) => {
      const clientId = parseShadowId(id)?.clientId ?? ''
      const replica = this.#replicas.get(clientId)
      if (replica === undefined) return house.sessions.find(clientId) === undefined
      return replica.isComplete && replica.id !== id
    })
  }
}
