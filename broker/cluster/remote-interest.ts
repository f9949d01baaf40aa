// Takes up what other nodes tell of their filters: changes in their order, and the whole from Redis when one was missed.

import { errorText } from '../errors.ts'
import type { PluginLog } from '../plugin.ts'
import { type Change, decodeInterestFrame, encodeInterestFrame } from './interest-frames.ts'
import type { InterestTable } from './interest-table.ts'
import { interestText } from './interest-value.ts'
import type { Meeting, Member } from './meeting.ts'
import { metaField } from './own-interest.ts'
import { RedisScript } from './redis-script.ts'

/** Fields of the hash in one answer of Redis. */
const pageFields = 1_000
/** A smaller hash is read in one step, with its number. */
const wholeFields = 2_000
/** Changes that wait while the whole is read; above it they are dropped, and it is read again. */
const bufferedMax = 1_000
const retryMs = 200
/** Redis came back without the filters of a node: so long it may take to come and write them again. */
const lateMs = 10_000
/** What a node is taken to want while nobody knows: rather too much than too little. */
const everything = { filter: '#', value: interestText({ filter: '#', qos: 1, groups: [] }) }

/** KEYS: what is to be there, and where. ARGV: a field, and what is in it now; '': nothing is there. */
const replaceScript = new RedisScript(`
if (redis.call('HGET', KEYS[2], ARGV[1]) or '') == ARGV[2] then redis.call('RENAME', KEYS[1], KEYS[2])
else redis.call('DEL', KEYS[1]) end
return 1
`)

/** How far this node is with the filters of another one. */
interface Copy {
  run: string
  generation: number
  number: number
  reading: boolean
  buffered: { readonly run: string; readonly number: number; readonly changes: readonly Change[] }[]
}

interface Meta {
  readonly run: string
  readonly generation: number
  readonly number: number
}

export class RemoteInterest {
  readonly #meeting: Meeting
  readonly #table: InterestTable
  readonly #log: PluginLog
  readonly #onTaken: (from: Member, number: number) => void
  readonly #copies = new Map<string, Copy>()
  readonly #retries = new Map<string, NodeJS.Timeout>()
  /** Nodes whose filters are not known yet. */
  readonly #unknown = new Set<string>()
  #onLoaded: (() => void)[] = []
  #isLoaded = false
  #upAt = 0
  #stopped = false

  /** `onTaken`: another node has taken up what this one told. */
  constructor(meeting: Meeting, table: InterestTable, onTaken: (from: Member, number: number) => void, log: PluginLog) {
    this.#meeting = meeting
    this.#table = table
    this.#onTaken = onTaken
    this.#log = log
  }

