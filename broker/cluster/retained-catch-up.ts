// Retained messages of a node that missed some: it compares what it has with a live node's, and asks for what is newer.
//
// Missed were all of them by a new store; those of the time in which the cluster had forgotten the node; and those that
// fell off an outbox for it. Until a node with all of them was asked, or every node, it asks each one that joins.
import { errorText } from '../errors.ts'
import type { PluginLog } from '../plugin.ts'
import { committed, type Recovered, type RetainedWord, type Store } from '../store/store.ts'
import type { Meeting, Member } from './meeting.ts'
import { messageFromBytes, messageToBytes } from './message-bytes.ts'
import type { RedisRouting } from './redis-routing.ts'
import { applyWord, isLater } from './retained.ts'

const mark = 'retained-complete'
const list = 'retained list'
const load = 'retained load'
/** An item from a node whose outbox for this one was full. */
export const lostKind = 'retained lost'
const answerMs = 30_000
const retryMs = 2_000
/** A start waits no longer for them. */
const startMs = 10_000
/** In one answer: words of a list, or bytes of messages. */
const pageWords = 1_000
const pageBytes = 512 * 1024
/** Lists that others are reading; over it, and after this time, the oldest is closed. */
const listsMax = 100
const listMs = 60_000

/** `isRemoval`: there is no message any more. */
type ListedWord = readonly [topic: string, publishedAt: number, storeId: number, isRemoval: 0 | 1]

interface ListPage {
  readonly words: readonly ListedWord[]
  /** Undefined: that was all. */
  readonly next: number | undefined
  /** The node that answers has missed nothing itself. */
  readonly isComplete: boolean
}

interface LoadPage {
  /** In base64; each of the topics that were asked for and are still there, as far as they fit. */
  readonly messages: readonly string[]
  readonly done: number
}

interface OpenList {
  readonly words: IterableIterator<RetainedWord | undefined>
  readonly closesAt: number
}

export interface CatchUpParts {
  readonly meeting: Meeting
  readonly routing: RedisRouting
  readonly store: Store
  readonly log: PluginLog
}

export class RetainedCatchUp {
  readonly #parts: CatchUpParts
  readonly #lists = new Map<number, OpenList>()
  #lastList = 0
  #isComplete: boolean
  #timesUnknown = 0
  /** Store ids that were asked since something was missed. */
  readonly #asked = new Set<number>()
  #running: Promise<void> | undefined
  #isStopped = false
  #timer: NodeJS.Timeout | undefined

