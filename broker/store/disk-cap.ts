// The cap on the disk as a whole: what goes first when it is reached, and when new messages are refused.
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { errorText } from '../errors.ts'
import type { PluginLog } from '../plugin.ts'
import type { History } from './history.ts'
import type { Streams } from './streams.ts'

/** What the cap took away, in messages. */
export interface TakenAway {
  readonly history: number
  readonly queued: number
}

export interface DiskCapHouse {
  /** Of the folder of the database, in bytes; 0: no cap. */
  readonly maxBytes: number
  readonly streams: Streams
  readonly history: History
  readonly log: PluginLog
  /** Deleted, and not yet given back. */
  garbageBytes(): number
  /** Space is being given back: nobody can say now how much there will be. */
  isCompacting(): boolean
  /** Gives it back. */
  compact(): void
  onTaken(taken: TakenAway): void
}

const checkMs = 1_000
/** The folder is looked at when this share of the cap was written since, and every half minute. */
const measureShare = 1 / 200
const measureEvery = 30
/** Shares of the cap: above the first something has to go until the second is reached. */
const highShare = 0.9
const lowShare = 0.8
/** Full: new messages are refused, until so much is free again. */
const fullShare = 0.98
const roomShare = 0.95
/** The newest of each queue that the cap leaves alone: what was acknowledged is worth more than what is yet to come. */
const queueKeptBytes = 65_536
/** Streams or conversations of one step. */
const stepLength = 1_000

/**
 * History goes first, the oldest of all first; then the oldest of the fullest queues, so that a noisy group cannot take
 * the place of a message to one person. Sessions, subscriptions and retained messages are never taken away.
 */
export class DiskCap {
  readonly #house: DiskCapHouse
  readonly #path: string
  #bytes = 0
  #writtenSince = 0
  #checks = 0
  #isFull = false
  #freed = 0
  #timer: NodeJS.Timeout | undefined
  #stopped = false
  #checking: Promise<void> = Promise.resolve()

  /** `path`: the folder of the database. */
  constructor(path: string, house: DiskCapHouse) {
    this.#path = path
    this.#house = house
  }

  get isFull(): boolean {
    return this.#isFull
  }

  start(): void {
    if (this.#house.maxBytes === 0) return
    this.#schedule(0)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#checking
  }

  wrote(bytes: number): void {
    if (this.#house.maxBytes === 0) return
    this.#writtenSince += bytes
    if (this.#bytes + this.#writtenSince >= this.#house.maxBytes) this.#setFull(true)
  }

  /** A message that nobody holds any more. */
  released(bytes: number): void {
    this.#freed += bytes
  }

  #schedule(delayMs: number): void {
    if (this.#stopped) return
    this.#timer = setTimeout(() => {
      this.#checking = this.#check()
        .catch((error: unknown) =>
          this.#house.log.warn({ error: errorText(error) }, 'the disk cap could not be checked'),
        )
        .finally(() => this.#schedule(checkMs))
    }, delayMs).unref()
  }

  async #check(): Promise<void> {
    const { maxBytes, garbageBytes, isCompacting, compact } = this.#house
    this.#checks += 1
    const isQuiet = !this.#isFull && this.#writtenSince < maxBytes * measureShare && this.#bytes < maxBytes * highShare
    if (isQuiet && this.#checks % measureEvery !== 1) return
    this.#writtenSince = 0
    this.#bytes = await folderBytes(this.#path)
    if (this.#bytes >= maxBytes * fullShare) this.#setFull(true)
    else if (this.#bytes < maxBytes * roomShare) this.#setFull(false)
    if (this.#bytes < maxBytes * highShare || isCompacting()) return
    const tooMuch = this.#bytes - garbageBytes() - maxBytes * lowShare
    if (tooMuch > 0) await this.#takeAway(tooMuch)
    compact()
  }

  async #takeAway(bytes: number): Promise<void> {
    this.#freed = 0
    const history = await this.#inSteps(this.#takeHistory(bytes))
    const queued = this.#freed < bytes ? await this.#inSteps(this.#takeQueued(bytes)) : 0
    if (history + queued === 0) return
    const fields = { history, queued, diskMaxBytes: this.#house.maxBytes, bytes: this.#bytes }
    this.#house.log.warn(fields, 'the oldest messages were dropped: store.diskMaxBytes is reached')
    this.#house.onTaken({ history, queued })
  }

  /** Yields how many messages went, and nothing else waits for long. */
  async #inSteps(steps: Iterable<number>): Promise<number> {
    let messages = 0
    for (const taken of steps) {
      messages += taken
      await new Promise((resolve) => setImmediate(resolve))
      if (this.#stopped) break
    }
    return messages
  }

  /** Forward through the log, a sixty-fourth of it at a time. */
  *#takeHistory(bytes: number): IterableIterator<number> {
    const { history } = this.#house
    let first = Number.POSITIVE_INFINITY
    let last = 0
    for (const topic of history.topics()) {
      first = Math.min(first, history.firstOf(topic) ?? first)
      last = Math.max(last, history.lastOf(topic) ?? last)
    }
    const stride = Math.max(1, Math.ceil((last - first + 1) / 64))
    for (let upTo = first + stride - 1; first <= last && this.#freed < bytes; upTo += stride) {
      let taken = 0
      let turn = 0
      for (const topic of history.topics()) {
        taken += history.forgetUpTo(topic, upTo)
        turn += 1
        if (turn % stepLength === 0) yield 0
      }
      yield taken
      if (upTo >= last) return
    }
  }

  /** Down to the height at which the queues above it have given enough. */
  *#takeQueued(bytes: number): IterableIterator<number> {
    const { streams } = this.#house
    const heights: number[] = []
    for (const stream of streams.names()) heights.push(streams.bytesOf(stream))
    const height = Math.max(queueKeptBytes, heightFreeing(bytes - this.#freed, heights))
    let turn = 0
    for (const stream of streams.names()) {
      const taken = streams.shrink(stream, height)
      turn += 1
      if (taken > 0 || turn % stepLength === 0) yield taken
    }
  }

  #setFull(isFull: boolean): void {
    if (isFull === this.#isFull) return
    this.#isFull = isFull
    const fields = { bytes: this.#bytes, diskMaxBytes: this.#house.maxBytes }
    if (isFull) this.#house.log.error(fields, 'what must be stored is refused: store.diskMaxBytes is reached')
    else this.#house.log.info(fields, 'messages are stored again: there is room below store.diskMaxBytes')
  }
}

/** To this height all that are higher are lowered, and together they have given so much. */
function heightFreeing(bytes: number, heights: number[]): number {
  heights.sort((a, b) => b - a)
  let above = 0
  for (let count = 0; count < heights.length; count += 1) {
    // With `count` streams lowered to the next height.
    if (above - heights[count]! * count >= bytes) return (above - bytes) / count
    above += heights[count]!
  }
  return Math.max(0, (above - bytes) / heights.length)
}

async function folderBytes(path: string): Promise<number> {
  let bytes = 0
  for (const name of await readdir(path)) {
    // LevelDB deletes files while we look.
    bytes += (await stat(join(path, name)).catch(() => undefined))?.size ?? 0
  }
  return bytes
}
