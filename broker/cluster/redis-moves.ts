// Moves sessions between nodes: a CONNECT claims its session in Redis, and fetches it from the node that had it.

import { errorText } from '../errors.ts'
import type { Counts } from '../metrics/counts.ts'
import type { ClientInfo, PluginLog } from '../plugin.ts'
import type { Store } from '../store/store.ts'
import { ClientIds } from './client-ids.ts'
import type { Claimed, ClusterHouse, SessionMoves } from './cluster.ts'
import { Gives } from './gives.ts'
import { liveOwner, type Meeting, type Member } from './meeting.ts'
import { type Fetch, type Fetched, fetch, type Give, has } from './move-questions.ts'
import { type Claimant, type Owner, Ownership } from './ownership.ts'
import { Promotion } from './promotion.ts'
import { Pulls } from './pulls.ts'
import type { RedisRouting } from './redis-routing.ts'
import type { Replicas } from './replicas.ts'
import { SessionCheck } from './session-check.ts'
import { ShadowKeeper } from './shadow-keeper.ts'
import { Strays } from './strays.ts'
import { type Turn, Turns } from './turns.ts'
import { Where } from './where.ts'

const hasMs = 1_000
const fetchMs = 60_000
const giftsAtOnce = 32
const lookMs = 1_000

export interface MoveParts {
  /** The session came here, and the node that had it is away or does not answer. */
  onFormerAway(clientId: string, node: string): void
  readonly meeting: Meeting
  readonly routing: RedisRouting
  readonly store: Store
  readonly replicas: Replicas
  readonly log: PluginLog
  readonly counts: Pick<Counts, 'clusterMoves'>
  onTaken(seconds: number): void
}

interface Entered extends Omit<MoveParts, 'log'> {
  readonly house: ClusterHouse
  readonly ownership: Ownership
  readonly pulls: Pulls
  readonly gives: Gives
  readonly check: SessionCheck
  readonly strays: Strays
  readonly where: Where
  readonly keeper: ShadowKeeper
  readonly promotion: Promotion
}

