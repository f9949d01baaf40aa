// The bans of all nodes: told to those that are alive at once, and kept in Redis for those that are away or start later.
// Each node has them all on its own disk, so what Redis loses they write again.
import { type Bans, type BanWord, candidateOf, isForgettable, isLater, keyOf, readBanWord } from '../bans.ts'
import { errorText } from '../errors.ts'
import type { PluginLog } from '../plugin.ts'
import type { ClusterBans, ClusterHouse } from './cluster.ts'
import type { NodeEnded } from './cluster-status.ts'
import type { Meeting, Member } from './meeting.ts'
import { RedisScript } from './redis-script.ts'
import { sealBytes } from './seal.ts'

const question = 'bans'
const answerMs = 2_000
/** So often a node looks whether it missed something: one GET. */
const lookEveryMs = 2_000
/** A start waits no longer for what Redis has. */
const startMs = 5_000
/** In one command. */
const pageWords = 500
/** Before the word in JSON: when it was said, and of two of one moment a ban above its removal. Redis compares it. */
const orderBytes = 16

/**
 * KEYS: bans, their version. ARGV: the clock, then field and word in turn. Returns the version: it goes up with each change,
 * and begins at the clock, so that it never comes again when Redis has lost it.
 */
const keepScript = new RedisScript(`
local isChanged = false
for i = 2, #ARGV, 2 do
  local held = redis.call('HGET', KEYS[1], ARGV[i])
  local from, to = ${sealBytes} + 1, ${sealBytes} + ${orderBytes}
  if not held or string.sub(held, from, to) <= string.sub(ARGV[i + 1], from, to) then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
    isChanged = true
  end
end
if isChanged then
  if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('SET', KEYS[2], ARGV[1]) end
  redis.call('INCR', KEYS[2])
end
return tonumber(redis.call('GET', KEYS[2]) or '0')
`)

interface Told {
  readonly words: readonly unknown[]
  /** Of Redis, with them; undefined: they could not be written there. */
  readonly version?: number | undefined
}

