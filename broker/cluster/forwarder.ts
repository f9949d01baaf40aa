// Carries what another node has to get from the log to that node's Redis Stream, in order, until the node has taken it.
//
// The log is the outbox, and what is in Redis may be lost: only what the other node says that it has taken is trimmed from
// the log. After every return of Redis all that is not is sent again, and the receiver drops what it has.
import { errorText } from '../errors.ts'
import type { PluginLog } from '../plugin.ts'
import type { Entry, Store } from '../store/store.ts'
import { nodeStream } from './cluster.ts'
import type { Meeting } from './meeting.ts'
import { RedisScript } from './redis-script.ts'
import { encodeEntry, type Progress, parseProgress } from './stream-entry.ts'

/** Messages of one read of the log, and bytes of one entry. */
const readMessages = 500
const entryBytes = 128 * 1024
/** Of one command: Redis serves nobody else while it takes one. */
const commandBytes = 2 * 1024 * 1024
/** In Redis and not taken: above it the forwarder waits. A node that is away shall not fill Redis: the log has it all. */
const windowBytes = 8 * 1024 * 1024
const windowAwayBytes = 256 * 1024
/** Entries in the stream of the other node, of all senders together. */
const streamEntriesMax = 20_000
/** While something is not taken: how often the other node's progress is asked for. */
const askMs = 200
const askAwayMs = 5_000
const retryMs = 500
/** Nothing was taken for so long, and the stream is empty: Redis lost it. */
const stalledMs = 3_000
/** The same while there is something in the stream. */
const stuckMs = 30_000
/** Items that wait, in bytes; above it they are refused. */
const itemsMaxBytes = 64 * 1024 * 1024

/**
 * One command for all: a pipeline of ioredis is kept alive by the one before it until the old generation is collected, and
 * at 1,000 messages a second that took 10 ms twice a second.
 *
 * KEYS: the stream of the other node, what it has taken. ARGV: the id of this store, entries.
 * Answers with the entries in the stream, and how far the other node is with this store.
 */
const sendScript = new RedisScript(`
for at = 2, #ARGV do redis.call('XADD', KEYS[1], '*', 'e', ARGV[at]) end
return {redis.call('XLEN', KEYS[1]), redis.call('HGET', KEYS[2], ARGV[1])}
`)

export interface ForwarderParts {
  readonly meeting: Meeting
  readonly store: Store
  readonly log: PluginLog
  /** Messages that fell off the outbox before they could be sent. */
  lost(messages: number): void
  sent(messages: number): void
}

interface Waiting {
  readonly sequence: number
  readonly done: () => void
}

interface Item {
  readonly number: number
  readonly kind: string
  readonly body: Buffer
  /** It comes behind the messages that were durable when it was given. */
  readonly after: number
  sent: boolean
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

interface Sent {
  readonly through: number
  readonly bytes: number
}

export class Forwarder {
  readonly node: string
  readonly #parts: ForwarderParts
  readonly #stream: string
  /** The log is durable up to here: only that may leave. */
  #durable: number
  /** The log was read up to here. */
  #read = 0
  /** The end of the last entry that is in Redis. */
  #chain = 0
  /** The other node has taken everything up to here. */
  #confirmed = 0
  #unconfirmed: Sent[] = []
  #unconfirmedBytes = 0
  #waiting: Waiting[] = []
  #items: Item[] = []
  #itemsBytes = 0
  #lastItem = 0
  #isFull = false
  #running = false
  #stopped = false
  #timer: NodeJS.Timeout | undefined
  #progressAt = 0
  /** Counts the times that all was begun anew: answers to what was sent before are of no use. */
  #round = 0

  /** `durable`: what a former run left is durable up to here. */
  constructor(node: string, durable: number, parts: ForwarderParts) {
    this.node = node
    this.#parts = parts
    this.#stream = nodeStream(node)
    this.#durable = durable
  }

