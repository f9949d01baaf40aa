// Makes shadows and tells them what changes: the holder collects, and when all nodes know that it does, what is unread
// until then is copied.
import { randomBytes } from 'node:crypto'
import { errorText } from '../errors.ts'
import type { SessionState } from './cluster.ts'
import type { Member } from './meeting.ts'
import { cutsHere } from './pulls.ts'
import { chooseHolder } from './replica-choice.ts'
import type { ReplicaDrops } from './replica-drops.ts'
import { sentFrom } from './replica-identity.ts'
import { type KeepItem, type KeepOutcome, type Kept, keep } from './replica-questions.ts'
import type { Replica, ReplicaParts } from './replicas.ts'
import { shadowId } from './replication.ts'

/** The holder waits until all live nodes know what it collects. */
const keepMs = 5_000
const copiesAtOnce = 4
/** Until a shadow that was copied is asked again whether it has everything. */
const pollMs = 300
const retryMs = 2_000
/** A copy that did not arrive is made anew. */
const copyMs = 120_000

export interface BuildParts extends ReplicaParts {
  readonly drops: ReplicaDrops
  readonly replicas: Map<string, Replica>
  /** It had no subscription until now; it is asked once. */
  isFresh(clientId: string): boolean
  /** Who waits for what is told now: to be called when it is. */
  waiters(clientId: string): () => void
  again(clientIds: readonly string[], ms: number): void
  /** It is told how far the session is. */
  moved(clientId: string): void
}

interface Told {
  readonly clientId: string
  readonly replica: Replica
  readonly state: SessionState
  readonly done: () => void
}

export class ReplicaBuild {
  readonly #parts: BuildParts
  readonly #copies: { readonly clientId: string; readonly replica: Replica }[] = []
  #copying = 0

  constructor(parts: BuildParts) {
    this.#parts = parts
  }

