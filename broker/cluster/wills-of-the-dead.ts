// Publishes the wills of nodes whose lease has ended, each after its delay; the survivors take turns, should one die, too.
import { errorText } from '../errors.ts'
import type { PluginLog } from '../plugin.ts'
import type { WillRecord } from '../store/store.ts'
import type { ClusterHouse } from './cluster.ts'
import type { Meeting } from './meeting.ts'
import { RedisScript } from './redis-script.ts'
import { willContext, willFromBytes, willKeys } from './will-bytes.ts'

/** A node that stopped for an update is back by then, and its clients too. */
const graceMs = 3_000
/** The first of the survivors is given so long before the second has a look, and so on. */
const turnMs = 10_000
const lookMs = 500
const pageWills = 500
/** Wills that are taken at once. */
const takeWills = 100
/** The node must be back by then to hear that its wills are published. */
const rememberedS = 7 * 24 * 60 * 60

/** KEYS: wills of the dead node, what others published of them. ARGV: client id, seconds. 1: it is ours. */
const takeScript = new RedisScript(`
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], '1')
redis.call('EXPIRE', KEYS[2], ARGV[2])
return 1
`)

interface Dead {
  /** By performance.now(), and in milliseconds since 1970. */
  readonly leftAt: number
  readonly diedAt: number
  /** Undefined: not read yet. At most as many as its clients were. */
  wills: Map<string, WillRecord> | undefined
}

export class WillsOfTheDead {
  readonly #meeting: Meeting
  readonly #house: ClusterHouse
  readonly #log: PluginLog
  readonly #dead = new Map<string, Dead>()
  #looking = false
  #timer: NodeJS.Timeout | undefined

  constructor(meeting: Meeting, house: ClusterHouse, log: PluginLog) {
    this.#meeting = meeting
    this.#house = house
    this.#log = log
    meeting.onMember('left', ({ node }) => this.#died(node))
    meeting.onMember('joined', ({ node }) => this.#dead.delete(node))
    meeting.onMember('forgotten', ({ node }) => this.#dead.delete(node))
  }

  start(): void {
    const live = new Set(this.#meeting.live().map(({ node }) => node))
    for (const { node } of this.#meeting.known()) if (!live.has(node)) this.#died(node)
    this.#timer = setInterval(() => void this.#look(), lookMs).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** One without a delay was due when its node died: it is published all the same. */
  cancel(node: string, clientId: string): void {
    const [wills] = willKeys(this.#meeting, node)
    const cancel = async (): Promise<void> => {
      const will = this.#open(node, clientId, await this.#meeting.redis.hgetBuffer(wills, clientId))
      if (will !== undefined && will.delayS > 0) await this.#take(node, clientId)
    }
    cancel().catch((error: unknown) => {
      this.#log.debug({ clientId, node, error: errorText(error) }, 'a will could not be cancelled')
    })
  }

  #died(node: string): void {
    if (this.#dead.has(node)) return
    this.#dead.set(node, { leftAt: performance.now(), diedAt: Date.now(), wills: undefined })
  }

  async #look(): Promise<void> {
    if (this.#looking || !this.#meeting.isUp) return
    this.#looking = true
    const { self } = this.#meeting
    const survivors = [self.node, ...this.#meeting.live().map(({ node }) => node)].sort()
    const turnAt = graceMs + survivors.indexOf(self.node) * turnMs
    try {
      for (const [node, dead] of this.#dead) {
        if (performance.now() - dead.leftAt < turnAt) continue
        dead.wills ??= await this.#read(node)
        await this.#publishDue(node, dead, dead.wills)
        if (dead.wills.size === 0) this.#dead.delete(node)
      }
    } catch (error) {
      this.#log.debug({ error: errorText(error) }, 'the wills of a dead node could not be read')
    } finally {
      this.#looking = false
    }
  }

  async #read(node: string): Promise<Map<string, WillRecord>> {
    const { redis } = this.#meeting
    const [wills] = willKeys(this.#meeting, node)
    const found = new Map<string, WillRecord>()
    let cursor = '0'
    do {
      const [next, fields] = await redis.hscanBuffer(wills, cursor, 'COUNT', pageWills)
      for (let index = 0; index + 1 < fields.length; index += 2) {
        const clientId = fields[index]!.toString()
        const will = this.#open(node, clientId, fields[index + 1]!)
        if (will !== undefined) found.set(clientId, will)
      }
      cursor = next.toString()
    } while (cursor !== '0')
    return found
  }

  async #publishDue(node: string, dead: Dead, wills: Map<string, WillRecord>): Promise<void> {
    const now = Date.now()
    const due = [...wills].filter(([, { firesAt, delayS }]) => (firesAt ?? dead.diedAt + delayS * 1000) <= now)
    for (let from = 0; from < due.length; from += takeWills) {
      // It came back: what is left is its own again.
      if (this.#dead.get(node) !== dead) return
      await Promise.all(
        due.slice(from, from + takeWills).map(async ([clientId, will]) => {
          const isOurs = await this.#take(node, clientId)
          wills.delete(clientId)
          if (isOurs) this.#house.publishWill(clientId, will)
        }),
      )
    }
    if (due.length > 0) this.#log.info({ node, wills: due.length }, 'wills of a node that is gone were published')
  }

  async #take(node: string, clientId: string): Promise<boolean> {
    const keys = willKeys(this.#meeting, node)
    return (await takeScript.run(this.#meeting.redis, keys, [clientId, String(rememberedS)])) === 1
  }

  /** Undefined: there is none, or it is not ours. */
  #open(node: string, clientId: string, sealed: Buffer | null): WillRecord | undefined {
    const body = sealed === null ? undefined : this.#meeting.streamSeal.open(willContext(node, clientId), sealed)
    if (body === undefined) {
      if (sealed !== null) this.#meeting.refused('will')
      return undefined
    }
    return willFromBytes(body)
  }
}
