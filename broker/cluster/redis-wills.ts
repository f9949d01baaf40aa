// Wills of connected clients lie in Redis, where survivors of their node find them: each is published once, by whoever
// takes it out, and a node that was cut off learns which of its wills others have published.
import { errorText } from '../errors.ts'
import type { PluginLog } from '../plugin.ts'
import type { WillRecord } from '../store/store.ts'
import type { ClusterHouse, ClusterWills } from './cluster.ts'
import type { Meeting } from './meeting.ts'
import { RedisScript } from './redis-script.ts'
import { willContext, willKeys, willToBytes } from './will-bytes.ts'
import { WillsOfTheDead } from './wills-of-the-dead.ts'

/** Wills that are written at once when Redis is back. */
const pageWills = 200

/** KEYS: wills of a node, what others published of them. ARGV: client id, will. Not one that others have published. */
const keepScript = new RedisScript(`
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then return 0 end
return redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
`)

/** For its own node. 1: it may be published. */
const takeScript = new RedisScript(`
redis.call('HDEL', KEYS[1], ARGV[1])
return 1 - redis.call('HDEL', KEYS[2], ARGV[1])
`)

interface Take {
  readonly clientId: string
  readonly resolve: (mayPublish: boolean) => void
}

/** All writes of one client's will are obeyed in the order in which they were sent: a will that was taken out stays out. */
export class RedisWills implements ClusterWills {
  readonly #log: PluginLog
  /** Those that lie in Redis, or shall. */
  readonly #armed = new Map<string, WillRecord>()
  /** Redis is away, and nobody knows what the others do. They are in the store, too. */
  #takes: Take[] = []
  #meeting: Meeting | undefined
  #dead: WillsOfTheDead | undefined

  constructor(log: PluginLog) {
    this.#log = log
  }

  /** Before the first connection to Redis. */
  enter(meeting: Meeting, house: ClusterHouse): void {
    this.#meeting = meeting
    this.#dead = new WillsOfTheDead(meeting, house, this.#log)
    meeting.on('up', () => void this.#catchUp())
    meeting.onMember('forgotten', ({ node }) => {
      void meeting.redis.del(...willKeys(meeting, node)).catch(() => {})
    })
  }

  start(): void {
    this.#dead?.start()
  }

  stop(): void {
    this.#dead?.stop()
  }

  put(clientId: string, will: WillRecord): void {
    const isNew = this.#armed.get(clientId)?.message !== will.message
    this.#armed.set(clientId, will)
    const meeting = this.#meeting
    if (meeting === undefined || !meeting.isUp) return
    if (isNew) {
      const [wills, published] = willKeys(meeting, meeting.self.node)
      const pipeline = meeting.redis.pipeline().hdel(published, clientId)
      this.#watch(pipeline.hset(wills, clientId, this.#sealed(meeting, clientId, will)).exec())
    } else this.#watch(this.#keep(meeting, clientId, will))
  }

  delete(clientId: string): void {
    if (!this.#armed.delete(clientId)) return
    const meeting = this.#meeting
    // What is left there is taken out by the next look, or replaced by the next will.
    if (meeting?.isUp === true) this.#watch(meeting.redis.hdel(willKeys(meeting, meeting.self.node)[0], clientId))
  }

  take(clientId: string): Promise<boolean> {
    this.#armed.delete(clientId)
    const meeting = this.#meeting
    if (meeting?.isUp !== true) return this.#takeLater(clientId)
    return this.#takeNow(meeting, clientId).catch(() => this.#takeLater(clientId))
  }

  /** The session goes on at this node, and its former node is away: a will that waits is not published any more. */
  cancel(node: string, clientId: string): void {
    this.#dead?.cancel(node, clientId)
  }

  #takeLater(clientId: string): Promise<boolean> {
    return new Promise((resolve) => this.#takes.push({ clientId, resolve }))
  }

  async #takeNow(meeting: Meeting, clientId: string): Promise<boolean> {
    const keys = willKeys(meeting, meeting.self.node)
    return (await takeScript.runInOrder(meeting.redis, keys, [clientId])) === 1
  }

  /** First what is to be published, so that a new will of the same client stays. */
  async #catchUp(): Promise<void> {
    const meeting = this.#meeting
    if (meeting === undefined) return
    for (const { clientId, resolve } of this.#takes.splice(0)) {
      this.#takeNow(meeting, clientId).then(resolve, () => this.#takes.push({ clientId, resolve }))
    }
    try {
      await this.#dropOthers(meeting)
      let page: Promise<unknown>[] = []
      for (const [clientId, will] of this.#armed) {
        page.push(this.#keep(meeting, clientId, will))
        if (page.length < pageWills) continue
        await Promise.all(page)
        page = []
      }
      await Promise.all(page)
    } catch (error) {
      // When Redis is back it is done again.
      this.#log.debug({ error: errorText(error) }, 'the wills of this node could not be written')
    }
  }

  /** Of clients that said goodbye while Redis was away. */
  async #dropOthers(meeting: Meeting): Promise<void> {
    const [wills] = willKeys(meeting, meeting.self.node)
    for (const clientId of await meeting.redis.hkeys(wills)) {
      if (!this.#armed.has(clientId)) await meeting.redis.hdel(wills, clientId)
    }
  }

  #keep(meeting: Meeting, clientId: string, will: WillRecord): Promise<unknown> {
    const keys = willKeys(meeting, meeting.self.node)
    return keepScript.runInOrder(meeting.redis, keys, [clientId, this.#sealed(meeting, clientId, will)])
  }

  #sealed(meeting: Meeting, clientId: string, will: WillRecord): Buffer {
    return meeting.streamSeal.seal(willContext(meeting.self.node, clientId), willToBytes(will))
  }

  #watch(written: Promise<unknown>): void {
    written.catch((error: unknown) => this.#log.debug({ error: errorText(error) }, 'a will could not be written'))
  }
}
