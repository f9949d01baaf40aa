// The door of the bus: every frame gets an envelope on its way out, and only what proves itself comes in to mqemitter.
// mqemitter-redis decodes whatever stands on a channel and dies of what it cannot read, so it sees only our own bytes.
import { EventEmitter } from 'node:events'
import type { Redis } from 'ioredis'
import { frameMaxBytes } from './frames.ts'
import { busVersion } from './meeting.ts'
import { type Seal, sealBytes } from './seal.ts'

const magic = 0x4f
/** magic, version, run (8), counter (6); the seal stands before it. */
const envelopeBytes = 16
const runBytes = 8

/** Frames of a node that we have not met wait for its lease to be read; more than these are dropped. */
const waitingMax = 256
const waitingMaxBytes = 4 * 1024 * 1024

export interface GuardOptions {
  readonly seal: Seal
  /** Of this node: 16 hexadecimal digits. */
  readonly run: string
  isMember(run: string): boolean
  /** A frame under our key, of a run that is no member's: it may have joined just now. Then call `release`. */
  onStranger(): void
  /** Dropped; why is for the log. */
  onRefused(why: string): void
}

interface Waiting {
  readonly channel: Buffer
  readonly run: string
  readonly counter: number
  readonly packet: Buffer
}

/** Stands in for both connections that mqemitter-redis is given. */
export class Guard {
  /** What mqemitter takes for its connections. The link subscribes and reconnects; here is only what it calls. */
  readonly subConn: Redis
  readonly pubConn: Redis
  readonly #options: GuardOptions
  readonly #incoming = new EventEmitter()
  /** The last counter by run. Runs that are no members any more are forgotten when a member leaves or starts again. */
  readonly #counters = new Map<string, number>()
  #waiting: Waiting[] = []
  #waitingBytes = 0
  #counter = 0

  constructor(options: GuardOptions, publish: (channel: string, frame: Buffer) => Promise<unknown>) {
    this.#options = options
    const outgoing = new EventEmitter()
    const quit = (emitter: EventEmitter) => () => void setImmediate(() => emitter.emit('end'))
    // mqemitter-redis asks no more of a connection than these.
    this.subConn = Object.assign(this.#incoming, {
      subscribe: (_channel: string, done: () => void) => done(),
      unsubscribe: (_channel: string, done: () => void) => done(),
      quit: quit(this.#incoming),
    }) as unknown as Redis
    this.pubConn = Object.assign(outgoing, {
      publish: (channel: string, packet: Buffer) => publish(channel, this.#wrap(channel, packet)),
      quit: quit(outgoing),
    }) as unknown as Redis
  }

  #wrap(channel: string, packet: Buffer): Buffer {
    this.#counter += 1
    const frame = Buffer.allocUnsafe(envelopeBytes + packet.length)
    frame.writeUInt8(magic, 0)
    frame.writeUInt8(busVersion, 1)
    frame.write(this.#options.run, 2, runBytes, 'hex')
    frame.writeUIntBE(this.#counter, 2 + runBytes, 6)
    packet.copy(frame, envelopeBytes)
    return this.#options.seal.seal([channel], frame)
  }

  /** What Redis brought, from anybody. */
  receive(channel: Buffer, message: Buffer): void {
    const { seal, run: own, onRefused, onStranger, isMember } = this.#options
    if (message.length < sealBytes + envelopeBytes || message.length > frameMaxBytes) return onRefused('size')
    if (message[sealBytes] !== magic) return onRefused('not a frame')
    if (message[sealBytes + 1] !== busVersion) return onRefused('version')
    const frame = seal.open([channel.toString('latin1')], message)
    if (frame === undefined) return onRefused('seal')
    const run = frame.toString('hex', 2, 2 + runBytes)
    if (run === own) return
    const counter = frame.readUIntBE(2 + runBytes, 6)
    const packet = frame.subarray(envelopeBytes)
    if (isMember(run)) return this.#accept({ channel, run, counter, packet })
    if (this.#waiting.length >= waitingMax || this.#waitingBytes + packet.length > waitingMaxBytes) {
      return onRefused('sender')
    }
    this.#waiting.push({ channel, run, counter, packet })
    this.#waitingBytes += packet.length
    onStranger()
  }

  #accept({ channel, run, counter, packet }: Waiting): void {
    if (counter <= (this.#counters.get(run) ?? 0)) return this.#options.onRefused('repeated')
    this.#counters.set(run, counter)
    try {
      this.#incoming.emit('messageBuffer', channel, packet)
    } catch {
      this.#options.onRefused('content')
    }
  }

  /** The leases were read: strangers are members now, or stay outside. */
  release(): void {
    const waiting = this.#waiting
    this.#waiting = []
    this.#waitingBytes = 0
    for (const frame of waiting) {
      if (this.#options.isMember(frame.run)) this.#accept(frame)
      else this.#options.onRefused('sender')
    }
  }

  /** `keep`: the runs whose frames may still come. Nobody's old frames are accepted, because their run is no member's. */
  forget(keep: ReadonlySet<string>): void {
    for (const run of this.#counters.keys()) if (!keep.has(run)) this.#counters.delete(run)
  }
}
