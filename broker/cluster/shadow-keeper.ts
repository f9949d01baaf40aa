// Answers for the shadows that lie on this node: makes, changes and drops them as their owners say, and finds those that
// nobody needs.
import { errorText } from '../errors.ts'
import type { PluginLog } from '../plugin.ts'
import { committed } from '../store/store.ts'
import type { ClusterHouse } from './cluster.ts'
import type { Meeting, Member } from './meeting.ts'
import type { Ownership } from './ownership.ts'
import { cutsHere } from './pulls.ts'
import type { RedisRouting } from './redis-routing.ts'
import { sentHere } from './replica-identity.ts'
import * as questions from './replica-questions.ts'
import type { Shadow } from './replication.ts'

/** A drop may get lost, and an owner may be gone with what it knew. */
const sweepMs = 10 * 60_000
const pageShadows = 200
const answerMs = 5_000

export interface KeeperParts {
  readonly meeting: Meeting
  readonly routing: RedisRouting
  readonly house: ClusterHouse
  readonly ownership: Ownership
  readonly log: PluginLog
}

export class ShadowKeeper {
  readonly #parts: KeeperParts
  /** By store id: since when the owner is away, and sessions that were connected there are not. */
  readonly #awaySince = new Map<number, number>()
  #timer: NodeJS.Timeout | undefined

  constructor(parts: KeeperParts) {
    this.#parts = parts
    const { meeting, house } = parts
    meeting.bus.answer(questions.keep, (_from, body) => this.#keep(body as questions.Keep))
    meeting.bus.answer(questions.passed, async (_from, body) => this.#passed(body as questions.Passed))
    meeting.bus.answer(questions.note, async (_from, body) => this.#note(body as questions.Note))
    meeting.bus.answer(questions.drop, (_from, body) => this.#drop(body as questions.Drop))
    meeting.bus.answer(questions.mark, async () => ({ sequence: house.store.lastSequence }))
    meeting.bus.answer(questions.find, async (_from, clientId) => ({ ids: this.find(String(clientId)) }))
    meeting.onMember('left', ({ storeId }) => this.#awaySince.set(storeId, Date.now()))
    meeting.onMember('joined', ({ storeId }) => this.#awaySince.delete(storeId))
  }

  start(): void {
    this.#timer = setInterval(() => void this.#sweep(), sweepMs).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** Complete ones of this session whose time is not over. */
  find(clientId: string): string[] {
    const now = Date.now()
    const shadows = this.#parts.house.shadows.of(clientId)
    return shadows.filter((shadow) => shadow.isComplete && this.#expiresAt(shadow) > now).map(({ id }) => id)
  }

  async #keep({ items }: questions.Keep): Promise<questions.Kept> {
    const { house, routing, meeting } = this.#parts
    const { shadows } = house
    for (const { id, state, isNew, cuts } of items) {
      if (!isNew && shadows.get(id) === undefined) continue
      shadows.keep(id, state)
      shadows.noteSent(id, sentHere(state.sent ?? [], meeting.self.storeId))
      if (cuts !== undefined) shadows.split(id, cutsHere(cuts, meeting.self.storeId))
    }
    const isSettled = (await routing.settled()) ?? meeting.isUp
    if (isSettled) for (const { id, isWhole } of items) if (isWhole) shadows.complete(id)
    await committed(this.#parts.house.store)
    const outcomes = items.map(({ id }) => {
      const shadow = shadows.get(id)
      return shadow === undefined ? 'gone' : shadow.isComplete ? 'complete' : 'collecting'
    })
    return { isSettled, outcomes }
  }

  #passed({ sessions }: questions.Passed): null {
    const { house, routing } = this.#parts
    const { shadows } = house
    const isHere = ({ storeId, sequence }: { readonly storeId: number; readonly sequence: number }): boolean =>
      storeId === 0 || routing.takenOf(storeId) >= sequence
    for (const [id, position, disconnectedAt, expiryS] of sessions) {
      shadows.passed(id, position, isHere)
      shadows.left(id, disconnectedAt ?? undefined, expiryS)
    }
    return null
  }

  #note({ sessions }: questions.Note): null {
    const { house, meeting } = this.#parts
    for (const [id, sent] of sessions) house.shadows.noteSent(id, sentHere(sent, meeting.self.storeId))
    return null
  }

  async #drop({ ids, before }: questions.Drop): Promise<null> {
    const { shadows } = this.#parts.house
    for (const id of ids) shadows.drop(id)
    for (const [clientId, epoch] of before) {
      for (const { id, name } of [...shadows.of(clientId)]) if (name.epoch < epoch) shadows.drop(id)
    }
    await committed(this.#parts.house.store)
    return null
  }

  /** While its owner is there the owner says when a session ends. */
  #expiresAt({ name, disconnectedAt, expiryS }: Shadow): number {
    const since = this.#awaySince.get(name.storeId)
    const isThere = this.#parts.meeting.live().some(({ storeId }) => storeId === name.storeId)
    if (isThere) return Number.POSITIVE_INFINITY
    if (since === undefined) this.#awaySince.set(name.storeId, Date.now())
    return (disconnectedAt ?? since ?? Date.now()) + expiryS * 1000
  }

  async #sweep(): Promise<void> {
    const { house, meeting, log } = this.#parts
    const now = Date.now()
    let page: Shadow[] = []
    try {
      for (const shadow of [...house.shadows.all()]) {
        if (this.#expiresAt(shadow) <= now) house.shadows.drop(shadow.id)
        else page.push(shadow)
        if (page.length < pageShadows) continue
        await this.#sweepPage(page)
        page = []
        if (!meeting.isUp) return
      }
      if (meeting.isUp) await this.#sweepPage(page)
    } catch (error) {
      log.debug({ error: errorText(error) }, 'shadows could not be looked through')
    }
  }

  /** The node that owns the session says whether it needs them. */
  async #sweepPage(page: readonly Shadow[]): Promise<void> {
    const { meeting, house, ownership } = this.#parts
    const live = new Map(meeting.live().map((member) => [member.storeId, member]))
    const byOwner = new Map<Member, string[]>()
    for (const { id, name } of page) {
      let owner = live.get(name.storeId)
      if (owner === undefined) owner = live.get((await ownership.ownerOf(name.clientId))?.storeId ?? -1)
      if (owner !== undefined) byOwner.set(owner, [...(byOwner.get(owner) ?? []), id])
    }
    for (const [owner, ids] of byOwner) {
      const answer = (await meeting.bus.ask(owner, questions.useless, { ids }, answerMs)) as questions.Useless
      for (const id of answer.ids) if (ids.includes(id)) house.shadows.drop(id)
    }
  }
}
