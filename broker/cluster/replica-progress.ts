// Tells each second how far the sessions of this node are, in the words of the holder's log.
//
// The holder says where its log is. When this node then has everything that was published until now, what lies in the
// holder's log up to that place lies here up to the end of this log: who has passed the one has passed the other.
import { errorText } from '../errors.ts'
import type { PluginLog } from '../plugin.ts'
import type { Store } from '../store/store.ts'
import type { ClusterHouse } from './cluster.ts'
import type { Meeting } from './meeting.ts'
import { type Mark, mark, type Passed, type PassedSession, passed } from './replica-questions.ts'
import type { Replica } from './replicas.ts'
import type { Where } from './where.ts'

const everyMs = 1_000
const answerMs = 2_000
/** Places that are remembered for each holder; over it every second one of the older half is forgotten. */
const placesMax = 256
/** A session without a connection does not move: after so many rounds it is not looked at any more. */
const awayRounds = 3
const pageSessions = 1_000

interface Place {
  readonly round: number
  /** In the holder's log. */
  readonly theirs: number
  /** In the log of this node. */
  readonly here: number
}

export interface ProgressParts {
  readonly meeting: Meeting
  readonly house: ClusterHouse
  readonly store: Store
  readonly where: Where
  readonly log: PluginLog
  replicaOf(clientId: string): Replica | undefined
}

export class ReplicaProgress {
  readonly #parts: ProgressParts
  readonly #places = new Map<string, Place[]>()
  /** Sessions that moved, and in which round. */
  readonly #moved = new Map<string, number>()
  readonly #timer: NodeJS.Timeout
  #round = 0
  #isRunning = false

  constructor(parts: ProgressParts) {
    this.#parts = parts
    const forget = ({ node }: { readonly node: string }): void => void this.#places.delete(node)
    // Its log may be another one.
    parts.meeting.onMember('joined', forget)
    parts.meeting.onMember('forgotten', forget)
    this.#timer = setInterval(() => void this.#run(), everyMs).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  moved(clientId: string): void {
    this.#moved.set(clientId, this.#round)
  }

  forget(clientId: string): void {
    this.#moved.delete(clientId)
  }

  async #run(): Promise<void> {
    if (this.#isRunning || this.#moved.size === 0 || !this.#parts.meeting.isUp) return
    this.#isRunning = true
    try {
      await this.#lookAround()
      await this.#tellAll()
    } catch (error) {
      this.#parts.log.debug({ error: errorText(error) }, 'how far sessions are could not be told')
    }
    this.#isRunning = false
  }

  /** Takes a new place for each holder. */
  async #lookAround(): Promise<void> {
    const { meeting, where, store, replicaOf } = this.#parts
    const holders = new Set<string>()
    for (const clientId of this.#moved.keys()) {
      const replica = replicaOf(clientId)
      if (replica !== undefined) holders.add(replica.node)
    }
    this.#round += 1
    const round = this.#round
    const members = meeting.live().filter(({ node }) => holders.has(node))
    const marks = await Promise.all(
      members.map((member) => meeting.bus.ask(member, mark, null, answerMs).catch(() => undefined)),
    )
    if ((await where.askAll()) === undefined) return
    const here = store.lastSequence
    for (const [index, { node }] of members.entries()) {
      const theirs = (marks[index] as Mark | undefined)?.sequence
      if (theirs !== undefined) this.#addPlace(node, { round, theirs, here })
    }
  }

  #addPlace(node: string, place: Place): void {
    const places = this.#places.get(node) ?? []
    places.push(place)
    const half = placesMax / 2
    const isFull = places.length > placesMax
    this.#places.set(node, isFull ? places.filter((_, index) => index >= half || index % 2 === 0) : places)
  }

  async #tellAll(): Promise<void> {
    const byNode = new Map<string, PassedSession[]>()
    for (const [clientId, round] of this.#moved) {
      const replica = this.#parts.replicaOf(clientId)
      const progress = replica && this.#parts.house.sessions.progressOf(clientId)
      if (replica === undefined || progress === undefined) {
        this.#moved.delete(clientId)
        continue
      }
      const { position, disconnectedAt, expiryS } = progress
      const place = this.#places.get(replica.node)?.findLast(({ here }) => here <= position)
      const told = byNode.get(replica.node) ?? []
      told.push([replica.id, place?.theirs ?? 0, disconnectedAt ?? null, expiryS])
      byNode.set(replica.node, told)
      const isAway = disconnectedAt !== undefined && this.#round - round > awayRounds
      if (isAway || (place !== undefined && place.round > round)) this.#moved.delete(clientId)
    }
    await Promise.all([...byNode].map(([node, sessions]) => this.#tell(node, sessions)))
  }

  /** What is not heard is told with the next move. */
  async #tell(node: string, sessions: readonly PassedSession[]): Promise<void> {
    const { meeting } = this.#parts
    const member = meeting.live().find((live) => live.node === node)
    if (member === undefined) return
    for (let at = 0; at < sessions.length; at += pageSessions) {
      const page = sessions.slice(at, at + pageSessions)
      await meeting.bus.ask(member, passed, { sessions: page } satisfies Passed, answerMs)
    }
  }
}
