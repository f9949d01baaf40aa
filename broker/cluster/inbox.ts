// Takes what other nodes sent to this one out of its Redis Stream: each message once, in the order of its sender.
//
// What was taken is a mark in the same batch as the append, so a crash forgets both or none. A sender is told only after
// the commit; an entry that comes again is known by its numbers, and one that does not fit to the one before is not taken.
import type { Redis } from 'ioredis'
import { errorText } from '../errors.ts'
import type { PluginLog } from '../plugin.ts'
import type { ClusterHouse } from './cluster.ts'
import type { Meeting, Member } from './meeting.ts'
import { applyRetained } from './retained.ts'
import { decodeEntry, type ItemEntry, type MessagesEntry, progressText } from './stream-entry.ts'

/** How often the senders are told: each time costs Redis two commands, and nobody waits for it. */
const tellEveryMs = 20
const readEntries = 64
const blockMs = 5_000
const retryMs = 200
const drainLookMs = 20
/** Taken out of the stream and not yet committed, in bytes: above it nothing more is read. */
const pendingMaxBytes = 4 * 1024 * 1024

const markPrefix = 'in:'

export type ItemHandler = (from: Member, body: Buffer) => Promise<void> | void

export interface InboxParts {
  readonly meeting: Meeting
  readonly house: ClusterHouse
  readonly log: PluginLog
  took(messages: number): void
  repeated(messages: number): void
}

/** An entry that was read, until it is committed and the sender can be told. */
interface Pending {
  readonly id: string
  readonly bytes: number
  readonly storeId: number | undefined
  /** What is safe of this sender when this entry is done. */
  readonly sequence: number
  isDone: boolean
}

interface Items {
  run: string
  number: number
}

export class Inbox {
  readonly #parts: InboxParts
  /** By store id: appended up to here, and committed up to here. */
  readonly #taken: Map<number, number>
  readonly #committed: Map<number, number>
  readonly #items = new Map<number, Items>()
  /** Store ids whose messages are missing from the stream: what comes behind them is not taken before them. */
  readonly #gaps = new Set<number>()
  readonly #handlers: ReadonlyMap<string, ItemHandler>
  #pending: Pending[] = []
  #pendingBytes = 0
  #lastId = '0'
  /** Counts the returns of Redis. */
  #round = 0
  #failed = false
  #telling = false
  #toldAt = 0
  #tellTimer: NodeJS.Timeout | undefined
  readonly #toTell = new Set<number>()
  #trimTo: string | undefined
  /** The last entry that was committed, with all before it. */
  #doneId = '0-0'
  #reader: Redis | undefined
  #stopped = false
  #wake: () => void = () => {}
  #reading: Promise<void> | undefined

  constructor(parts: InboxParts, marks: ReadonlyMap<string, number>, handlers: ReadonlyMap<string, ItemHandler>) {
    this.#parts = parts
    this.#handlers = handlers
    this.#committed = new Map()
    for (const [name, value] of marks) {
      if (name.startsWith(markPrefix)) this.#committed.set(Number(name.slice(markPrefix.length)), value)
    }
    this.#taken = new Map(this.#committed)
  }

