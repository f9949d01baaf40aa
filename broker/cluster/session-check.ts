// Compares the sessions of this node with what Redis says: after every return of Redis, at the start, and now and then.
//
// Redis may have lost them, then it is told again. Another node may have claimed them while this one was away, then they
// are handed over to it. Or this node served a client later than the node that Redis names, then it fetches the rest.
import { errorText } from '../errors.ts'
import type { PluginLog } from '../plugin.ts'
import type { ClusterHouse, LocalSession } from './cluster.ts'
import type { Meeting, Member } from './meeting.ts'
import type { ClaimAnswer, Owner, Ownership } from './ownership.ts'

/** Sessions that are asked for at once: Redis serves others between. */
const pageSessions = 100
const offersAtOnce = 32
const retryMs = 1_000
/** Long before a key in Redis is forgotten. */
const everyMs = 60 * 60 * 1000
/** Of a session that no CONNECT of this run claimed: any claim is later. */
const beforeAllClaims = 1

export interface CheckParts {
  readonly meeting: Meeting
  readonly house: ClusterHouse
  readonly ownership: Ownership
  readonly log: PluginLog
  epochOf(clientId: string): number | undefined
  /** It began anew while Redis was away: what others have of it is of no use. */
  isClean(clientId: string): boolean
  toldClean(clientId: string): void
  /** Two users came with one client id while Redis was away: the earlier session stays. */
  dispute(clientId: string, former: Owner): void
  /** What that node has under this client id ends. */
  evict(clientId: string, node: string, epoch: number): void
  /** It is being claimed or fetched here: that says more than a look. */
  isBusy(clientId: string): boolean
  /** This node owns it, and that one may have some of it. */
  fetchLater(clientId: string, node: string): void
  /** Has the owner fetch it. */
  offer(clientId: string, to: Member): Promise<'ok' | 'other' | 'busy' | 'failed'>
}

export class SessionCheck {
  readonly #parts: CheckParts
  /** To be handed over, by the node that owns them; each is in memory anyway. */
  readonly #lost = new Map<string, Set<string>>()
  #offers = 0
  #walks = 0
  #isStopped = false
  #timers: NodeJS.Timeout[] = []

  constructor(parts: CheckParts) {
    this.#parts = parts
  }

  start(): void {
    this.#parts.meeting.on('up', () => void this.#walk())
    this.#timers = [setInterval(() => void this.#walk(), everyMs), setInterval(() => this.#handOver(), retryMs)]
    for (const timer of this.#timers) timer.unref()
  }

  stop(): void {
    this.#isStopped = true
    for (const timer of this.#timers) clearInterval(timer)
  }

  /** One session that may be another node's. */
  look(clientId: string): void {
    const session = this.#isStopped ? undefined : this.#parts.house.sessions.find(clientId)
    if (session !== undefined) void this.#checkPage([session])
  }

  lookLater(clientId: string): void {
    setTimeout(() => this.look(clientId), retryMs).unref()
  }

  /** One at a time: a new one ends the one before. */
  async #walk(): Promise<void> {
    this.#walks += 1
    const walk = this.#walks
    let page: LocalSession[] = []
    const isCurrent = (): boolean => walk === this.#walks && !this.#isStopped && this.#parts.meeting.isUp
    for (const session of this.#parts.house.sessions.all()) {
      page.push(session)
      if (page.length < pageSessions) continue
      await this.#checkPage(page)
      if (!isCurrent()) return
      page = []
    }
    await this.#checkPage(page)
  }

  async #checkPage(sessions: readonly LocalSession[]): Promise<void> {
    await Promise.all(sessions.map((session) => this.#check(session)))
  }

  async #check({ clientId, username, expiryS }: LocalSession): Promise<void> {
    const { ownership, meeting, log, epochOf, isBusy } = this.#parts
    if (isBusy(clientId)) return
    const epoch = epochOf(clientId)
    try {
      const isClean = this.#parts.isClean(clientId)
      const answer = await ownership.hold({ clientId, username, expiryS }, epoch ?? beforeAllClaims, isClean)
      if (isClean) this.#parts.toldClean(clientId)
      if (epochOf(clientId) === epoch && !isBusy(clientId)) this.#take(clientId, answer, isClean)
    } catch (error) {
      if (!meeting.isUp || this.#isStopped) return
      log.debug({ clientId, error: errorText(error) }, 'the owner of a session could not be asked')
      this.lookLater(clientId)
    }
  }

  #take(clientId: string, { outcome, former, epoch }: ClaimAnswer, isClean: boolean): void {
    const { meeting, fetchLater, evict, dispute } = this.#parts
    if (former === undefined) return
    if (outcome === 'user') dispute(clientId, former)
    else if (outcome === 'taken' && isClean) evict(clientId, former.node, epoch)
    else if (outcome === 'taken' && former.node !== meeting.self.node) fetchLater(clientId, former.node)
    if (outcome === 'lost') this.#loses(clientId, former)
  }

  #loses(clientId: string, owner: Owner): void {
    const { house, meeting, log } = this.#parts
    const { storeId, node } = meeting.self
    // A copy of this node's name with another store has nothing to do with this one.
    if (owner.node === node) return
    log.info({ clientId, node: owner.node }, "a session is another node's now")
    house.disconnect(clientId, 'taken-over', 'the client connected to another node')
    if (!owner.isOwed(storeId)) {
      house.sessions.end(clientId)
      return
    }
    const lost = this.#lost.get(owner.node) ?? new Set()
    this.#lost.set(owner.node, lost)
    lost.add(clientId)
    this.#handOver()
  }

  /** To those owners that are there. */
  #handOver(): void {
    for (const [node, lost] of this.#lost) {
      const owner = this.#parts.meeting.live().find((member) => member.node === node)
      if (owner === undefined) continue
      for (const clientId of lost) {
        if (this.#offers >= offersAtOnce) return
        lost.delete(clientId)
        void this.#offer(clientId, owner)
      }
      if (lost.size === 0) this.#lost.delete(node)
    }
  }

  async #offer(clientId: string, owner: Member): Promise<void> {
    if (this.#parts.isBusy(clientId)) return
    this.#offers += 1
    const outcome = await this.#parts.offer(clientId, owner)
    this.#offers -= 1
    if (this.#isStopped) return
    if (outcome !== 'ok') this.lookLater(clientId)
    this.#handOver()
  }
}
