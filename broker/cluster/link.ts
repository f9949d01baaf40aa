// The way to Redis: three connections that come back for ever, and one answer to the question whether Redis is there.
import { EventEmitter } from 'node:events'
import { Redis, type RedisOptions } from 'ioredis'
import { errorText } from '../errors.ts'
import type { PluginLog } from '../plugin.ts'

/** Together under 2 s: the time in which a Redis that hangs counts as down. */
const checkEveryMs = 400
const answerWithinMs = 1_400
const tryAgainMs = 100

/** Before Redis was checked, only the hand-shake of a connection gets through. */
const handshake = new Set(['auth', 'hello', 'select', 'client', 'ping', 'quit', 'readonly'])

export interface LinkOptions {
  readonly redis: RedisOptions
  readonly channels: readonly string[]
  readonly log: PluginLog
  onMessage(channel: Buffer, message: Buffer): void
  /** Redis answers and the channels are subscribed: what must be done before it counts as up. Rejects: tried again. */
  enter(redis: Redis): Promise<void>
}

/** Emits 'up' and 'down', in turn. */
export class Link extends EventEmitter<{ up: []; down: [] }> {
  /** For the other parts of the cluster: rejects at once while Redis is away. */
  readonly commands: Redis
  /** For publishes, the lease and checks: works before the link counts as up. */
  readonly own: Redis
  readonly #subscriber: Redis
  readonly #readers = new Set<Redis>()
  readonly #options: LinkOptions
  #isUp = false
  #closed = false
  /** Connections lost: one that came back in between has no subscriptions. */
  #losses = 0
  #wake: () => void = () => {}
  #lastProblem: string | undefined
  #tending: Promise<void> | undefined

  constructor(options: LinkOptions) {
    super()
    this.#options = options
    this.commands = new GatedRedis(options.redis, () => this.#isUp)
    this.own = new Redis(options.redis)
    this.#subscriber = new Redis(options.redis)
    this.#subscriber.on('messageBuffer', (channel: Buffer, message: Buffer) => options.onMessage(channel, message))
    for (const redis of this.#all) this.#watch(redis)
  }

  get isUp(): boolean {
    return this.#isUp
  }

  get #all(): Redis[] {
    return [this.commands, this.own, this.#subscriber]
  }

  open(): void {
    for (const redis of this.#all) void redis.connect().catch(() => {})
    this.#tending = this.#tend()
  }

  /**
   * Rejects at once while its own connection is not `ready`. What ioredis keeps for later instead would never be settled
   * when it is disconnected between two attempts to connect, and who stops would wait for it for ever.
   */
  openReader(): Redis {
    const { commandTimeout, ...options } = this.#options.redis
    const reader = new Redis({ ...options, lazyConnect: false })
    reader.on('error', (error: Error) => this.#problem(error))
    this.#readers.add(reader)
    reader.once('end', () => this.#readers.delete(reader))
    return reader
  }

  /** Something did not get its answer: look now, not at the next check. */
  suspect(): void {
    this.#wake()
  }

  /** Down at once, although Redis may answer. It comes up when `enter` lets it. */
  fall(why: unknown): void {
    this.#goDown(errorText(why))
    this.#wake()
  }

  #watch(redis: Redis): void {
    redis.on('error', (error: Error) => this.#problem(error))
    redis.on('ready', () => this.#wake())
    redis.on('close', () => {
      this.#losses += 1
      this.#goDown('the connection was closed')
      this.#wake()
    })
  }

  /** The one loop that says up or down. */
  async #tend(): Promise<void> {
    while (!this.#closed) {
      try {
        if (this.#isUp) await this.#check()
        else await this.#rise()
      } catch (error) {
        this.#problem(error)
        this.#goDown(errorText(error))
      }
      if (!this.#closed) await this.#sleep(this.#isUp ? checkEveryMs : tryAgainMs)
    }
  }

  async #rise(): Promise<void> {
    if (!this.#all.every((redis) => redis.status === 'ready')) return
    const losses = this.#losses
    await this.#check()
    const { channels } = this.#options
    const subscribed = await this.#within(this.#subscriber.subscribe(...channels))
    if (Number(subscribed) !== channels.length) throw new Error('Redis did not subscribe the channels of the bus')
    await this.#options.enter(this.own)
    if (this.#closed || losses !== this.#losses) return
    this.#isUp = true
    this.#lastProblem = undefined
    this.#options.log.info({}, 'redis is there')
    this.emit('up')
  }

  /** All three answer. The one that does not is cut, so that it is connected anew when Redis or the network is back. */
  async #check(): Promise<void> {
    const late: Redis[] = []
    const answers = this.#all.map(async (redis) => {
      const answered = this.#within(redis.ping())
      await answered.catch((error: unknown) => {
        late.push(redis)
        throw error
      })
    })
    const results = await Promise.allSettled(answers)
    const failed = results.find((result) => result.status === 'rejected')
    if (failed === undefined) return
    for (const redis of late) cut(redis)
    throw failed.reason
  }

  async #within<T>(work: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      // When this process itself was held up, the answer may lie in the socket: it is read before setImmediate.
      timer = setTimeout(
        () => setImmediate(() => reject(new Error(`no answer within ${answerWithinMs} ms`))),
        answerWithinMs,
      )
    })
    try {
      return await Promise.race([work, late])
    } finally {
      clearTimeout(timer)
    }
  }

  #goDown(why: string): void {
    if (!this.#isUp) return
    this.#isUp = false
    // A blocking read would wait for a Redis that is not there; and one connection that was sent to another server
    // (a new master, a moved slot) must not leave the others behind at the old one.
    for (const redis of [...this.#readers, ...this.#all]) cut(redis)
    if (!this.#closed) this.#options.log.warn({ error: why }, 'redis is away')
    this.emit('down')
  }

  /** One line for each new problem, not one for each attempt. */
  #problem(error: unknown): void {
    const text = errorText(error)
    if (this.#isUp || this.#closed || text === this.#lastProblem) return
    this.#lastProblem = text
    this.#options.log.warn({ error: text }, 'redis cannot be used')
  }

  #sleep(timeMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeMs)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    for (const redis of [...this.#all, ...this.#readers]) redis.disconnect()
    this.#goDown('closed')
    this.#wake()
    await this.#tending
  }
}

function cut(redis: Redis): void {
  if (redis.status === 'ready' || redis.status === 'connect') redis.stream.destroy()
}

class GatedRedis extends Redis {
  readonly #isOpen: () => boolean

  constructor(options: RedisOptions, isOpen: () => boolean) {
    super(options)
    this.#isOpen = isOpen
  }

  override sendCommand(...[command, stream]: Parameters<Redis['sendCommand']>): unknown {
    if (this.#isOpen() || handshake.has(command.name)) return super.sendCommand(command, stream)
    command.reject(new Error('Redis is away'))
    return command.promise
  }
}
