// The bus between nodes: what is sent in one tick to one channel leaves as one publish of mqemitter-redis.
import type { EventEmitter } from 'node:events'
import mqemitterRedis from 'mqemitter-redis'
import { errorText } from '../errors.ts'
import type { PluginLog } from '../plugin.ts'
import { FrameReader, messageMaxBytes, type Outgoing, packFrames } from './frames.ts'
import type { Guard } from './guard.ts'
import type { FrameKind, Member } from './meeting.ts'

/** Published, and not yet taken by Redis. Above the first, messages of clients are dropped; above the second, all. */
const pendingMaxBytes = { messages: 16 * 1024 * 1024, all: 300 * 1024 * 1024 }

export interface BusOptions {
  /** Of this node. */
  readonly run: string
  readonly guard: Guard
  readonly log: PluginLog
  channelOf(to: Member | 'all'): string
  /** The channels on which this node listens. */
  readonly channels: readonly string[]
  isUp(): boolean
  byRun(run: string): Member | undefined
  onRefused(why: string): void
  onDropped(): void
}

/** What mqemitter carries for us. */
interface Packet {
  readonly topic: string
  readonly run: string
  readonly body: Buffer
}

export class FrameBus {
  readonly #options: BusOptions
  readonly #emitter: ReturnType<typeof mqemitterRedis>
  readonly #listeners = new Map<FrameKind, (from: Member, body: Buffer) => void>()
  readonly #queues = new Map<string, Outgoing[]>()
  /** By run and channel; they hold pieces of large messages. */
  readonly #readers = new Map<string, FrameReader>()
  #queuedBytes = 0
  #pendingBytes = 0
  #flushing = false

  constructor(options: BusOptions) {
    this.#options = options
    const { subConn, pubConn } = options.guard
    // The packets have come once, because the guard saw their counters: no memory for that is needed here.
    this.#emitter = mqemitterRedis({ subConn, pubConn, maxLRUCache: 1 })
    // Without a listener an error here would end the process.
    const { state } = this.#emitter as unknown as { readonly state: EventEmitter }
    state.on('error', (error) => options.log.debug({ error: errorText(error) }, 'the emitter of the bus failed'))
    for (const channel of options.channels) {
      this.#emitter.on(channel, (packet, done) => {
        this.#receive(channel, packet as unknown as Packet)
        done()
      })
    }
  }

  on(kind: FrameKind, listener: (from: Member, body: Buffer) => void): void {
    if (this.#listeners.has(kind)) throw new Error(`the bus has a listener for "${kind}" already`)
    this.#listeners.set(kind, listener)
  }

  send(to: Member | 'all', kind: FrameKind, body: Buffer): void {
    if (!this.#options.isUp()) return
    if (body.length > messageMaxBytes) throw new RangeError(`a frame of ${body.length} bytes is too large for the bus`)
    const bytes = this.#pendingBytes + this.#queuedBytes + body.length
    if (bytes > (kind === 'messages' ? pendingMaxBytes.messages + body.length : pendingMaxBytes.all)) {
      this.#options.onDropped()
      return
    }
    const channel = this.#options.channelOf(to)
    const queue = this.#queues.get(channel)
    if (queue === undefined) this.#queues.set(channel, [{ kind, body }])
    else queue.push({ kind, body })
    this.#queuedBytes += body.length
    if (this.#flushing) return
    this.#flushing = true
    setImmediate(() => this.#flush())
  }

  #flush(): void {
    this.#flushing = false
    this.#queuedBytes = 0
    const queues = [...this.#queues]
    this.#queues.clear()
    for (const [channel, messages] of queues) {
      for (const body of packFrames(messages)) this.#publish(channel, body)
    }
  }

  #publish(topic: string, body: Buffer): void {
    const packet: Packet = { topic, run: this.#options.run, body }
    this.#pendingBytes += body.length
    let isDone = false
    this.#emitter.emit({ ...packet }, (error) => {
      // mqemitter-redis calls back a second time when the callback throws.
      if (isDone) return
      isDone = true
      this.#pendingBytes -= body.length
      if (error) this.#options.log.debug({ error: errorText(error) }, 'a frame was not published')
    })
  }

  #receive(channel: string, { run, body }: Packet): void {
    const from = this.#options.byRun(run)
    if (from === undefined || !Buffer.isBuffer(body)) return this.#options.onRefused('content')
    const place = `${run} ${channel}`
    let reader = this.#readers.get(place)
    if (reader === undefined) {
      reader = new FrameReader()
      this.#readers.set(place, reader)
    }
    const isWhole = reader.read(body, (kind, message) => this.#tell(kind, from, message))
    if (!isWhole) this.#options.onRefused('content')
  }

  #tell(kind: FrameKind, from: Member, body: Buffer): void {
    try {
      this.#listeners.get(kind)?.(from, body)
    } catch (error) {
      this.#options.log.warn({ node: from.node, kind, error: errorText(error) }, 'a frame could not be read')
      this.#options.onRefused('content')
    }
  }

  /** `keep`: the runs that may still finish what they began. */
  forget(keep: ReadonlySet<string>): void {
    for (const place of this.#readers.keys()) {
      if (!keep.has(place.slice(0, place.indexOf(' ')))) this.#readers.delete(place)
    }
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#emitter.close(resolve)
    })
  }
}
