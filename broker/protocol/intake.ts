// How packets are taken from a socket: one after the other, none while those before it must come first, and not so many
// at once that the other sockets wait.
import type { Duplex } from 'node:stream'
import { type Frame, FrameReader } from './frames.ts'
import type { Origin } from './host.ts'
import { type Pace, type PaceHolder, type PaceLimits, paceOf } from './pace.ts'
import { hasTurn, nextTurn, notePublisher, type Turn } from './turns.ts'

/** Publishes of one connection that wait for the disk; above it the socket is read later. */
const waitingBytesMax = 4 * 1024 * 1024

export interface IntakeLimits extends PaceLimits {
  /** Of a packet before CONNECT is accepted. */
  readonly connectPacketMaxBytes: number
  /** Publishes that may wait for the disk. */
  readonly inflightIn: number
}

/** Who handles the packets. */
export interface Taker {
  /** While its promise is pending nothing else is taken. */
  take(frame: Frame): Promise<void> | undefined
  /** What `take` threw, or what was wrong with the bytes. */
  failed(error: unknown): void
  /** Its socket is read later: so much was published. */
  paused(holder: PaceHolder): void
}

/** Of all that share with nobody. */
const none: readonly Pace[] = []

export class Intake implements Origin, Turn {
  /** Publishes of this client in the log that are not durable yet. */
  waiting = 0
  /** When the last whole packet came, in milliseconds since 1970 (MQTT-3.1.2-22). */
  lastReceivedAt: number
  readonly #stream: Duplex
  readonly #limits: IntakeLimits
  readonly #reader: FrameReader
  readonly #taker: Taker
  /** A packet waits for an answer of a plugin; the next ones stay in the reader. */
  #busy = false
  /** It has used up its turn; the others come first. */
  #yielding = false
  readonly #pace: Pace | undefined
  /** Of its user and its groups, shared with others. */
  sharedPaces: readonly Pace[] = none
  /** The client publishes faster than it may. */
  #resting: NodeJS.Timeout | undefined = undefined
  #waitingBytes = 0
  #stopped = false

  constructor(stream: Duplex, limits: IntakeLimits, acceptedAt: number, taker: Taker) {
    this.#stream = stream
    this.#limits = limits
    this.#reader = new FrameReader(limits.connectPacketMaxBytes)
    this.#pace = paceOf(limits)
    this.lastReceivedAt = acceptedAt
    this.#taker = taker
  }

  /** What this client has in the log that is not durable yet. */
  get origin(): Origin {
    return this
  }

  /** The next packet waits for us, not for the client. */
  get held(): boolean {
    return this.#busy || this.#yielding || this.#resting !== undefined || this.#isFull
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
    notePublisher(this)
    if (this.#pace === undefined && this.sharedPaces.length === 0) return
    const restMs = this.#restMs(bytes, Date.now())
    if (restMs === 0) return
    this.#stream.pause()
    this.#resting ??= setTimeout(() => {
      this.#resting = undefined
      this.#goOn()
    }, restMs)
  }

  #restMs(bytes: number, now: number): number {
    let longest = this.#pace?.restMs(bytes, now) ?? 0
    let holder: PaceHolder = 'client'
    for (const pace of this.sharedPaces) {
      const restMs = pace.restMs(bytes, now)
      if (restMs <= longest) continue
      longest = restMs
      holder = pace.holder
    }
    if (longest > 0) this.#taker.paused(holder)
    return longest
  }

  /** The others had their turn. */
  takeTurn(): void {
    this.#yielding = false
    this.#goOn()
  }

  get #isFull(): boolean {
    return this.#waitingBytes > waitingBytesMax || this.waiting >= this.#limits.inflightIn
  }

  /** One packet that waits for a plugin holds up those behind it (MQTT-4.6.0-1 … -6). */
  #process(): void {
    const startedAt = Date.now()
    let taken = 0
    try {
      while (!this.#busy && !this.#yielding && !this.#stopped && this.#resting === undefined) {
        if (this.#isFull) {
          this.#stream.pause()
          break
        }
        const frame = this.#reader.next()
        if (frame === undefined) break
        taken += 1
        const later = this.#taker.take(frame)
        if (later !== undefined) this.#wait(later)
        else if (taken % clockEveryFrames === 0 && !hasTurn(startedAt)) this.#yield()
      }
    } catch (error) {
      this.#taker.failed(error)
    }
    if (taken > 0) this.lastReceivedAt = startedAt
  }

  #wait(later: Promise<void>): void {
    this.#busy = true
    this.#stream.pause()
    later.then(
      () => {
        this.#busy = false
        this.#goOn()
      },
      (error: unknown) => this.#taker.failed(error),
    )
  }

  #yield(): void {
    if (this.#stopped || this.#reader.idle) return
    this.#yielding = true
    this.#stream.pause()
    nextTurn(this)
  }

  #goOn(): void {
    if (this.#busy || this.#yielding || this.#stopped || this.#resting !== undefined) return
    // The time in which we did not listen is not the client's silence.
    this.lastReceivedAt = Date.now()
    this.#process()
    if (!this.held && !this.#stopped) this.#stream.resume()
  }
}

/** A frame to a thousand receivers takes 300 us and more, a look at the clock 30 ns. */
const clockEveryFrames = 4