  start(): void {
    const { meeting } = this.#parts
    meeting.on('up', () => {
      // Perhaps another Redis, or one that lost what it had: what it holds now is read, and who waits is told again.
      this.#round += 1
      this.#lastId = '0'
      for (const storeId of this.#committed.keys()) this.#toTell.add(storeId)
      this.#tell()
      this.#wake()
    })
    this.#reader = meeting.openReader()
    this.#reader.on('ready', () => this.#wake())
    this.#reading = this.#read(this.#reader)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#tellTimer)
    this.#reader?.disconnect()
    this.#wake()
    await this.#reading
  }

  /** What is in the stream now was taken and committed. Resolves with false when it was not after so long, or Redis went. */
  async drained(timeoutMs: number): Promise<boolean> {
    const { meeting } = this.#parts
    const endsAt = performance.now() + timeoutMs
    try {
      const [last] = await meeting.redis.xrevrange(this.#key, '+', '-', 'COUNT', 1)
      while (last !== undefined && isBefore(this.#doneId, last[0])) {
        if (this.#stopped || !meeting.isUp || performance.now() > endsAt) return false
        await new Promise((resolve) => setTimeout(resolve, drainLookMs))
        const [still] = await meeting.redis.xrange(this.#key, last[0], last[0])
        if (still === undefined) return true
      }
      return true
    } catch (error) {
      this.#parts.log.debug({ error: errorText(error) }, 'the stream of this node could not be looked at')
      return false
    }
  }

  /** How far this node is with what the store with this id sent. */
  takenOf(storeId: number): number {
    return this.#committed.get(storeId) ?? 0
  }

  get #key(): string {
    return this.#parts.meeting.key('to', this.#parts.meeting.self.node)
  }

  async #read(reader: Redis): Promise<void> {
    while (!this.#stopped) {
      try {
        if (this.#failed) await this.#beginAgain()
        else if (!this.#parts.meeting.isUp || reader.status !== 'ready') await this.#rest(blockMs)
        else if (this.#pendingBytes > pendingMaxBytes) await this.#rest(retryMs)
        else await this.#readSome(reader)
      } catch (error) {
        if (this.#stopped) return
        this.#parts.log.debug({ error: errorText(error) }, 'the stream of this node could not be read')
        await this.#rest(retryMs)
      }
    }
  }

  /** For so long, or until something happens. */
  #rest(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  async #readSome(reader: Redis): Promise<void> {
    const round = this.#round
    const key = this.#key
    const answer = await reader.xreadBuffer('COUNT', readEntries, 'BLOCK', blockMs, 'STREAMS', key, this.#lastId)
    for (const [, entries] of answer ?? []) {
      for (const [id, fields] of entries) {
        // Redis came back meanwhile: begin with what it has now.
        if (this.#failed || this.#stopped || round !== this.#round) return
        this.#lastId = id.toString()
        await this.#take(this.#lastId, fields?.[1])
      }
    }
  }

  async #take(id: string, sealed: Buffer | undefined): Promise<void> {
    const { meeting } = this.#parts
    const bytes = sealed?.length ?? 0
    const entry = this.#open(sealed)
    if (entry === undefined) {
      meeting.refused('entry')
      this.#add({ id, bytes, storeId: undefined, sequence: 0, isDone: true })
    } else if (entry.type === 'messages') await this.#takeMessages(id, bytes, entry)
    else await this.#takeItem(id, bytes, entry)
    this.#finish()
  }

  #open(sealed: Buffer | undefined): MessagesEntry | ItemEntry | undefined {
    const { streamSeal, self } = this.#parts.meeting
    const body = sealed && streamSeal.open([self.node, 'stream'], sealed)
    if (body === undefined) return undefined
    try {
      return decodeEntry(body)
    } catch {
      return undefined
    }
  }

  async #takeMessages(id: string, bytes: number, entry: MessagesEntry): Promise<void> {
    const { house, log, meeting, took, repeated } = this.#parts
    const { storeId } = entry.from
    let upTo = this.#taken.get(storeId) ?? 0
    if (entry.after > Math.max(upTo, entry.base)) {
      log.debug({ node: entry.from.node, after: entry.after, upTo }, 'an entry of a stream is missing: asked for again')
      this.#add({ id, bytes, storeId, sequence: upTo, isDone: true })
      this.#gaps.add(storeId)
      return
    }
    this.#gaps.delete(storeId)
    const delivered: Promise<void>[] = []
    const fresh = entry.messages.filter(({ sequence }) => sequence > upTo)
    if (fresh.length < entry.messages.length) repeated(entry.messages.length - fresh.length)
    for (const { sequence, message } of fresh) {
      while (house.store.isFull && message.qos > 0) {
        this.#mark(storeId, upTo)
        await this.#rest(retryMs)
        if (this.#stopped || this.#failed) return
      }
      const received = { ...message, origin: message.origin ?? { storeId, sequence } }
      const kept =
        received.retain && received.via === undefined
          ? applyRetained(house.store, received, meeting.self.storeId)
          : undefined
      if (kept !== undefined) delivered.push(kept)
      delivered.push(house.deliver(received))
      upTo = sequence
    }
    const end = Math.max(entry.through, this.#taken.get(storeId) ?? 0)
    this.#mark(storeId, end)
    const pending = { id, bytes, storeId, sequence: end, isDone: fresh.length === 0 }
    this.#add(pending)
    if (fresh.length === 0) return
    took(fresh.length)
    Promise.all(delivered).then(
      () => {
        pending.isDone = true
        this.#finish()
      },
      (error: unknown) => this.#fail(error),
    )
  }

  #mark(storeId: number, sequence: number): void {
    if (sequence <= (this.#taken.get(storeId) ?? 0)) return
    this.#taken.set(storeId, sequence)
    this.#parts.house.store.putMark(`${markPrefix}${storeId}`, sequence)
  }

  async #takeItem(id: string, bytes: number, { from, base, number, kind, body }: ItemEntry): Promise<void> {
    const { meeting, log } = this.#parts
    const known = this.#items.get(from.storeId)
    const items = known?.run === from.run ? known : { run: from.run, number: 0 }
    const pending = { id, bytes, storeId: from.storeId, sequence: this.#taken.get(from.storeId) ?? 0, isDone: true }
    const isBehindGap = this.#gaps.has(from.storeId)
    const isNext = !isBehindGap && number > items.number && number - 1 <= Math.max(items.number, base)
    const handler = this.#handlers.get(kind)
    const member = meeting.member(from.node)
    if (isNext) {
      if (handler === undefined || member === undefined) meeting.refused('item')
      else {
        try {
          await handler(member, Buffer.from(body))
        } catch (error) {
          log.error({ node: from.node, kind, error: errorText(error) }, 'what another node sent could not be taken up')
        }
      }
      items.number = number
      this.#items.set(from.storeId, items)
    }
    this.#add(pending)
  }

  #add(pending: Pending): void {
    this.#pending.push(pending)
    this.#pendingBytes += pending.bytes
  }

  /** Entries are done in their order: commits end in the order of the appends. */
  #finish(): void {
    while (this.#pending[0]?.isDone === true) {
      const { id, bytes, storeId, sequence } = this.#pending.shift()!
      this.#pendingBytes -= bytes
      this.#trimTo = nextId(id)
      this.#doneId = id
      if (storeId === undefined) continue
      if (sequence > (this.#committed.get(storeId) ?? 0)) this.#committed.set(storeId, sequence)
      this.#toTell.add(storeId)
    }
    if (this.#pendingBytes <= pendingMaxBytes) this.#wake()
    this.#tell()
  }

  /** One answer for all that was done meanwhile. When it fails, the next one says the same and more. */
  #tell(): void {
    const { meeting } = this.#parts
    const trimTo = this.#trimTo
    if (this.#telling || !meeting.isUp || (trimTo === undefined && this.#toTell.size === 0)) return
    const now = performance.now()
    if (now - this.#toldAt < tellEveryMs) {
      this.#tellTimer ??= setTimeout(() => {
        this.#tellTimer = undefined
        if (!this.#stopped) this.#tell()
      }, tellEveryMs)
      return
    }
    this.#toldAt = now
    this.#telling = true
    this.#trimTo = undefined
    const answers: Promise<unknown>[] = []
    if (this.#toTell.size > 0) {
      const fields = new Map<string, string>()
      for (const storeId of this.#toTell) {
        const items = this.#items.get(storeId)
        const progress = { sequence: this.takenOf(storeId), run: items?.run ?? '-', item: items?.number ?? 0 }
        fields.set(String(storeId), progressText(progress))
      }
      answers.push(meeting.redis.hset(meeting.key('taken', meeting.self.node), fields))
      this.#toTell.clear()
    }
    // Behind it: what is trimmed has been told.
    if (trimTo !== undefined) answers.push(meeting.redis.xtrim(this.#key, 'MINID', trimTo))
    Promise.all(answers)
      .catch((error: unknown) => {
        this.#parts.log.debug({ error: errorText(error) }, 'what was taken could not be told')
      })
      .finally(() => {
        this.#telling = false
        if (!this.#stopped) this.#tell()
      })
  }

  /** Nothing of it was stored: it is still in the stream, or comes again from its sender. */
  #fail(error: unknown): void {
    if (this.#failed || this.#stopped) return
    this.#failed = true
    this.#parts.log.warn(
      { error: errorText(error) },
      'messages of other nodes could not be stored; they are read again',
    )
    this.#wake()
  }

  async #beginAgain(): Promise<void> {
    await this.#rest(retryMs * 5)
    // Each commit has ended by now, or its error comes at once.
    await new Promise<void>((resolve) => this.#parts.house.store.commit(() => resolve()))
    if (this.#parts.house.store.failure !== undefined) return
    this.#pending = []
    this.#pendingBytes = 0
    this.#taken.clear()
    for (const [storeId, sequence] of this.#committed) this.#taken.set(storeId, sequence)
    this.#round += 1
    this.#lastId = '0'
    this.#failed = false
  }
}

function isBefore(id: string, other: string): boolean {
  const [time = 0, count = 0] = id.split('-').map(Number)
  const [otherTime = 0, otherCount = 0] = other.split('-').map(Number)
  return time === otherTime ? count < otherCount : time < otherTime
}

/** The one after this entry. */
function nextId(id: string): string {
  const [time, count] = id.split('-')
  return `${time}-${BigInt(count ?? 0) + 1n}`
}
