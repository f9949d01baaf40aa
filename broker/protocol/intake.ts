// How packets are taken from a socket: one after the other, and none while those before it must come first.
import type { Duplex } from 'node:stream'
import { type Frame, FrameReader } from './frames.ts'
import type { Origin } from './host.ts'
import { type Pace, type PaceLimits, paceOf } from './pace.ts'

/** Publishes of one connection that wait for the disk; above it the socket is read later. */
const waitingBytesMax = 4 * 1024 * 1024

export interface IntakeLimits extends PaceLimits {
  /** Of a packet before CONNECT is accepted. */
  readonly connectPacketMaxBytes: number
  /** Publishes that may wait for the disk. */
  readonly inflightIn: number
}

export class Intake {
  /** What this client has in the log that is not durable yet. */
  readonly origin: Origin = { waiting: 0 }
  /** When the last whole packet came, in milliseconds since 1970 (MQTT-3.1.2-22). */
  lastReceivedAt: number
  readonly #stream: Duplex
  readonly #limits: IntakeLimits
  readonly #reader: FrameReader
  readonly #take: (frame: Frame) => Promise<void> | undefined
  readonly #failed: (error: unknown) => void
  /** A packet waits for an answer of a plugin; the next ones stay in the reader. */
  #busy = false
  readonly #pace: Pace | undefined
  /** The client publishes faster than it may. */
  #resting: NodeJS.Timeout | undefined
  #waitingBytes = 0
  #stopped = false

  /** `take` handles a packet; while its promise is pending nothing else is taken. `failed` hears what it throws. */
  constructor(
    stream: Duplex,
    limits: IntakeLimits,
    acceptedAt: number,
    take: (frame: Frame) => Promise<void> | undefined,
    failed: (error: unknown) => void,
  ) {
    this.#stream = stream
    this.#limits = limits
    this.#reader = new FrameReader(limits.connectPacketMaxBytes)
    this.#pace = paceOf(limits)
    this.lastReceivedAt = acceptedAt
    this.#take = take
    this.#failed = failed
  }

  /** The next packet waits for us, not for the client. */
  get held(): boolean {
    return this.#busy || this.#resting !== undefined || this.#isFull
  }

  set packetMaxBytes(bytes: number) {
    this.#reader.maxBytes = bytes
  }

  push(chunk: Buffer): void {
    this.#reader.push(chunk)
    this.#process()
  }

  /** From here on nothing is taken. */
  stop(): void {
    this.#stopped = true
    clearTimeout(this.#resting)
    this.#reader.clear()
  }

  /** A publish of this client waits for the disk: too many, and its socket is read later. */
  addWaiting(bytes: number): void {
    this.#waitingBytes += bytes
  }

  removeWaiting(bytes: number): void {
    this.#waitingBytes -= bytes
    if (this.#stream.isPaused() && !this.#isFull) this.#goOn()
  }

  /** A message was published: above its pace the client is read later. */
  published(bytes: number): void {
    const restMs = this.#pace?.restMs(bytes, Date.now()) ?? 0
    if (restMs === 0) return
    this.#stream.pause()
    this.#resting ??= setTimeout(() => {
      this.#resting = undefined
      this.#goOn()
    }, restMs)
  }

  get #isFull(): boolean {
    return this.#waitingBytes > waitingBytesMax || this.origin.waiting >= this.#limits.inflightIn
  }

  /** One packet that waits for a plugin holds up those behind it (MQTT-4.6.0-1 … -6). */
  #process(): void {
    try {
      while (!this.#busy && !this.#stopped && this.#resting === undefined) {
        if (this.#isFull) {
          this.#stream.pause()
          return
        }
        const frame = this.#reader.next()
        if (frame === undefined) return
        this.lastReceivedAt = Date.now()
        const later = this.#take(frame)
        if (later !== undefined) this.#wait(later)
      }
    } catch (error) {
      this.#failed(error)
    }
  }

  #wait(later: Promise<void>): void {
    this.#busy = true
    this.#stream.pause()
    later.then(
      () => {
        this.#busy = false
        this.#goOn()
      },
      (error: unknown) => this.#failed(error),
    )
  }

  #goOn(): void {
    if (this.#busy || this.#stopped || this.#resting !== undefined) return
    // The time in which we did not listen is not the client's silence.
    this.lastReceivedAt = Date.now()
    this.#process()
    if (!this.held && !this.#stopped) this.#stream.resume()
  }
}
