// Gets sessions from the nodes that had them: takes up what they are, then what is unread.
import { errorText } from '../errors.ts'
import type { Counts } from '../metrics/counts.ts'
import type { PluginLog } from '../plugin.ts'
import type { ClusterHouse, CutsByStore } from './cluster.ts'
import type { Meeting, Member } from './meeting.ts'
import { type Finish, type Finished, finish, type Give, type Given, give } from './move-questions.ts'
import type { RedisRouting } from './redis-routing.ts'

/** The former owner may still be getting it itself. */
const giveMs = 3_000
/** Before a shadow becomes a session, its node takes what lies in its stream. */
const promoteMs = 8_000
/** It waits for what other nodes sent to it. */
const finishMs = 15_000
/** What is unread may be much. */
const arrivalMs = 120_000
/** How often it is waited, 2 s each, until all nodes know the subscriptions. */
const settleTries = 3

export interface PullParts {
  readonly meeting: Meeting
  readonly routing: RedisRouting
  readonly house: ClusterHouse
  readonly log: PluginLog
  readonly counts: Pick<Counts, 'clusterMoves'>
  /** A session is here with what is unread, so long after it was asked for. */
  onTaken(seconds: number): void
}

export interface Got {
  readonly outcome: 'here' | 'none' | 'superseded' | 'missed'
  /** As in Given. */
  readonly coveredUpTo?: number | undefined
}

interface Pull {
  readonly from: Member
  /** Its client, if there is one, waits for what was handed over. */
  readonly done: Promise<void>
  hasArrived: boolean
  wake: () => void
}

export class Pulls {
  readonly #parts: PullParts
  readonly #pulls = new Map<string, Pull>()

  constructor(parts: PullParts) {
    this.#parts = parts
    parts.meeting.onMember('left', ({ run }) => {
      for (const pull of this.#pulls.values()) if (pull.from.run === run) pull.wake()
    })
    // Started again before anybody saw that it was gone: it does not go on with what it began.
    parts.meeting.onMember('joined', ({ node, run }) => {
      for (const pull of this.#pulls.values()) if (pull.from.node === node && pull.from.run !== run) pull.wake()
    })
  }

  stop(): void {
    for (const pull of this.#pulls.values()) pull.wake()
  }

  /** Resolves when nothing is on its way from another node any more; undefined: nothing is. */
  ended(clientId: string): Promise<void> | undefined {
    return this.#pulls.get(clientId)?.done
  }

  /**
   * Resolves when the session is here, or it is known that there is none, or its node does not answer; what is unread
   * comes later. `missed`: its node may still have it.
   */
  async begin(from: Member, wish: Give): Promise<Got> {
    const { meeting, house, log, counts } = this.#parts
    const { clientId } = wish
    const askedAt = performance.now()
    if (!(await this.#isFree(clientId))) return { outcome: 'missed' }
    let given: Given
    try {
      given = (await meeting.bus.ask(from, give, wish, wish.shadow === undefined ? giveMs : promoteMs)) as Given
    } catch (error) {
      counts.clusterMoves.failed += 1
      log.info({ clientId, node: from.node, error: errorText(error) }, 'a session could not be fetched')
      return { outcome: 'missed' }
    }
    if (given.outcome !== 'state') return { outcome: given.outcome }
    const here = house.sessions.find(clientId)
    // Nobody gets what is another user's; its node finds out who owns it.
    if (here !== undefined && here.username !== given.state.session.username) return { outcome: 'none' }
    const isConnected = here?.isConnected === true
    house.sessions.stay(clientId)
    house.sessions.adopt(given.state)
    if (!isConnected) house.sessions.await(clientId)
    const pull: Pull = { from, done: this.#finish(from, clientId, askedAt), hasArrived: false, wake: () => {} }
    this.#pulls.set(clientId, pull)
    await this.#parts.routing.settled()
    return { outcome: 'here', coveredUpTo: given.coveredUpTo }
  }

  /** Nothing is on its way from another node, or not any more after a while. */
  async #isFree(clientId: string): Promise<boolean> {
    const done = this.#pulls.get(clientId)?.done
    if (done === undefined) return true
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<false>((resolve) => {
      timer = setTimeout(() => resolve(false), giveMs).unref()
    })
    return Promise.race([done.then(() => true), late]).finally(() => clearTimeout(timer))
  }

  /** All that was handed over for it is durable here. */
  arrived(clientId: string): void {
    const pull = this.#pulls.get(clientId)
    if (pull === undefined) return
    pull.hasArrived = true
    pull.wake()
  }

  async #finish(from: Member, clientId: string, askedAt: number): Promise<void> {
    const { meeting, house, log, counts } = this.#parts
    try {
      await this.#settle()
      const { cuts } = (await meeting.bus.ask(from, finish, { clientId } satisfies Finish, finishMs)) as Finished
      if (cuts === undefined) {
        counts.clusterMoves.partly += 1
        return
      }
      if (cuts.length > 0) house.sessions.split(clientId, cutsHere(cuts, meeting.self.storeId))
      await this.#arrival(clientId)
      counts.clusterMoves.taken += 1
      this.#parts.onTaken((performance.now() - askedAt) / 1_000)
    } catch (error) {
      // Its former node gives the rest when it finds out that this one owns it.
      counts.clusterMoves.partly += 1
      log.info({ clientId, node: from.node, error: errorText(error) }, 'a session was fetched in part')
    } finally {
      this.#pulls.delete(clientId)
      house.sessions.release(clientId)
    }
  }

  /** Until every node sends here what is published from now on. */
  async #settle(): Promise<void> {
    const { routing } = this.#parts
    for (let tries = 0; tries < settleTries; tries += 1) {
      const settled = routing.settled()
      if (settled === undefined || (await settled)) return
    }
    throw new Error('not all nodes know its subscriptions')
  }

  async #arrival(clientId: string): Promise<void> {
    const pull = this.#pulls.get(clientId)
    if (pull === undefined || pull.hasArrived) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, arrivalMs).unref()
      pull.wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    if (!pull.hasArrived) throw new Error('what is unread did not come')
  }
}

/** By store id, 0 for this node. */
export function cutsHere(cuts: Iterable<readonly [storeId: number, sequence: number]>, own: number): CutsByStore {
  return new Map(Array.from(cuts, ([storeId, sequence]) => [storeId === own ? 0 : storeId, sequence]))
}
