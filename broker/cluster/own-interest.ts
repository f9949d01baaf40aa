// Tells the other nodes which filters this one holds: changes over the bus, the whole in Redis, and waits until they know.

import { errorText } from '../errors.ts'
import type { PluginLog } from '../plugin.ts'
import type { ClusterHouse } from './cluster.ts'
import { type Change, encodeInterestFrame } from './interest-frames.ts'
import { interestText, noInterest } from './interest-value.ts'
import type { Meeting, Member } from './meeting.ts'

/** Filters that are looked at before others have their turn: about 2 ms. */
const turnFilters = 1_000
/** A node that does not answer holds up no SUBACK for longer. */
const settleMs = 2_000
const heartbeatMs = 1_000

/** The field of the hash that is no filter: run, how often it was written anew, and the number that it is at. */
export const metaField = '\0'

interface Waiting {
  /** Undefined: what it waits for was not sent yet. */
  number: number | undefined
  readonly promise: Promise<boolean>
  readonly resolve: (areKnown: boolean) => void
}

export class OwnInterest {
  readonly #meeting: Meeting
  readonly #log: PluginLog
  #house: ClusterHouse | undefined
  /** What the others were told. */
  readonly #told = new Map<string, string>()
  #number = 0
  readonly #changed = new Set<string>()
  #scheduled = false
  /** How far each node is. */
  readonly #taken = new Map<string, { readonly run: string; readonly number: number }>()
  #waiting: Waiting[] = []
  /** True: the hash in Redis is not what it should be. */
  #isDirty = true
  /** While the hash is written anew: what changed meanwhile. */
  #meanwhile: Map<string, string> | undefined
  #generation = 0
  #timer: NodeJS.Timeout | undefined

  constructor(meeting: Meeting, log: PluginLog) {
    this.#meeting = meeting
    this.#log = log
  }