export class SharedBans implements ClusterBans {
  readonly #bans: Bans
  readonly #log: PluginLog
  #meeting: Meeting | undefined
  #house: ClusterHouse | undefined
  /** Of Redis: all up to it is known here. Undefined: not looked yet. */
  #version: number | undefined
  #looking: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(bans: Bans, log: PluginLog) {
    this.#bans = bans
    this.#log = log
  }

  /** Before the first connection to Redis. */
  enter(meeting: Meeting, house: ClusterHouse): void {
    this.#meeting = meeting
    this.#house = house
    meeting.bus.answer(question, async (from, body) => {
      const { words, version } = body as Told
      const ended = await this.#take(
        words.flatMap((word) => readBanWord(word) ?? []),
        from.node,
      )
      this.#sawVersion(version)
      return { ended }
    })
    meeting.on('up', () => {
      this.#version = undefined
      void this.#look()
    })
  }

  /** Resolves when the bans of the others are in force here, or after some seconds: then it goes on beside. */
  async start(): Promise<void> {
    this.#timer = setInterval(() => void this.#look(), lookEveryMs).unref()
    let late: NodeJS.Timeout | undefined
    await Promise.race([
      this.#look(),
      new Promise((resolve) => {
        late = setTimeout(resolve, startMs)
      }),
    ])
    clearTimeout(late)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  async tell(words: readonly BanWord[]): Promise<readonly NodeEnded[]> {
    const meeting = this.#meeting
    if (meeting === undefined || words.length === 0) return []
    const version = await this.#keep(meeting, words).catch((error: unknown) => {
      this.#log.info({ error: errorText(error) }, 'a ban could not be written to redis yet')
      return undefined
    })
    return Promise.all(meeting.known().map((member) => this.#tellOne(meeting, member, { words, version })))
  }

  async #tellOne(meeting: Meeting, member: Member, told: Told): Promise<NodeEnded> {
    const { node } = member
    try {
      const { ended } = (await meeting.bus.ask(member, question, told, answerMs)) as { ended: number }
      return { node, ended, problem: undefined }
    } catch (error) {
      return { node, ended: 0, problem: errorText(error) }
    }
  }

  /** In force here; how many connections it ended. */
  async #take(words: readonly BanWord[], node: string): Promise<number> {
    const merging = this.#bans.merge(words)
    // It holds from here on, whatever becomes of the file.
    const ended = this.#house?.endAll((client) => this.#bans.find(candidateOf(client)) !== undefined, 'banned') ?? 0
    const fresh = await merging
    if (fresh.length === 0) return ended
    this.#log.info({ audit: 'admin', node, bans: fresh.length, ended }, 'bans of another node taken up')
    return ended
  }

  /** One at a time. Never rejects. */
  #look(): Promise<void> {
    this.#looking ??= this.#lookOnce()
      .catch((error: unknown) => {
        this.#log.info({ error: errorText(error) }, 'the bans in redis could not be compared yet')
      })
      .finally(() => {
        this.#looking = undefined
      })
    return this.#looking
  }

  async #lookOnce(): Promise<void> {
    const meeting = this.#meeting
    if (meeting?.isUp !== true) return
    const version = Number(await meeting.redis.get(meeting.key('bans-version')))
    if (version === this.#version) return
    const theirs = await this.#read(meeting)
    await this.#take([...theirs.values()], 'redis')
    this.#version = version
    const missing = [...this.#bans.words()].filter((word) => isLater(word, theirs.get(keyOf(word))))
    for (let from = 0; from < missing.length; from += pageWords) {
      await this.#keep(meeting, missing.slice(from, from + pageWords))
    }
  }

  /** Takes out what is of no use there. */
  async #read(meeting: Meeting): Promise<Map<string, BanWord>> {
    const { redis } = meeting
    const hash = meeting.key('bans')
    const words = new Map<string, BanWord>()
    const now = Date.now()
    let cursor = '0'
    do {
      const [next, fields] = await redis.hscanBuffer(hash, cursor, 'COUNT', pageWords)
      const useless: Buffer[] = []
      for (let index = 0; index + 1 < fields.length; index += 2) {
        const word = unseal(meeting, fields[index]!, fields[index + 1]!)
        if (word === undefined || isForgettable(word, now)) useless.push(fields[index]!)
        else words.set(keyOf(word), word)
      }
      if (useless.length > 0) await redis.hdel(hash, ...useless)
      cursor = next.toString()
    } while (cursor !== '0')
    return words
  }

  async #keep(meeting: Meeting, words: readonly BanWord[]): Promise<number> {
    const keys = [meeting.key('bans'), meeting.key('bans-version')]
    const values = words.flatMap((word) => [keyOf(word), seal(meeting, word)])
    const version = Number(await keepScript.run(meeting.redis, keys, [String(Date.now()), ...values]))
    this.#sawVersion(version)
    return version
  }

  /** It came with all that is new in it; where one between was missed the next look finds it. */
  #sawVersion(version: number | undefined): void {
    if (this.#version !== undefined && version === this.#version + 1) this.#version = version
  }
}

function seal(meeting: Meeting, word: BanWord): Buffer {
  const order = `${String(word.since).padStart(orderBytes - 1, '0')}${word.removed === true ? 0 : 1}`
  return meeting.streamSeal.seal(contextOf(keyOf(word)), Buffer.from(`${order}${JSON.stringify(word)}`))
}

/** Undefined: not ours. */
function unseal(meeting: Meeting, field: Buffer, sealed: Buffer): BanWord | undefined {
  const body = meeting.streamSeal.open(contextOf(field.toString()), sealed)
  const word = body && readBanWord(parse(body.toString('utf8', orderBytes)))
  if (word !== undefined && keyOf(word) === field.toString()) return word
  meeting.refused('ban')
  return undefined
}

/** Undefined: no JSON. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function contextOf(key: string): string[] {
  return ['bans', 'word', key]
}
