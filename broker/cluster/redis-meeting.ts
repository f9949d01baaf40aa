// The meeting of the nodes at one Redis: puts the link, the members and the bus together.
import { randomBytes } from 'node:crypto'
import { EventEmitter } from 'node:events'
import type { Redis, RedisOptions } from 'ioredis'
import type { ClusterConfig } from '../config/schema.ts'
import { errorText, OrioleError } from '../errors.ts'
import type { PluginLog } from '../plugin.ts'
import { FrameBus } from './bus.ts'
import { Guard } from './guard.ts'
import { createLease } from './lease.ts'
import { Link } from './link.ts'
import { type Bus, busVersion, type Meeting, type MeetingEvent, type Member, type MemberEvent } from './meeting.ts'
import { Members } from './members.ts'
import { Questions } from './questions.ts'
import { redisOptions } from './redis-options.ts'
import { Refusals } from './refusals.ts'
import { createSeal, type Seal } from './seal.ts'

/** The lease is renewed and a heartbeat sent so often. */
const beatEveryMs = 1_000
/** So long a start waits for Redis; then the node serves alone and joins later. */
const startWaitMs = 2_000
/** A frame of a run that we do not know makes us read the leases, but not more often. */
const strangerEveryMs = 100

export interface MeetingOptions {
  readonly node: string
  /** 48 bits, made with the data folder. */
  readonly storeId: number
  readonly config: Pick<ClusterConfig, 'name' | 'key' | 'redis' | 'serverReference'>
  readonly log: PluginLog
  readonly counts: { clusterFramesRefused: number; clusterFramesDropped: number }
  /** Nodes that a former run of this one knew: Redis may have lost them. */
  readonly remembered?: readonly Member[]
  /** Called before the first connection: what registers here misses nothing. */
  readonly prepare?: (meeting: RunningMeeting) => void
}

export interface RunningMeeting extends Meeting {
  /** Gives the lease back, so that the others need not wait for its end. */
  close(): Promise<void>
}

/**
 * Resolves when this node is among the others, or, while Redis is away, after 2 s.
 * Rejects with OrioleError when the name is taken or a live node speaks another version; then nothing is left open.
 */
export async function createMeeting(options: MeetingOptions): Promise<RunningMeeting> {
  const { config, log } = options
  const prefix = `{oriole:${config.name}}`
  const meeting = new RedisMeeting(options, prefix, await redisOptions(config.redis, prefix))
  options.prepare?.(meeting)
  await meeting.open()
  if (meeting.isUp) return meeting
  if (meeting.problem instanceof OrioleError) {
    await meeting.close()
    throw meeting.problem
  }
  log.warn({}, 'redis is away: this node serves alone until it comes back')
  return meeting
}

class RedisMeeting implements RunningMeeting {
  readonly self: Member
  readonly bus: Bus
  readonly streamSeal: Seal
  readonly #prefix: string
  readonly #log: PluginLog
  readonly #link: Link
  readonly #guard: Guard
  readonly #members: Members
  readonly #frames: FrameBus
  readonly #questions: Questions
  readonly #refusals: Refusals
  readonly #events = new EventEmitter().setMaxListeners(0)
  /** Told after `up`. */
  readonly #met: [MemberEvent, Member][] = []
  #problem: unknown
  #makeHeartbeat = (): Buffer => Buffer.alloc(0)
  #beats: NodeJS.Timeout | undefined
  #strangerTimer: NodeJS.Timeout | undefined
  #strangerAt = 0

