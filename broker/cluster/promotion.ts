// Finds the shadow of a session whose owner is lost, and makes it the session: here, or at its node, which then gives it.
import { errorText } from '../errors.ts'
import type { PluginLog } from '../plugin.ts'
import type { ClusterHouse } from './cluster.ts'
import type { Meeting, Member } from './meeting.ts'
import type { Owner, Ownership } from './ownership.ts'
import type { Pulls } from './pulls.ts'
import type { RedisRouting } from './redis-routing.ts'
import { type Drop, drop, type Found, find } from './replica-questions.ts'
import { parseShadowId, type ShadowName } from './replication.ts'
import type { ShadowKeeper } from './shadow-keeper.ts'

const findMs = 1_000
/** What the lost node sent before it was lost must be taken first. */
const drainMs = 5_000

export interface PromotionParts {
  readonly meeting: Meeting
  readonly routing: RedisRouting
  readonly house: ClusterHouse
  readonly ownership: Ownership
  readonly pulls: Pulls
  readonly keeper: ShadowKeeper
  readonly log: PluginLog
}

interface Candidate {
  readonly id: string
  readonly name: ShadowName
  /** Undefined: this node. */
  readonly holder: Member | undefined
}

export class Promotion {
  readonly #parts: PromotionParts

  constructor(parts: PromotionParts) {
    this.#parts = parts
  }

  /**
   * For a claim with this epoch, whose former owner does not answer. True: the session is here now, or on its way. A node
   * that is back later owes only what was published there and had not left it.
   */
  async take(clientId: string, epoch: number, former: Owner): Promise<boolean> {
    const { ownership, log } = this.#parts
    if (!former.isPersistent) return false
    // The latest: an older one is left where the next was not complete yet.
    for (const candidate of await this.#candidates(clientId, former)) {
      const { storeId } = candidate.name
      const upTo = await this.#takeOne(clientId, epoch, candidate)
      if (upTo === undefined) continue
      log.info({ clientId, node: former.node, holder: candidate.holder?.node }, 'a shadow has become the session')
      if (storeId === former.storeId) {
        await ownership.cover(clientId, storeId, upTo).catch((error: unknown) => {
          log.debug({ clientId, error: errorText(error) }, 'it could not be told what a lost node still owes')
        })
      }
      return true
    }
    return false
  }

  /** The session had a clean start. */
  async forget(clientId: string, epoch: number): Promise<void> {
    const { meeting, house, log } = this.#parts
    for (const { id, name } of [...house.shadows.of(clientId)]) if (name.epoch < epoch) house.shadows.drop(id)
    const body = { ids: [], before: [[clientId, epoch]] } satisfies Drop
    const told = meeting.live().map((member) =>
      meeting.bus.ask(member, drop, body, findMs).catch((error: unknown) => {
        log.debug({ clientId, node: member.node, error: errorText(error) }, 'a shadow may be left')
      }),
    )
    await Promise.all(told)
  }

  async #candidates(clientId: string, former: Owner): Promise<Candidate[]> {
    const { meeting, keeper } = this.#parts
    const found = new Map<string, Member | undefined>()
    const ask = async (member: Member): Promise<void> => {
      const answer = (await meeting.bus.ask(member, find, clientId, findMs)) as Found
      for (const id of answer.ids) found.set(id, member)
    }
    const others = meeting.live().filter(({ node }) => node !== former.node)
    await Promise.allSettled(others.map(ask))
    for (const id of keeper.find(clientId)) found.set(id, undefined)
    const candidates: Candidate[] = []
    for (const [id, holder] of found) {
      const name = parseShadowId(id)
      if (name !== undefined && name.clientId === clientId && former.isOwed(name.storeId)) {
        candidates.push({ id, name, holder })
      }
    }
    return candidates.sort((a, b) => b.name.epoch - a.name.epoch)
  }

  /** What its owner had published until this number it has; undefined: it could not be taken. */
  async #takeOne(clientId: string, epoch: number, { id, name, holder }: Candidate): Promise<number | undefined> {
    const { pulls, house } = this.#parts
    if (holder === undefined) {
      const upTo = await drainedUpTo(this.#parts, name.storeId)
      return (await house.shadows.promote(id)) ? upTo : undefined
    }
    const wish = { clientId, epoch, isClean: false, shadow: id }
    const got = await pulls.begin(holder, wish)
    return got.outcome === 'here' ? got.coveredUpTo : undefined
  }
}

/** Takes what the stream still has, and says how far this node is with that store. */
export async function drainedUpTo(
  { routing, log }: { readonly routing: RedisRouting; readonly log: PluginLog },
  storeId: number,
): Promise<number> {
  if (!(await routing.drained(drainMs))) log.warn({}, 'a shadow becomes a session before all was taken from the stream')
  return routing.takenOf(storeId)
}
