// What was handed over for sessions that went on to another node meanwhile: it follows them.
import { errorText } from '../errors.ts'
import type { PluginLog } from '../plugin.ts'
import type { ClusterHouse } from './cluster.ts'
import type { Meeting } from './meeting.ts'
import type { Ownership } from './ownership.ts'
import type { RedisRouting } from './redis-routing.ts'

const retryMs = 2_000
/** So long a session may be without an owner because Redis lost it; longer, and it has ended. */
const unownedMs = 60_000

export interface StrayParts {
  readonly meeting: Meeting
  readonly routing: RedisRouting
  readonly house: ClusterHouse
  readonly ownership: Ownership
  readonly log: PluginLog
}

export class Strays {
  readonly #parts: StrayParts
  /** At most as many as there are streams in the store. */
  readonly #waiting = new Set<string>()
  /** Since when nobody owns it. */
  readonly #unowned = new Map<string, number>()
  #running = false
  #timer: NodeJS.Timeout | undefined

  constructor(parts: StrayParts) {
    this.#parts = parts
  }

  start(): void {
    for (const clientId of this.#parts.house.sessions.strays()) this.#waiting.add(clientId)
    this.#parts.meeting.on('up', () => void this.#run())
    void this.#run()
  }

  /** Its session is here, also while Redis is away: later it would have passed them. */
  opened(clientId: string): void {
    this.#unowned.delete(clientId)
    if (!this.#waiting.delete(clientId)) return
    this.#parts.house.sessions.sendOn(clientId, undefined).catch(() => this.#waiting.add(clientId))
  }

  /** It begins anew: what came for the one before is of no use. */
  ended(clientId: string): void {
    this.#unowned.delete(clientId)
    if (this.#waiting.delete(clientId)) this.#parts.house.sessions.drop(clientId)
  }

  add(clientId: string): void {
    this.#waiting.add(clientId)
    void this.#run()
  }

  async #run(): Promise<void> {
    if (this.#running || this.#waiting.size === 0 || !this.#parts.meeting.isUp) return
    this.#running = true
    clearTimeout(this.#timer)
    let isFailed = false
    for (const clientId of [...this.#waiting]) {
      this.#waiting.delete(clientId)
      try {
        await this.#follow(clientId)
      } catch (error) {
        this.#parts.log.debug({ clientId, error: errorText(error) }, 'what came for a session that moved on waits')
        this.#waiting.add(clientId)
        isFailed = true
      }
    }
    this.#running = false
    if (this.#waiting.size > 0) this.#timer = setTimeout(() => void this.#run(), isFailed ? retryMs : 0).unref()
  }

  /** Nobody owns it, and whoever did, should Redis have lost it, would have written it again by now. */
  #isOver(clientId: string): boolean {
    const { meeting } = this.#parts
    const since = this.#unowned.get(clientId) ?? performance.now()
    this.#unowned.set(clientId, since)
    return performance.now() - since > unownedMs && meeting.live().length === meeting.known().length
  }

  async #follow(clientId: string): Promise<void> {
    const { meeting, routing, house, ownership } = this.#parts
    const owner = await ownership.ownerOf(clientId)
    const isHere = owner?.node === meeting.self.node
    if (owner !== undefined) this.#unowned.delete(clientId)
    if (house.sessions.find(clientId) !== undefined) {
      await house.sessions.sendOn(clientId, undefined)
    } else if (owner === undefined && !this.#isOver(clientId)) {
      throw new Error('nobody says that it is its session: its node may still have to write it again')
    } else if (owner === undefined || isHere) {
      this.#unowned.delete(clientId)
      // The session ended.
      house.sessions.drop(clientId)
    } else {
      const last = await house.sessions.sendOn(clientId, owner.node)
      if (last > 0) routing.whenForwarded(last, [owner.node], () => {})
    }
  }
}