  constructor(options: MeetingOptions, prefix: string, redis: RedisOptions) {
    const { node, storeId, config, log, counts, remembered = [] } = options
    const run = randomBytes(8).toString('hex')
    this.self = { node, storeId, run, busVersion, serverReference: config.serverReference }
    this.#prefix = prefix
    this.#log = log
    this.streamSeal = createSeal(config, 'stream')
    this.#refusals = new Refusals(counts, log)
    const refused = (why: string): void => this.refused(why)
    const lease = createLease(this.self, createSeal(config, 'lease'), (...parts) => this.key(...parts))
    const onMember = (event: MemberEvent, member: Member): void => this.#onMember(event, member)
    this.#members = new Members(this.self, lease, log, onMember, remembered)
    this.#guard = new Guard(
      {
        seal: createSeal(config, 'bus'),
        run,
        isMember: (sender) => this.#members.byRun(sender) !== undefined,
        onStranger: () => this.#onStranger(),
        onRefused: refused,
      },
      (channel, frame) => this.#link.own.publish(channel, frame),
    )
    const channels = [this.#channel('all'), this.#channel(this.self)]
    this.#link = new Link({
      redis,
      channels,
      log,
      onMessage: (channel, message) => this.#guard.receive(channel, message),
      enter: (own) => this.#enter(own),
    })
    this.#link.on('up', () => this.#onUp())
    this.#link.on('down', () => this.#onDown())
    this.#frames = new FrameBus({
      run,
      guard: this.#guard,
      log,
      channels,
      channelOf: (to) => this.#channel(to),
      isUp: () => this.#link.isUp,
      byRun: (sender) => this.#members.byRun(sender),
      onRefused: refused,
      onDropped: () => {
        counts.clusterFramesDropped += 1
      },
    })
    this.#questions = new Questions({
      send: (to, kind, body) => this.#frames.send(to, kind, body),
      whyNot: (to) => this.#whyNot(to),
    })
    this.bus = this.#openBus()
  }

  get isUp(): boolean {
    return this.#link.isUp
  }

  get mayBeDead(): boolean {
    return this.#members.mayBeDead
  }

  get timesUnknown(): number {
    return this.#members.timesUnknown
  }

  get problem(): unknown {
    return this.#problem
  }

  get redis(): Redis {
    return this.#link.commands
  }

  openReader(): Redis {
    return this.#link.openReader()
  }

  key(...parts: string[]): string {
    return [this.#prefix, ...parts].join(':')
  }

  live(): readonly Member[] {
    return this.#members.live
  }

  known(): readonly Member[] {
    return this.#members.known
  }

  member(node: string): Member | undefined {
    return this.#members.find(node)
  }

  on(event: MeetingEvent, listener: () => void): void {
    this.#events.on(event, listener)
    if (event === 'up' && this.isUp) setImmediate(() => this.isUp && this.#call(event, listener))
  }

  onMember(event: MemberEvent, listener: (member: Member) => void): void {
    this.#events.on(`member ${event}`, listener)
  }

  heartbeatBody(make: () => Buffer): void {
    this.#makeHeartbeat = make
  }

  refused(why: string): void {
    this.#refusals.add(why)
  }

  async lookAround(): Promise<void> {
    await this.#renew()
  }

  forget(node: string): Promise<void> {
    return this.#members.forget(this.redis, node)
  }

  /** Until it is up, or it is known why not, or the time is over. */
  async open(): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, startWaitMs)
      const done = (): void => {
        clearTimeout(timer)
        resolve()
      }
      this.#link.once('up', done)
      this.#events.once('refused', done)
      this.#link.open()
    })
  }

  async close(): Promise<void> {
    clearInterval(this.#beats)
    clearTimeout(this.#strangerTimer)
    if (this.isUp) {
      await this.#members.leave(this.#link.own).catch((error: unknown) => {
        this.#log.debug({ error: errorText(error) }, 'the lease was not given back')
      })
    }
    await this.#frames.close()
    await this.#link.close()
    this.#refusals.close()
  }

  #channel(to: Member | 'all'): string {
    return to === 'all' ? this.key('bus') : this.key('bus', to.node)
  }

  #openBus(): Bus {
    const [frames, questions] = [this.#frames, this.#questions]
    frames.on('question', (from, body) => questions.onQuestion(from, body))
    frames.on('answer', (from, body) => questions.onAnswer(from, body))
    return {
      send: (to, kind, body) => frames.send(to, kind, body),
      on: (kind, listener) => frames.on(kind, listener),
      ask: (to, question, body, timeoutMs) => questions.ask(to, question, body, timeoutMs),
      answer: (question, answer) => questions.answer(question, answer),
    }
  }

  async #enter(redis: Redis): Promise<void> {
    try {
      await this.#members.enter(redis)
      this.#problem = undefined
    } catch (error) {
      this.#problem = error
      if (error instanceof OrioleError) this.#events.emit('refused')
      throw error
    } finally {
      this.#guard.release()
    }
  }

  #onUp(): void {
    this.#beats = setInterval(() => this.#beat(), beatEveryMs)
    this.#tell('up')
    for (const [event, member] of this.#met.splice(0)) this.#tell(`member ${event}`, member)
    this.#frames.send('all', 'heartbeat', this.#makeHeartbeat())
  }

  #onDown(): void {
    clearInterval(this.#beats)
    this.#questions.giveUp('Redis is away', () => true)
    this.#tell('down')
  }

  #beat(): void {
    this.#frames.send('all', 'heartbeat', this.#makeHeartbeat())
    void this.#renew()
  }

  async #renew(): Promise<void> {
    if (!this.isUp) return
    try {
      // Others may have acted as if this node were dead: it comes in again, as after a time without Redis.
      if (!(await this.#members.renew(this.#link.own))) this.#link.fall('the lease of this node had ended')
    } catch (error) {
      if (error instanceof OrioleError) this.#problem = error
      // Somebody else has our name, or nobody can write: nothing more may be done here as if the others knew.
      if (error instanceof OrioleError || this.mayBeDead) this.#link.fall(error)
      else this.#link.suspect()
    }
    this.#guard.release()
  }

  #onStranger(): void {
    if (this.#strangerTimer !== undefined) return
    const waitMs = Math.max(0, this.#strangerAt + strangerEveryMs - performance.now())
    this.#strangerTimer = setTimeout(() => {
      this.#strangerTimer = undefined
      this.#strangerAt = performance.now()
      void this.#renew()
    }, waitMs)
  }

  #onMember(event: MemberEvent, member: Member): void {
    const isKnown = new Set(this.#members.known.map(({ run }) => run))
    // The counters stay while a node may come back with the same run, so that its old frames are not taken again.
    this.#guard.forget(isKnown)
    this.#frames.forget(isKnown)
    this.#questions.giveUp('it is gone', (asked) => this.#members.byRun(asked.run) === undefined)
    this.#log.info({ node: member.node, run: member.run }, `node ${event}`)
    // Who joined is told when it can be asked.
    if (this.isUp) this.#tell(`member ${event}`, member)
    else this.#met.push([event, member])
  }

  #whyNot(to: Member): string | undefined {
    if (!this.isUp) return 'Redis is away'
    return this.#members.byRun(to.run) === undefined ? 'it is gone' : undefined
  }

  #tell(event: string, ...values: unknown[]): void {
    for (const listener of this.#events.listeners(event)) this.#call(event, () => listener(...values))
  }

  /** What one listener throws keeps nothing from the others. */
  #call(event: string, listener: () => void): void {
    try {
      listener()
    } catch (error) {
      this.#log.error({ event, error: errorText(error) }, 'a part of the cluster failed')
    }
  }
}