  /** From here on it may ask the house. Resolves when the others can read all of it, or Redis is away. */
  async start(house: ClusterHouse): Promise<void> {
    this.#house = house
    let turn = 0
    for (const local of house.interest()) {
      this.#told.set(local.filter, interestText(local))
      turn += 1
      if (turn % turnFilters === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    this.#number = 1
    this.#meeting.on('up', () => void this.#check())
    this.#meeting.on('down', () => this.#release())
    for (const event of ['joined', 'left', 'forgotten'] as const) {
      this.#meeting.onMember(event, () => this.#release())
    }
    this.#timer = setInterval(() => this.#beat(), heartbeatMs)
    await this.#check()
    if (this.#changed.size > 0) this.#schedule()
  }

  stop(): void {
    clearInterval(this.#timer)
    for (const { resolve } of this.#waiting.splice(0)) resolve(false)
  }

  changed(filter: string): void {
    this.#changed.add(filter)
    this.#schedule()
  }

  /** Undefined: all live nodes know all. */
  settled(): Promise<boolean> | undefined {
    if (!this.#meeting.isUp || this.#house === undefined) return undefined
    if (this.#changed.size === 0 && this.#isTaken(this.#number)) return undefined
    const newest = this.#waiting[this.#waiting.length - 1]
    const number = this.#changed.size === 0 ? this.#number : undefined
    if (newest !== undefined && newest.number === number) return newest.promise
    return this.#wait(number)
  }

  taken(from: Member, number: number): void {
    this.#taken.set(from.node, { run: from.run, number })
    if (this.#waiting.length > 0) this.#release()
  }

  #wait(number: number | undefined): Promise<boolean> {
    let resolve: (areKnown: boolean) => void = () => {}
    const promise = new Promise<boolean>((settle) => {
      resolve = settle
    })
    const timer = setTimeout(() => resolve(false), settleMs)
    const waiting = { number, promise, resolve }
    this.#waiting.push(waiting)
    void promise.then(() => {
      clearTimeout(timer)
      this.#waiting = this.#waiting.filter((other) => other !== waiting)
    })
    return promise
  }

  #isTaken(number: number): boolean {
    return this.#meeting.live().every(({ node, run }) => {
      const taken = this.#taken.get(node)
      return taken !== undefined && taken.run === run && taken.number >= number
    })
  }

  #release(): void {
    for (const { number, resolve } of this.#waiting) {
      if (!this.#meeting.isUp) resolve(false)
      else if (number !== undefined && this.#isTaken(number)) resolve(true)
    }
  }

  #schedule(): void {
    if (this.#scheduled || this.#house === undefined) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#flush()
    })
  }

  #flush(): void {
    const changes: Change[] = []
    let turn = 0
    for (const filter of this.#changed) {
      this.#changed.delete(filter)
      const value = interestText(this.#house?.interestOf(filter))
      if ((this.#told.get(filter) ?? noInterest) !== value) {
        if (value === noInterest) this.#told.delete(filter)
        else this.#told.set(filter, value)
        changes.push([filter, value])
      }
      turn += 1
      if (turn === turnFilters) break
    }
    if (changes.length > 0) this.#send(changes)
    if (this.#changed.size > 0) this.#schedule()
    else {
      for (const waiting of this.#waiting) waiting.number ??= this.#number
      this.#release()
    }
  }

  #send(changes: readonly Change[]): void {
    this.#number += 1
    if (!this.#meeting.isUp) {
      this.#isDirty = true
      return
    }
    this.#meeting.bus.send('all', 'interest', encodeInterestFrame({ type: 'changes', number: this.#number, changes }))
    if (this.#meanwhile !== undefined) {
      for (const [filter, value] of changes) this.#meanwhile.set(filter, value)
    } else if (!this.#isDirty) void this.#write(this.#key, changes).catch(() => this.#markDirty())
  }

  #beat(): void {
    if (!this.#meeting.isUp) return
    this.#meeting.bus.send('all', 'interest', encodeInterestFrame({ type: 'number', number: this.#number }))
    if (this.#isDirty) void this.#check()
  }

  #markDirty(): void {
    this.#isDirty = true
  }

  get #key(): string {
    return this.#meeting.key('interest', this.#meeting.self.node)
  }

  get #meta(): string {
    return `${this.#meeting.self.run} ${this.#generation} ${this.#number}`
  }

  async #write(key: string, changes: readonly Change[]): Promise<void> {
    const set = new Map([[metaField, this.#meta]])
    const gone: string[] = []
    for (const [filter, value] of changes) {
      if (value === noInterest) gone.push(filter)
      else set.set(filter, value)
    }
    const pipeline = this.#meeting.redis.pipeline()
    if (gone.length > 0) pipeline.hdel(key, ...gone)
    pipeline.hset(key, set)
    for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error
  }

  /** After every return of Redis: is what it has still what this node wrote? */
  async #check(): Promise<void> {
    if (!this.#meeting.isUp || this.#meanwhile !== undefined) return
    this.#meanwhile = new Map()
    try {
      const meta = await this.#meeting.redis.hget(this.#key, metaField)
      // What changed since the question lies in #meanwhile.
      const isCurrent = !this.#isDirty && meta === this.#meta && this.#meanwhile.size === 0
      if (!isCurrent) await this.#writeAnew(this.#meanwhile)
    } catch (error) {
      this.#isDirty = true
      this.#log.debug({ error: errorText(error) }, 'the interest of this node could not be written')
    } finally {
      this.#meanwhile = undefined
    }
  }

  /** Beside the old one, which is replaced in one step: readers find one or the other. */
  async #writeAnew(meanwhile: Map<string, string>): Promise<void> {
    const { redis } = this.#meeting
    const fresh = `${this.#key}:${this.#meeting.self.run}`
    await redis.del(fresh)
    meanwhile.clear()
    let changes: Change[] = []
    for (const entry of this.#told) {
      changes.push(entry)
      if (changes.length < turnFilters) continue
      await this.#write(fresh, changes)
      changes = []
    }
    await this.#write(fresh, changes)
    this.#generation += 1
    // From here on nothing waits, so that no change comes between.
    const last = this.#write(fresh, [...meanwhile])
    const renamed = redis.rename(fresh, this.#key)
    meanwhile.clear()
    this.#isDirty = false
    this.#meanwhile = undefined
    await Promise.all([last, renamed])
  }
}