  /** Nothing is on its way and nothing waits. */
  get isIdle(): boolean {
    // While it runs something may be on its way to Redis that nobody counts yet.
    if (this.#running) return false
    return this.#unconfirmed.length === 0 && this.#items.length === 0 && this.#read >= this.#durable
  }

  /** How many bytes are in Redis and not taken. */
  get unconfirmedBytes(): number {
    return this.#unconfirmedBytes
  }

  /** Everything up to this sequence number is durable. `done`: it is in Redis, or has to wait here. */
  forward(sequence: number, done: () => void): void {
    this.#durable = Math.max(this.#durable, sequence)
    if (!this.#parts.meeting.isUp || this.#isBlocked || this.#stopped) done()
    else this.#waiting.push({ sequence, done })
    this.wake()
  }

  /** Resolves when the other node has taken it, however long that is. It may take it twice. */
  send(kind: string, body: Buffer): Promise<void> {
    if (this.#stopped || this.#itemsBytes + body.length > itemsMaxBytes) {
      return Promise.reject(new Error(`too much waits for node ${this.node}`))
    }
    this.#itemsBytes += body.length
    this.#lastItem += 1
    const number = this.#lastItem
    const sent = new Promise<void>((resolve, reject) => {
      this.#items.push({ number, kind, body, after: this.#durable, sent: false, resolve, reject })
    })
    this.wake()
    return sent
  }

  /** Redis is back, perhaps without what it had. */
  begin(): void {
    this.#round += 1
    this.#read = this.#confirmed
    this.#chain = this.#confirmed
    this.#unconfirmed = []
    this.#unconfirmedBytes = 0
    this.#isFull = false
    this.#progressAt = performance.now()
    for (const item of this.#items) item.sent = false
    this.wake()
  }

  /** Redis is away: nobody waits for it. */
  release(): void {
    for (const { done } of this.#waiting.splice(0)) done()
  }

  wake(): void {
    if (this.#running || this.#stopped || !this.#parts.meeting.isUp) return
    this.#running = true
    void this.#run()
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
    this.release()
    for (const { reject } of this.#items.splice(0)) reject(new Error('the cluster was left'))
  }

  get #isLive(): boolean {
    return this.#parts.meeting.live().some(({ node }) => node === this.node)
  }

  get #isBlocked(): boolean {
    return this.#isFull || this.#unconfirmedBytes >= (this.#isLive ? windowBytes : windowAwayBytes)
  }

  async #run(): Promise<void> {
    clearTimeout(this.#timer)
    let waitMs: number | undefined
    try {
      while (!this.#stopped && this.#parts.meeting.isUp && (await this.#step()));
      if (this.#isBlocked || this.#unconfirmed.length > 0 || this.#items.length > 0)
        waitMs = this.#isLive ? askMs : askAwayMs
    } catch (error) {
      if (this.#parts.meeting.isUp) {
        this.#parts.log.warn({ node: this.node, error: errorText(error) }, 'messages for another node wait')
        this.begin()
        waitMs = retryMs
      }
      this.release()
    }
    this.#running = false
    if (this.#stopped || !this.#parts.meeting.isUp) {
      this.release()
      return
    }
    if (waitMs !== undefined) this.#timer = setTimeout(() => this.#ask(), waitMs)
    else if (this.#hasMore) this.wake()
  }

  get #hasMore(): boolean {
    return !this.#isBlocked && (this.#read < this.#durable || this.#items.some(({ sent }) => !sent))
  }

  /** True: there may be more to do at once. */
  async #step(): Promise<boolean> {
    if (this.#isBlocked) {
      this.release()
      return false
    }
    // Before the messages that came later, however many more come.
    const items = this.#items.filter(({ sent, after }) => !sent && after <= this.#read)
    if (items.length > 0) await this.#sendItems(items)
    else if (this.#read < this.#durable) await this.#sendMessages()
    else return false
    return true
  }

  async #sendMessages(): Promise<void> {
    const { store } = this.#parts
    const round = this.#round
    const durable = this.#durable
    const position = { stream: this.#stream, after: this.#read, upTo: durable }
    const { entries, end, through, skipped } = await store.read([position], readMessages)
    if (round !== this.#round) return
    if (skipped > 0) this.#parts.lost(skipped)
    const last = entries[entries.length - 1]?.sequence ?? this.#read
    this.#read = end ? durable : Math.min(through, durable)
    if (entries.length > 0) {
      const chunks = groupsOf(entries, entryBytesOf, entryBytes)
      const bodies: Buffer[] = []
      const sent: Sent[] = []
      let after = this.#chain
      for (const messages of chunks) {
        const upTo = messages[messages.length - 1]!.sequence
        const entry = {
          type: 'messages' as const,
          from: this.#from,
          base: this.#confirmed,
          after,
          through: upTo,
          messages,
        }
        const body = encodeEntry(entry)
        bodies.push(body)
        sent.push({ through: upTo, bytes: body.length })
        after = upTo
      }
      // An entry that Redis refuses breaks the chain, so the receiver takes none of those behind it.
      await this.#add(bodies, round)
      if (round !== this.#round) return
      this.#chain = last
      if (this.#unconfirmed.length === 0) this.#progressAt = performance.now()
      for (const one of sent) {
        if (one.through <= this.#confirmed) continue
        this.#unconfirmed.push(one)
        this.#unconfirmedBytes += one.bytes
      }
      this.#parts.sent(entries.length)
    }
    const done = this.#waiting.filter(({ sequence }) => sequence <= this.#read)
    if (done.length > 0) this.#waiting = this.#waiting.filter(({ sequence }) => sequence > this.#read)
    for (const waiting of done) waiting.done()
  }

  async #sendItems(items: readonly Item[]): Promise<void> {
    const round = this.#round
    const base = this.#items[0]!.number - 1
    const bodies = items.map(({ number, kind, body }) =>
      encodeEntry({ type: 'item', from: this.#from, base, number, kind, body }),
    )
    await this.#add(bodies, round)
    if (round !== this.#round) return
    for (const item of items) item.sent = true
  }

  get #from(): { node: string; storeId: number; run: string } {
    const { node, storeId, run } = this.#parts.meeting.self
    return { node, storeId, run }
  }

  async #add(bodies: readonly Buffer[], round: number): Promise<void> {
    const { streamSeal } = this.#parts.meeting
    const sealed = bodies.map((body) => streamSeal.seal([this.node, 'stream'], body))
    for (const entries of groupsOf(sealed, (entry) => entry.length, commandBytes)) {
      const [length, progress] = await this.#send(entries)
      if (round !== this.#round) return
      this.#learn(length, progress)
    }
  }

  async #send(entries: readonly Buffer[]): Promise<readonly unknown[]> {
    const { meeting } = this.#parts
    const keys = [meeting.key('to', this.node), meeting.key('taken', this.node)]
    const values = [String(meeting.self.storeId), ...entries]
    return (await sendScript.run(meeting.redis, keys, values)) as readonly unknown[]
  }

  /** The other node came or went. */
  look(): void {
    clearTimeout(this.#timer)
    this.#ask()
  }

  /** How far the other node is. */
  #ask(): void {
    if (this.#stopped || this.#running || !this.#parts.meeting.isUp) return
    this.#running = true
    const round = this.#round
    this.#send([])
      .then(([length, progress]) => {
        if (round !== this.#round) return
        this.#learn(length, progress)
        if (this.#isStalled(length === 0)) this.begin()
      })
      .catch(() => {})
      .finally(() => {
        this.#running = false
        this.wake()
      })
  }

  #isStalled(isEmpty: boolean): boolean {
    if (!this.#isLive || (this.#unconfirmed.length === 0 && this.#items.length === 0)) return false
    return performance.now() - this.#progressAt > (isEmpty ? stalledMs : stuckMs)
  }

  #learn(length: unknown, progress: unknown): void {
    this.#isFull = Number(length) >= streamEntriesMax
    const known = parseProgress(typeof progress === 'string' ? progress : null)
    if (known === undefined) return
    this.#learnMessages(known)
    if (known.run === this.#parts.meeting.self.run) this.#learnItems(known.item)
  }

  #learnMessages({ sequence }: Progress): void {
    if (sequence <= this.#confirmed) return
    if (sequence > this.#durable) {
      const fields = { node: this.node, sequence, lastSequence: this.#durable }
      this.#parts.log.error(fields, 'another node has messages of this store that the store does not have')
      return
    }
    this.#confirmed = sequence
    this.#progressAt = performance.now()
    this.#parts.store.trim(this.#stream, sequence)
    while (this.#unconfirmed[0] !== undefined && this.#unconfirmed[0].through <= sequence) {
      this.#unconfirmedBytes -= this.#unconfirmed.shift()!.bytes
    }
  }

  #learnItems(number: number): void {
    while (this.#items[0] !== undefined && this.#items[0].number <= number) {
      const { body, resolve } = this.#items.shift()!
      this.#itemsBytes -= body.length
      this.#progressAt = performance.now()
      resolve()
    }
  }
}

/** In their order, so that each group has at least one, and no more of them than fit into so many bytes. */
function groupsOf<One>(all: readonly One[], bytesOf: (one: One) => number, most: number): One[][] {
  const groups: One[][] = []
  let bytes = 0
  for (const one of all) {
    const own = bytesOf(one)
    const group = groups[groups.length - 1]
    if (group === undefined || bytes + own > most) {
      groups.push([one])
      bytes = own
    } else {
      group.push(one)
      bytes += own
    }
  }
  return groups
}

function entryBytesOf({ message: { payload, topic } }: Entry): number {
  return payload.length + topic.length + 64
}
