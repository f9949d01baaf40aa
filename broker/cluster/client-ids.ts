// One client id that was used at two nodes while they could not ask each other: by two users, or to begin anew.
import { errorText } from '../errors.ts'
import type { PluginLog } from '../plugin.ts'
import type { ClusterHouse } from './cluster.ts'
import { liveOwner, type Meeting } from './meeting.ts'
import { type Give, give, type Since, since } from './move-questions.ts'
import type { Owner, Ownership } from './ownership.ts'

/** One question to a node that is there. */
const askMs = 1_000
/** Until it has ended its session. */
const endMs = 60_000

export interface ClientIdParts {
  readonly meeting: Meeting
  readonly house: ClusterHouse
  readonly ownership: Ownership
  readonly log: PluginLog
  /** It is being claimed here: that decides. */
  isBusy(clientId: string): boolean
  /** It is this node's from this epoch on. */
  claimed(clientId: string, epoch: number): void
  /** That node may have some of it. */
  fetchLater(clientId: string, node: string): void
  lookLater(clientId: string): void
}

export class ClientIds {
  readonly #parts: ClientIdParts

  constructor(parts: ClientIdParts) {
    this.#parts = parts
    const { meeting, house } = parts
    meeting.bus.answer(since, async (_from, clientId) => {
      const session = house.sessions.find(String(clientId))
      return session?.isPersistent ? { username: session.username, createdAt: session.createdAt } : null
    })
  }

  /** Two users came with it: whose session is the earlier one keeps it, and the other's ends. */
  async dispute(clientId: string, former: Owner): Promise<void> {
    const { meeting, house, ownership, log, isBusy, claimed, fetchLater, lookLater } = this.#parts
    try {
      const member = liveOwner(meeting, former)
      const theirs = member && ((await meeting.bus.ask(member, since, clientId, askMs)) as Since)
      const session = house.sessions.find(clientId)
      if (session === undefined || isBusy(clientId)) return
      const { username, expiryS } = session
      const isSame = theirs?.username === username
      const createdAt = session.isPersistent ? session.createdAt : Number.POSITIVE_INFINITY
      // Of a node that is away nobody can tell: what outlives its connection is taken to be there still.
      const isAway = former.isPersistent && meeting.member(former.node)?.storeId === former.storeId
      const isTheirs = member === undefined ? isAway : theirs != null && theirs.createdAt <= createdAt
      if (isTheirs && !isSame) {
        log.warn({ clientId, node: former.node }, "a session of another user's client id ends")
        house.disconnect(clientId, 'taken-over', 'the client id belongs to another user')
        house.sessions.end(clientId)
        return
      }
      const { outcome, epoch } = await ownership.take({ clientId, username, expiryS }, false, String(former.epoch))
      if (outcome === 'user') return lookLater(clientId)
      claimed(clientId, epoch)
      if (isSame) fetchLater(clientId, former.node)
      else this.evict(clientId, former.node, epoch)
    } catch (error) {
      log.debug({ clientId, error: errorText(error) }, 'whose a client id is could not be asked')
      lookLater(clientId)
    }
  }

  /** What that node has under this client id ends: it began anew here. */
  evict(clientId: string, node: string, epoch: number): void {
    const { meeting, log } = this.#parts
    const member = meeting.live().find((live) => live.node === node)
    if (member === undefined) return
    const asked = meeting.bus.ask(member, give, { clientId, epoch, isClean: true } satisfies Give, endMs)
    asked.catch((error: unknown) => {
      log.info({ clientId, node, error: errorText(error) }, 'a session that is of no use may be left')
    })
  }
}