  /** Before the first connection to Redis. */
  constructor(parts: CatchUpParts, { marks }: Recovered) {
    this.#parts = parts
    this.#isComplete = marks.get(mark) === 1
    const { meeting, routing } = parts
    meeting.bus.answer(list, async (_from, cursor) => this.#list(cursor === null ? undefined : Number(cursor)))
    meeting.bus.answer(load, async (_from, topics) => this.#load(topics as readonly string[]))
    routing.onItem(lostKind, (from) => {
      this.#misses()
      this.#asked.delete(from.storeId)
      void this.#run()
    })
    meeting.on('up', () => {
      if (meeting.timesUnknown !== this.#timesUnknown) this.#misses()
      this.#timesUnknown = meeting.timesUnknown
      void this.#run()
    })
    for (const event of ['joined', 'forgotten'] as const) meeting.onMember(event, () => void this.#run())
  }

  /** Resolves when all was fetched that can be fetched now, or after some seconds: then it goes on beside. */
  async start(): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, startMs)
    })
    await Promise.race([this.#run(), late])
    clearTimeout(timer)
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
  }

  #misses(): void {
    this.#asked.clear()
    if (!this.#isComplete) return
    this.#isComplete = false
    this.#parts.store.putMark(mark, 0)
  }

  async #run(): Promise<void> {
    if (this.#running === undefined) {
      this.#running = this.#runOnce()
      await this.#running
      this.#running = undefined
    } else await this.#running
  }

  async #runOnce(): Promise<void> {
    const { meeting, store, log } = this.#parts
    if (this.#isStopped || this.#isComplete || !meeting.isUp) return
    clearTimeout(this.#timer)
    try {
      for (const member of meeting.live()) {
        if (this.#asked.has(member.storeId)) continue
        const isComplete = await this.#catchUp(member)
        this.#asked.add(member.storeId)
        const isLast = meeting.known().every(({ storeId }) => this.#asked.has(storeId))
        if (!isComplete && !isLast) continue
        this.#isComplete = true
        store.putMark(mark, 1)
        break
      }
    } catch (error) {
      log.info({ error: errorText(error) }, 'retained messages of another node could not be fetched yet')
      this.#timer = setTimeout(() => void this.#run(), retryMs).unref()
    }
  }

  /** True: it had missed nothing. */
  async #catchUp(from: Member): Promise<boolean> {
    const { meeting, store, log } = this.#parts
    let taken = 0
    let isComplete = true
    for (let cursor: number | null | undefined = null; cursor !== undefined; ) {
      const page = (await meeting.bus.ask(from, list, cursor, answerMs)) as ListPage
      const wanted: string[] = []
      for (const [topic, publishedAt, storeId, isRemoval] of page.words) {
        const stamp = { publishedAt, storeId }
        if (!isLater(stamp, store.retainedStamp(topic), meeting.self.storeId)) continue
        if (isRemoval === 0) wanted.push(topic)
        else if (applyWord(store, { topic, stamp, message: undefined }, meeting.self.storeId)) taken += 1
      }
      taken += await this.#fetch(from, wanted)
      isComplete &&= page.isComplete
      cursor = page.next
    }
    if (taken > 0) log.info({ node: from.node, messages: taken }, 'retained messages were taken from another node')
    return isComplete
  }

  async #fetch(from: Member, topics: readonly string[]): Promise<number> {
    const { meeting, store } = this.#parts
    let taken = 0
    for (let at = 0; at < topics.length; ) {
      const page = (await meeting.bus.ask(from, load, topics.slice(at), answerMs)) as LoadPage
      for (const text of page.messages) {
        const message = messageFromBytes(Buffer.from(text, 'base64'))
        const stamp = { publishedAt: message.publishedAt, storeId: message.origin?.storeId }
        if (applyWord(store, { topic: message.topic, stamp, message }, meeting.self.storeId)) taken += 1
      }
      at += Math.max(1, page.done)
      await committed(this.#parts.store)
    }
    return taken
  }

  #list(cursor: number | undefined): ListPage {
    const { meeting, store } = this.#parts
    const now = performance.now()
    for (const [id, { closesAt }] of this.#lists) {
      if (closesAt < now || this.#lists.size > listsMax) this.#lists.delete(id)
    }
    const open = cursor === undefined ? { words: store.allRetained(), closesAt: 0 } : this.#lists.get(cursor)
    if (open === undefined) throw new Error('this list was closed')
    if (cursor !== undefined) this.#lists.delete(cursor)
    const words: ListedWord[] = []
    let looked = 0
    let end = false
    while (looked < pageWords) {
      const step = open.words.next()
      end = step.done === true
      if (end) break
      looked += 1
      const word = step.value as RetainedWord | undefined
      if (word === undefined) continue
      const { topic, stamp, message } = word
      words.push([topic, stamp.publishedAt, stamp.storeId ?? meeting.self.storeId, message === undefined ? 1 : 0])
    }
    const isComplete = this.#isComplete
    if (end) return { words, next: undefined, isComplete }
    this.#lastList += 1
    this.#lists.set(this.#lastList, { words: open.words, closesAt: now + listMs })
    return { words, next: this.#lastList, isComplete }
  }

  async #load(topics: readonly string[]): Promise<LoadPage> {
    const { meeting, store } = this.#parts
    const messages: string[] = []
    let bytes = 0
    let done = 0
    for (const topic of topics) {
      if (bytes >= pageBytes) break
      done += 1
      const message = await store.loadRetained(topic)
      if (message === undefined) continue
      const origin = message.origin ?? { storeId: meeting.self.storeId, sequence: 0 }
      const text = messageToBytes({ ...message, origin }).toString('base64')
      messages.push(text)
      bytes += text.length
    }
    return { messages, done }
  }
}