  /** Never rejects. */
  async tell(batch: readonly string[]): Promise<void> {
    const { meeting, house, waiters } = this.#parts
    await Promise.all(batch.map((clientId) => this.#prepare(clientId)))
    const live = new Map(meeting.live().map((member) => [member.node, member]))
    const byHolder = new Map<Member, Told[]>()
    for (const clientId of batch) {
      const done = waiters(clientId)
      const replica = this.#parts.replicas.get(clientId)
      const holder = replica && live.get(replica.node)
      const state = house.sessions.describe(clientId)
      if (replica === undefined || holder === undefined || state === undefined) done()
      else byHolder.set(holder, [...(byHolder.get(holder) ?? []), { clientId, replica, state, done }])
    }
    await Promise.all([...byHolder].map(([holder, told]) => this.#tellHolder(holder, told)))
  }

  /** Afterwards `replicas` has the one that is to be told, if there is to be one. */
  async #prepare(clientId: string): Promise<void> {
    const { meeting, house, replicas, drops } = this.#parts
    const state = house.sessions.describe(clientId)
    const before = replicas.get(clientId)
    // On its way to another node: what it has stays until that one has a shadow for it.
    if (house.sessions.find(clientId)?.isLeaving === true) return
    if (state === undefined || state.subscriptions.length === 0) {
      replicas.delete(clientId)
      if (before !== undefined) for (const { node, id } of [before, ...before.former]) drops.add(node, id)
      return
    }
    const holder = chooseHolder(clientId, meeting.live())
    if (holder === undefined || (before?.node === holder.node && !before.isStale)) return
    await house.sessions.learnSent(clientId)
    const epoch = await this.#epochOf(clientId)
    if (epoch === undefined || replicas.get(clientId) !== before) return
    const nonce = randomBytes(6).toString('hex')
    replicas.set(clientId, {
      id: shadowId({ clientId, storeId: meeting.self.storeId, epoch }, nonce),
      epoch,
      node: holder.node,
      isWhole: this.#parts.isFresh(clientId),
      isMade: false,
      isStale: false,
      isComplete: false,
      copiedAt: undefined,
      isCopied: false,
      cuts: undefined,
      missing: [],
      former: before === undefined ? [] : [...before.former, before],
    })
  }

  /** Undefined: another node owns it, or nobody knows. */
  async #epochOf(clientId: string): Promise<number | undefined> {
    const { ownership, meeting, epochOf, again } = this.#parts
    try {
      const owner = await ownership.ownerOf(clientId)
      if (owner === undefined) return epochOf(clientId) ?? Date.now()
      if (owner.storeId === meeting.self.storeId) return owner.epoch
    } catch {
      again([clientId], retryMs)
    }
    return undefined
  }

  async #tellHolder(holder: Member, told: readonly Told[]): Promise<void> {
    const items = told.map(({ replica, state }): KeepItem => {
      const { id, isMade, isWhole, cuts } = replica
      const sent = sentFrom(state.sent ?? [], this.#parts.meeting.self.storeId)
      return { id, state: { ...state, sent }, isNew: !isMade, isWhole, cuts }
    })
    try {
      const answer = (await this.#parts.meeting.bus.ask(holder, keep, { items }, keepMs)) as Kept
      for (const [index, { clientId, replica }] of told.entries()) {
        if (this.#parts.replicas.get(clientId) !== replica) continue
        this.#learn(clientId, replica, answer.isSettled, answer.outcomes[index] ?? 'gone')
      }
    } catch (error) {
      this.#parts.log.debug({ node: holder.node, error: errorText(error) }, 'shadows could not be told')
      this.#parts.again(
        told.map(({ clientId }) => clientId),
        retryMs,
      )
    }
    for (const { replica, done } of told) {
      // From here on its client counts on what it subscribed to.
      replica.isWhole = false
      done()
    }
  }

  #learn(clientId: string, replica: Replica, isSettled: boolean, outcome: KeepOutcome): void {
    replica.isMade = true
    const isLost = replica.copiedAt !== undefined && performance.now() - replica.copiedAt > copyMs
    if (replica.isStale || !isSettled || outcome === 'gone' || (outcome === 'collecting' && isLost)) {
      replica.isStale = true
      this.#parts.again([clientId], outcome === 'gone' ? 0 : retryMs)
    } else if (outcome === 'complete') {
      if (!replica.isComplete) this.#complete(clientId, replica)
    } else if (replica.copiedAt === undefined) {
      this.#copies.push({ clientId, replica })
      this.#copyMore()
    } else this.#parts.again([clientId], pollMs)
  }

  #complete(clientId: string, replica: Replica): void {
    const { drops, moved } = this.#parts
    replica.isComplete = true
    for (const { node, id } of replica.former) drops.add(node, id)
    drops.addBefore(clientId, replica.epoch, replica.node)
    // What was copied may have been delivered meanwhile.
    moved(clientId)
  }

  #copyMore(): void {
    while (this.#copying < copiesAtOnce) {
      const next = this.#copies.shift()
      if (next === undefined) return
      this.#copying += 1
      const { clientId, replica } = next
      this.#copy(clientId, replica)
        .catch((error: unknown) => {
          this.#parts.log.warn({ clientId, node: replica.node, error: errorText(error) }, 'a session was not copied')
          replica.isStale = true
          this.#parts.again([clientId], retryMs)
        })
        .finally(() => {
          this.#copying -= 1
          this.#copyMore()
        })
    }
  }

  /** The holder collects. What was published before, or is still on its way here, is copied. */
  async #copy(clientId: string, replica: Replica): Promise<void> {
    const { where, routing, house, meeting, replicas, again } = this.#parts
    if (replicas.get(clientId) !== replica || replica.isStale) return
    replica.copiedAt = performance.now()
    const places = await where.askAll()
    if (places === undefined) throw new Error('not all nodes say where they are')
    const { sequences, missing } = places
    replica.missing = missing
    replica.cuts = [...sequences]
    const { storeId } = meeting.self
    // In this turn of the loop it reads where the log ends.
    replica.isCopied = true
    const last = await house.sessions.copy(clientId, replica, storeId, cutsHere(sequences, storeId))
    if (last > 0) routing.whenForwarded(last, [replica.node], () => {})
    again([clientId], pollMs)
  }
}