  start(): void {
    this.#meeting.bus.on('interest', (from, body) => this.#take(from, body))
    this.#meeting.on('up', () => {
      this.#upAt = performance.now()
      this.#readAll()
    })
    this.#meeting.onMember('joined', ({ node }) => this.#read(node))
    this.#meeting.onMember('forgotten', ({ node }) => this.#forget(node))
    for (const { node } of this.#meeting.known()) this.#unknown.add(node)
  }

  stop(): void {
    this.#stopped = true
    for (const timer of this.#retries.values()) clearTimeout(timer)
    for (const done of this.#onLoaded.splice(0)) done()
  }

  /** The filters of all known nodes were read at least once. */
  get isLoaded(): boolean {
    return this.#isLoaded
  }

  loaded(): Promise<void> {
    return this.#isLoaded ? Promise.resolve() : new Promise((resolve) => this.#onLoaded.push(resolve))
  }

  #take(from: Member, body: Buffer): void {
    const frame = decodeInterestFrame(body)
    if (frame.type === 'taken') {
      this.#onTaken(from, frame.number)
      return
    }
    const copy = this.#copies.get(from.node)
    if (copy === undefined) {
      this.#read(from.node)
      return
    }
    const { number } = frame
    if (frame.type === 'changes' && copy.reading) {
      if (copy.buffered.length >= bufferedMax) copy.buffered.shift()
      copy.buffered.push({ run: from.run, number, changes: frame.changes })
    } else if (copy.reading) return
    else if (copy.run !== from.run) this.#read(from.node)
    else if (frame.type === 'changes' && number === copy.number + 1) this.#apply(from, copy, number, frame.changes)
    else if (number > copy.number) this.#read(from.node)
    else this.#tellTaken(from, copy.number)
  }

  #apply(from: Member, copy: Copy, number: number, changes: readonly Change[]): void {
    for (const [filter, value] of changes) this.#table.set(from.node, filter, value)
    copy.number = number
    this.#tellTaken(from, number)
  }

  #tellTaken(to: Member, number: number): void {
    this.#meeting.bus.send(to, 'interest', encodeInterestFrame({ type: 'taken', number }))
  }

  #readAll(): void {
    for (const { node } of this.#meeting.known()) this.#read(node)
    this.#checkLoaded()
  }

  #read(node: string): void {
    if (this.#stopped) return
    let copy = this.#copies.get(node)
    if (copy === undefined) {
      copy = { run: '', generation: 0, number: 0, reading: false, buffered: [] }
      this.#copies.set(node, copy)
      this.#unknown.add(node)
    }
    if (copy.reading) return
    copy.reading = true
    clearTimeout(this.#retries.get(node))
    void this.#readNow(node, copy)
  }

  async #readNow(node: string, copy: Copy): Promise<void> {
    let isDone = false
    try {
      isDone = await this.#readHash(node, copy)
    } catch (error) {
      this.#log.debug({ node, error: errorText(error) }, 'the interest of a node could not be read')
    }
    copy.reading = false
    const member = this.#meeting.member(node)
    if (isDone) isDone = this.#applyBuffered(node, copy, member)
    copy.buffered = []
    if (!isDone) {
      // When Redis is back all are read.
      if (this.#meeting.isUp && !this.#stopped && this.#copies.get(node) === copy) this.#readLater(node)
      return
    }
    if (member !== undefined && member.run === copy.run) this.#tellTaken(member, copy.number)
    this.#unknown.delete(node)
    this.#checkLoaded()
  }

  #readLater(node: string): void {
    clearTimeout(this.#retries.get(node))
    this.#retries.set(
      node,
      setTimeout(() => this.#read(node), retryMs),
    )
  }

  /** False: it changed too much while it was read, or the node that is there has not written it yet. */
  async #readHash(node: string, copy: Copy): Promise<boolean> {
    const { redis } = this.#meeting
    const key = this.#meeting.key('interest', node)
    const before = parseMeta(await redis.hget(key, metaField))
    const live = this.#meeting.live().find((member) => member.node === node)
    if (before === undefined) {
      // Whoever is there writes it anew. For whoever is away, those do who know: Redis lost it.
      if (live !== undefined) return false
      if (copy.run !== '') await this.#restore(node, copy)
      else if (performance.now() - this.#upAt < lateMs) return false
      else this.#wantEverything(node)
      return true
    }
    if (live !== undefined && live.run !== before.run) return false
    if (isOlder(before, copy)) {
      // Redis came back as it was a while ago. Whoever is there writes it anew; for whoever is away, those do who know.
      if (live !== undefined) return false
      await this.#restore(node, copy, `${before.run} ${before.generation} ${before.number}`)
      return true
    }
    if (before.run === copy.run && before.generation === copy.generation && before.number === copy.number) return true
    const seen = new Set<string>()
    let meta: Meta | undefined = before
    if ((await redis.hlen(key)) <= wholeFields) {
      const whole = await redis.hgetall(key)
      meta = parseMeta(whole[metaField])
      for (const [filter, value] of Object.entries(whole)) this.#takeField(node, filter, value, seen)
    } else {
      let cursor = '0'
      do {
        const [next, fields] = await redis.hscan(key, cursor, 'COUNT', pageFields)
        for (let index = 0; index + 1 < fields.length; index += 2) {
          this.#takeField(node, fields[index]!, fields[index + 1]!, seen)
        }
        cursor = next
      } while (cursor !== '0')
      const after = parseMeta(await redis.hget(key, metaField))
      if (after?.run !== before.run || after.generation !== before.generation) return false
    }
    if (meta === undefined || meta.run !== before.run) return false
    await this.#dropUnseen(node, seen)
    copy.run = meta.run
    copy.generation = meta.generation
    copy.number = meta.number
    return true
  }

  /** It may have sessions that wait for messages: they are kept for it, within the bounds of its outbox. */
  #wantEverything(node: string): void {
    this.#log.warn({ node }, 'nobody knows what this node wants; all messages are kept for it until it is back')
    this.#table.set(node, everything.filter, everything.value)
  }

  /** Unless it is there by now. All who know write the same. */
  async #restore(node: string, copy: Copy, instead = ''): Promise<void> {
    const { redis } = this.#meeting
    const fresh = this.#meeting.key('interest', node, this.#meeting.self.run)
    const meta = `${copy.run} ${copy.generation} ${copy.number}`
    let fields = new Map([[metaField, meta]])
    await redis.del(fresh)
    for (const [filter, value] of this.#table.entriesOf(node)) {
      fields.set(filter, value)
      if (fields.size < pageFields) continue
      await redis.hset(fresh, fields)
      fields = new Map([[metaField, meta]])
    }
    await redis.hset(fresh, fields)
    await replaceScript.run(redis, [fresh, this.#meeting.key('interest', node)], [metaField, instead])
  }

  #takeField(node: string, filter: string, value: string, seen: Set<string>): void {
    if (filter === metaField) return
    seen.add(filter)
    this.#table.set(node, filter, value)
  }

  async #dropUnseen(node: string, seen: ReadonlySet<string>): Promise<void> {
    let turn = 0
    for (const [filter] of [...this.#table.entriesOf(node)]) {
      if (!seen.has(filter)) this.#table.set(node, filter, '')
      turn += 1
      if (turn % pageFields === 0) await new Promise((resolve) => setImmediate(resolve))
    }
  }

  /** What came while it was read, in its order. False: one is missing. */
  #applyBuffered(node: string, copy: Copy, member: Member | undefined): boolean {
    for (const { run, number, changes } of copy.buffered) {
      if (run !== copy.run) return false
      if (number <= copy.number) continue
      if (number !== copy.number + 1) return false
      for (const [filter, value] of changes) this.#table.set(node, filter, value)
      copy.number = number
    }
    return member === undefined || member.run === copy.run || !this.#meeting.live().includes(member)
  }

  #checkLoaded(): void {
    if (this.#isLoaded || this.#unknown.size > 0 || !this.#meeting.isUp) return
    this.#isLoaded = true
    for (const done of this.#onLoaded.splice(0)) done()
  }

  #forget(node: string): void {
    clearTimeout(this.#retries.get(node))
    this.#copies.delete(node)
    this.#unknown.delete(node)
    this.#table.forget(node)
    this.#checkLoaded()
  }
}

/** Of what this node has taken up from the same run. */
function isOlder({ run, generation, number }: Meta, copy: Copy): boolean {
  return run === copy.run && (generation < copy.generation || (generation === copy.generation && number < copy.number))
}

/** Undefined: there is none. */
function parseMeta(text: string | null | undefined): Meta | undefined {
  const [run, generation, number] = (text ?? '').split(' ')
  if (run === undefined || number === undefined) return undefined
  return { run, generation: Number(generation), number: Number(number) }
}