export class RedisMoves implements SessionMoves {
  readonly #log: PluginLog
  readonly #turns = new Turns()
  /** Of the claims of this run, for sessions that are here. */
  readonly #epochs = new Map<string, number>()
  /** Nodes that did not give a session that was claimed: asked again. */
  readonly #missed = new Map<string, ReadonlySet<string>>()
  /** Sessions that began anew while Redis was away. */
  readonly #begunAlone = new Set<string>()
  #entered: Entered | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(log: PluginLog) {
    this.#log = log
  }

  /** Before the first connection to Redis. */
  enter(parts: MoveParts, house: ClusterHouse): void {
    const { meeting, routing, store, log, counts, onTaken } = parts
    const ownership = new Ownership(meeting)
    const where = new Where({ meeting, routing, store, log })
    const pulls = new Pulls({ meeting, routing, house, log, counts, onTaken })
    const check = new SessionCheck({
      meeting,
      house,
      ownership,
      log,
      epochOf: (clientId) => this.#epochs.get(clientId),
      isBusy: (clientId) => this.#turns.active(clientId) !== undefined || pulls.ended(clientId) !== undefined,
      isClean: (clientId) => this.#begunAlone.has(clientId),
      toldClean: (clientId) => {
        if (!this.#missed.has(clientId)) this.#begunAlone.delete(clientId)
      },
      evict: (clientId, node, epoch) => clientIds.evict(clientId, node, epoch),
      dispute: (clientId, former) => void clientIds.dispute(clientId, former),
      fetchLater: (clientId, node) => this.#fetchLater(clientId, [node]),
      offer: (clientId, to) => this.#offer(clientId, to),
    })
    const clientIds = new ClientIds({
      meeting,
      house,
      ownership,
      log,
      isBusy: (clientId) => this.#turns.active(clientId) !== undefined,
      claimed: (clientId, epoch) => void this.#epochs.set(clientId, epoch),
      fetchLater: (clientId, node) => this.#fetchLater(clientId, [node]),
      lookLater: (clientId) => check.lookLater(clientId),
    })
    const gives = new Gives({
      meeting,
      routing,
      house,
      log,
      counts,
      turns: this.#turns,
      pulls,
      where,
      epochOf: (clientId) => this.#epochs.get(clientId) ?? 0,
      onGiven: (clientId) => this.#epochs.delete(clientId),
      onStuck: (clientId) => check.look(clientId),
    })
    const strays = new Strays({ meeting, routing, house, ownership, log })
    const keeper = new ShadowKeeper({ meeting, routing, house, ownership, log })
    const promotion = new Promotion({ meeting, routing, house, ownership, pulls, keeper, log })
    this.#entered = { ...parts, house, ownership, pulls, gives, check, strays, where, keeper, promotion }
    meeting.bus.answer(fetch, (from, body) => this.#fetch(from, body as Fetch))
  }

  /** The sessions of this node are there, and it is known what the others want. */
  start(): void {
    this.#entered?.check.start()
    this.#entered?.strays.start()
    this.#startReplicas()
    this.#timer = setInterval(() => this.#fetchMissed(), lookMs).unref()
  }

  #startReplicas(): void {
    const entered = this.#entered
    if (entered === undefined) return
    entered.keeper.start()
    const epochOf = (clientId: string): number | undefined => this.#epochs.get(clientId)
    entered.replicas.start({ ...entered, log: this.#log, epochOf })
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#entered?.keeper.stop()
    this.#turns.stop()
    this.#entered?.check.stop()
    this.#entered?.gives.stop()
    this.#entered?.pulls.stop()
  }

  async claim(info: ClientInfo, cleanStart: boolean, expiryS: number): Promise<Claimed> {
    const entered = this.#entered
    if (entered === undefined) return { refused: undefined, done: () => {} }
    const turn = await this.#turns.enter(info.id)
    if (turn === undefined) return { refused: 'superseded', done: () => {} }
    const claimant = { clientId: info.id, username: info.identity.username, expiryS }
    let refused: Claimed['refused']
    try {
      refused = await this.#claim(entered, turn, claimant, cleanStart)
    } catch (error) {
      this.#log.info({ clientId: info.id, error: errorText(error) }, 'a session was opened without asking other nodes')
      this.#claimAlone(entered, turn, cleanStart)
      // Redis may have taken the claim, and nobody knows who had the session before.
      const others = entered.meeting.live().map(({ node }) => node)
      if (others.length > 0) this.#fetchLater(info.id, others)
      entered.check.lookLater(info.id)
    }
    if (cleanStart && refused === undefined) entered.strays.ended(info.id)
    // The connection takes its session up in this turn of the loop: before that nobody can end it.
    return { refused, done: () => setImmediate(() => this.#done(entered, turn)) }
  }

  ended(clientId: string): void {
    // The one that claims it now says what becomes of it.
    if (this.#entered === undefined || this.#turns.active(clientId) !== undefined) return
    this.#forget(this.#entered, clientId)
  }

  arrived(clientId: string): void {
    this.#entered?.pulls.arrived(clientId)
  }

  strayed(clientId: string): void {
    this.#entered?.strays.add(clientId)
  }

  async giveAway(signal: AbortSignal): Promise<number> {
    const entered = this.#entered
    if (entered === undefined) return 0
    const { house, meeting } = entered
    const sessions = [...house.sessions.all()].filter(({ isConnected, isLeaving }) => !isConnected && !isLeaving)
    let next = 0
    // An offer may take a minute: what is under way when it is interrupted goes on, and nobody waits for it.
    const stopped = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
    const lane = async (): Promise<void> => {
      while (next < sessions.length && !signal.aborted) {
        const { clientId } = sessions[next]!
        const live = meeting.live()
        const to = live[next % Math.max(1, live.length)]
        next += 1
        if (to === undefined) return
        await Promise.race([this.#offer(clientId, to), stopped])
      }
    }
    await Promise.all(Array.from({ length: giftsAtOnce }, lane))
    let left = 0
    for (const _ of house.sessions.all()) left += 1
    return left
  }

  async #claim(
    entered: Entered,
    turn: Turn,
    claimant: Claimant,
    isClean: boolean,
  ): Promise<'user' | 'superseded' | undefined> {
    const { ownership, meeting, house } = entered
    if (!meeting.isUp) {
      this.#claimAlone(entered, turn, isClean)
      return undefined
    }
    let claim = await ownership.take(claimant, isClean)
    if (claim.outcome === 'user') {
      if (await this.#isOfAnother(entered, claimant, claim.former!)) return 'user'
      claim = await ownership.take(claimant, isClean, String(claim.epoch))
      if (claim.outcome === 'user') return 'user'
    }
    const { epoch, former } = claim
    this.#epochs.set(claimant.clientId, epoch)
    turn.hasClaimed(epoch)
    this.#missed.delete(claimant.clientId)
    this.#begunAlone.delete(claimant.clientId)
    if (claim.outcome === 'taken' && former !== undefined) {
      if ((await this.#takeOver(entered, { clientId: claimant.clientId, epoch, isClean }, former)) === 'superseded') {
        return 'superseded'
      }
    }
    if (turn.isSuperseded) return 'superseded'
    house.sessions.stay(claimant.clientId)
    entered.gives.forget(claimant.clientId)
    return undefined
  }

  /** From its former owner, or, when that does not answer, from its shadow. */
  async #takeOver(entered: Entered, wish: Give, former: Owner): Promise<'superseded' | undefined> {
    const { clientId, epoch, isClean } = wish
    const from = liveOwner(entered.meeting, former)
    const got = from && (await entered.pulls.begin(from, wish))
    if (got?.outcome === 'superseded') return 'superseded'
    if (got !== undefined && got.outcome !== 'missed') return undefined
    entered.onFormerAway(clientId, former.node)
    if (isClean) await entered.promotion.forget(clientId, epoch)
    else {
      await entered.promotion.take(clientId, epoch, former)
      if (got !== undefined) this.#fetchLater(clientId, [former.node])
    }
    return undefined
  }

  /** While Redis is away. When it is back, the later of two claims counts. */
  #claimAlone({ house, gives }: Entered, turn: Turn, isClean: boolean): void {
    const { clientId } = turn
    if (isClean) this.#begunAlone.add(clientId)
    const epoch = Math.max(Date.now(), (this.#epochs.get(clientId) ?? 0) + 1)
    this.#epochs.set(clientId, epoch)
    turn.hasClaimed(epoch)
    house.sessions.stay(clientId)
    gives.forget(clientId)
  }

  /** Redis says that it is another user's: is it still there? */
  async #isOfAnother(
    { meeting, house }: Entered,
    { clientId, username }: Claimant,
    owner: { readonly node: string; readonly storeId: number; readonly isPersistent: boolean },
  ): Promise<boolean> {
    const { self } = meeting
    const isHere = owner.node === self.node && owner.storeId === self.storeId
    if (isHere) return (house.sessions.find(clientId)?.username ?? username) !== username
    const member = liveOwner(meeting, owner)
    if (member !== undefined) {
      // Whoever does not answer now may have it.
      const found = await meeting.bus.ask(member, has, clientId, hasMs).catch(() => undefined)
      if (found === undefined) return owner.isPersistent
      return found !== null && found !== username
    }
    const known = meeting.member(owner.node)
    return owner.isPersistent && known?.storeId === owner.storeId
  }

  #done(entered: Entered, turn: Turn): void {
    this.#turns.leave(turn)
    const { clientId } = turn
    if (this.#turns.active(clientId) !== undefined) return
    if (entered.house.sessions.find(clientId) === undefined) this.#forget(entered, clientId)
    else entered.strays.opened(clientId)
  }

  #forget({ meeting, ownership, gives }: Entered, clientId: string): void {
    const epoch = this.#epochs.get(clientId)
    this.#epochs.delete(clientId)
    this.#missed.delete(clientId)
    this.#begunAlone.delete(clientId)
    gives.forget(clientId)
    if (!meeting.isUp) return
    ownership.release(clientId, epoch).catch((error: unknown) => {
      // It is forgotten with its time to live, or by the next claim.
      this.#log.debug({ clientId, error: errorText(error) }, 'the end of a session could not be told')
    })
  }

  /** Another node asks this one to get a session that this one owns, or shall own. */
  async #fetch(from: Member, { clientId, username, expiryS }: Fetch): Promise<Fetched> {
    const entered = this.#entered
    const turn = this.#turns.enterNow(clientId)
    if (entered === undefined || turn === undefined) return { outcome: 'busy' }
    try {
      const claim = await entered.ownership.accept({ clientId, username, expiryS }, from.node)
      if (claim.outcome === 'other') return { outcome: 'other' }
      this.#epochs.set(clientId, claim.epoch)
      turn.hasClaimed(claim.epoch)
      const coveredUpTo = claim.former?.coveredOf(from.storeId)
      const { outcome } = await entered.pulls.begin(from, { clientId, epoch: claim.epoch, isClean: false, coveredUpTo })
      if (outcome === 'missed') return { outcome: 'busy' }
    } finally {
      this.#done(entered, turn)
    }
    await entered.pulls.ended(clientId)
    return { outcome: 'ok' }
  }

  /** Resolves with what became of it. */
  async #offer(clientId: string, to: Member): Promise<Fetched['outcome'] | 'failed'> {
    const { house, meeting } = this.#entered!
    const session = house.sessions.find(clientId)
    if (session === undefined) return 'ok'
    const { username, expiryS } = session
    try {
      const body = { clientId, username, expiryS } satisfies Fetch
      return ((await meeting.bus.ask(to, fetch, body, fetchMs)) as Fetched).outcome
    } catch (error) {
      this.#log.info({ clientId, node: to.node, error: errorText(error) }, 'a session could not be given away')
      return 'failed'
    }
  }

  /** Their nodes may still have a connection of the client. */
  #fetchMissed(): void {
    const { meeting } = this.#entered!
    if (!meeting.isUp || this.#missed.size === 0) return
    const live = new Map(meeting.live().map((member) => [member.node, member]))
    for (const [clientId, nodes] of this.#missed) {
      const from = [...nodes].map((node) => live.get(node)).find((member) => member !== undefined)
      const turn = from && this.#turns.enterNow(clientId)
      if (from === undefined || turn === undefined) continue
      const others = [...nodes].filter((node) => node !== from.node)
      if (others.length === 0) this.#missed.delete(clientId)
      else this.#missed.set(clientId, new Set(others))
      void this.#fetchAgain(turn, from)
    }
  }

  #fetchLater(clientId: string, nodes: readonly string[]): void {
    this.#missed.set(clientId, new Set([...(this.#missed.get(clientId) ?? []), ...nodes]))
  }

  async #fetchAgain(turn: Turn, from: Member): Promise<void> {
    const { pulls, ownership, house } = this.#entered!
    const { clientId } = turn
    const epoch = this.#epochs.get(clientId)
    if (epoch !== undefined) {
      turn.hasClaimed(epoch)
      try {
        const coveredUpTo = (await ownership.ownerOf(clientId))?.coveredOf(from.storeId)
        const isClean = this.#begunAlone.has(clientId)
        const username = house.sessions.find(clientId)?.username
        const { outcome } = await pulls.begin(from, { clientId, epoch, isClean, username, coveredUpTo })
        if (outcome === 'missed') this.#fetchLater(clientId, [from.node])
      } catch {
        this.#fetchLater(clientId, [from.node])
      }
    }
    this.#done(this.#entered!, turn)
  }
}
