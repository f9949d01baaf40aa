// Gives sessions to the nodes that claimed them: ends the connection, tells what the session is, hands over what is unread.
import { errorText } from '../errors.ts'
import type { Counts } from '../metrics/counts.ts'
import type { PluginLog } from '../plugin.ts'
import type { ClusterHouse } from './cluster.ts'
import type { Meeting, Member } from './meeting.ts'
import { type Finish, type Finished, finish, type Give, type Given, give, has } from './move-questions.ts'
import { drainedUpTo } from './promotion.ts'
import { cutsHere, type Pulls } from './pulls.ts'
import type { RedisRouting } from './redis-routing.ts'
import { parseShadowId } from './replication.ts'
import type { Turns } from './turns.ts'
import type { Where } from './where.ts'

/** Given and not asked for the rest: the new owner has lost its way. */
const leavingMs = 20_000
const lookMs = 1_000

export interface GiveParts {
  readonly meeting: Meeting
  readonly routing: RedisRouting
  readonly house: ClusterHouse
  readonly log: PluginLog
  readonly counts: Pick<Counts, 'clusterMoves'>
  readonly turns: Turns
  readonly pulls: Pulls
  readonly where: Where
  /** The epoch of the last claim of this node; 0: not known. */
  epochOf(clientId: string): number
  /** From now on another node claims it. */
  onGiven(clientId: string): void
  /** It was given, and nobody fetched the rest of it. */
  onStuck(clientId: string): void
}

interface Leaving {
  since: number
  /** What was sent by nodes that were away was not handed over: the cuts of the others stay. */
  cuts: ReadonlyMap<number, number> | undefined
  missing: readonly string[]
  /** It was a shadow of this store, which has the session itself: nothing is waited for from there. */
  readonly lost: number | undefined
  /** A shadow of it went on elsewhere: what came there is delivered there. */
  readonly isCovered: boolean
}

export class Gives {
  readonly #parts: GiveParts
  readonly #leaving = new Map<string, Leaving>()
  readonly #timer: NodeJS.Timeout

  constructor(parts: GiveParts) {
    this.#parts = parts
    const { bus } = parts.meeting
    bus.answer(give, (from, body) => this.#give(from, body as Give))
    bus.answer(finish, (from, body) => this.#finish(from, body as Finish))
    bus.answer(has, async (_from, clientId) => parts.house.sessions.find(String(clientId))?.username ?? null)
    this.#timer = setInterval(() => this.#look(), lookMs).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** It is this node's again, or it is gone. */
  forget(clientId: string): void {
    this.#leaving.delete(clientId)
  }

  async #give(from: Member, { clientId, epoch, isClean, username, shadow, coveredUpTo }: Give): Promise<Given> {
    const { house, turns, pulls, log, counts } = this.#parts
    const here = house.sessions.find(clientId)
    if (username !== undefined && here !== undefined && here.username !== username) return { outcome: 'none' }
    if (here?.isLeaving === false && this.#parts.epochOf(clientId) < epoch) {
      house.disconnect(clientId, 'taken-over', 'the client connected to another node')
    }
    // What is on its way here comes first; a claim here that is later than this one does not wait for it.
    for (;;) {
      const turn = turns.active(clientId)
      if (turn !== undefined) {
        await turn.claimed
        if (turn.epoch > epoch) return { outcome: 'superseded' }
        turn.isSuperseded = true
        await turn.finished
        continue
      }
      const pulled = pulls.ended(clientId)
      if (pulled === undefined) break
      await pulled
    }
    if (this.#parts.epochOf(clientId) > epoch) return { outcome: 'superseded' }
    const promoted = shadow === undefined ? undefined : await this.#promote(shadow)
    const state = house.sessions.leave(clientId, isClean)
    if (coveredUpTo !== undefined) house.sessions.cover(clientId, coveredUpTo)
    this.#parts.onGiven(clientId)
    if (state === undefined) {
      this.#leaving.delete(clientId)
      return { outcome: 'none' }
    }
    counts.clusterMoves.given += 1
    log.debug({ clientId, node: from.node }, 'session given')
    const before = this.#leaving.get(clientId)
    const cuts = promoted === undefined ? before?.cuts : new Map([[promoted.storeId, promoted.upTo]])
    const isCovered = coveredUpTo !== undefined
    this.#leaving.set(clientId, { missing: [], cuts, since: performance.now(), lost: promoted?.storeId, isCovered })
    if (coveredUpTo === undefined) return { outcome: 'state', state, coveredUpTo: promoted?.upTo }
    // What the client subscribed to and received since then counts.
    return { outcome: 'state', state: { session: state.session, subscriptions: [], inbound: [] } }
  }

  async #promote(shadow: string): Promise<{ readonly storeId: number; readonly upTo: number } | undefined> {
    const { storeId } = parseShadowId(shadow) ?? {}
    if (storeId === undefined) return undefined
    const upTo = await drainedUpTo(this.#parts, storeId)
    return (await this.#parts.house.shadows.promote(shadow)) ? { storeId, upTo } : undefined
  }

  async #finish(from: Member, { clientId }: Finish): Promise<Finished> {
    const { house, where, log, meeting } = this.#parts
    const leaving = this.#leaving.get(clientId)
    if (leaving === undefined) return { cuts: undefined }
    leaving.since = performance.now()
    const { sequences, missing } = await where.ask()
    if (house.sessions.find(clientId)?.isLeaving !== true || this.#leaving.get(clientId) !== leaving) {
      return { cuts: undefined }
    }
    // Where it was handed over once, the new owner has had the rest by itself since.
    const cuts = new Map(leaving.isCovered ? [] : [...sequences, ...(leaving.cuts ?? [])])
    leaving.cuts = cuts
    leaving.missing = missing.filter((node) => meeting.member(node)?.storeId !== leaving.lost)
    leaving.since = performance.now()
    this.#handOver(clientId, from, leaving).catch((error: unknown) => {
      log.warn({ clientId, node: from.node, error: errorText(error) }, 'a session could not be handed over')
    })
    return { cuts: [...cuts] }
  }

  /** Who was away may have sent something that is still on its way here: until then the session stays, too. */
  async #handOver(clientId: string, to: Member, leaving: Leaving): Promise<void> {
    const { meeting, house, routing } = this.#parts
    const cuts = cutsHere(leaving.cuts ?? [], meeting.self.storeId)
    const keeps = leaving.missing.length > 0
    const last = await house.sessions.handOver(clientId, to.node, meeting.self.storeId, cuts, keeps)
    if (!keeps) this.#leaving.delete(clientId)
    if (last > 0) routing.whenForwarded(last, [to.node], () => {})
  }

  #look(): void {
    const { meeting, house } = this.#parts
    if (!meeting.isUp) return
    const now = performance.now()
    const live = new Set(meeting.live().map(({ node }) => node))
    const known = new Set(meeting.known().map(({ node }) => node))
    for (const [clientId, leaving] of this.#leaving) {
      if (house.sessions.find(clientId)?.isLeaving !== true) this.#leaving.delete(clientId)
      else if (leaving.missing.length > 0) {
        if (!leaving.missing.every((node) => live.has(node) || !known.has(node))) continue
      } else if (now - leaving.since < leavingMs) continue
      leaving.since = now
      leaving.missing = []
      this.#parts.onStuck(clientId)
    }
  }
}
