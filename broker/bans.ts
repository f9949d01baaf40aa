// Who is kept out by name: users, client ids, addresses and ranges of them, each with an end if it has one. In a file of the
// data folder, so that it survives a restart; without one in memory. Nodes of a cluster tell each other (cluster/shared-bans.ts).
import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { addressList, canonicalAddress, plainAddress } from './address.ts'
import { OrioleError } from './errors.ts'
import type { ClientInfo } from './plugin.ts'
import { replaceFile } from './replace-file.ts'

/** Whom a ban names. */
export const banKinds = ['user', 'client', 'address'] as const
export type BanKind = (typeof banKinds)[number]

/** In the data folder. */
export const bansFileName = 'bans.json'

/**
 * A ban, or with `removed` that there is none any more. Of two for the same the later one counts, on each node: so what has
 * ended is remembered for a while, lest a node that was away brings back what was before it.
 */
export const banWordSchema = z.strictObject({
  kind: z.enum(banKinds),
  /** An address may be a range: `10.0.0.0/8`. */
  value: z.string().min(1).max(1_024),
  /** In milliseconds since 1970; left out: until it is removed. */
  until: z.number().optional(),
  because: z.string().max(1_024).optional(),
  since: z.int().nonnegative(),
  removed: z.literal(true).optional(),
})
const fileSchema = z.strictObject({ format: z.literal(1), bans: z.array(banWordSchema) })

export type BanWord = z.infer<typeof banWordSchema>
export type Ban = Omit<BanWord, 'removed'>

/** Over it no more are taken: each CONNECT looks at them. */
export const bansMax = 100_000
/** Of those that have ended; over it the oldest are forgotten. */
const endedMax = 10_000
/** A node that was away for longer may bring back a ban that was removed meanwhile. */
const endedKeptMs = 90 * 24 * 60 * 60 * 1_000

/** Whom a ban is for. */
export interface Candidate {
  readonly clientId: string
  /** Undefined: not known yet. */
  readonly username: string | undefined
  readonly address: string
}

export function candidateOf({ id, identity, address }: ClientInfo): Candidate {
  return { clientId: id, username: identity.username, address }
}

export class Bans {
  readonly #path: string | undefined
  /** By whom they are for; bans and what has ended. */
  readonly #words = new Map<string, BanWord>()
  /** Bans of ranges of addresses; made anew after each change. */
  #ranges: Ranges | undefined
  #writing: Promise<void> = Promise.resolve()

  private constructor(path: string | undefined, words: readonly BanWord[]) {
    this.#path = path
    for (const word of words) this.#words.set(keyOf(word), word)
  }

  /** Throws OrioleError when the file is there and cannot be understood: whoever was banned must not come in by that. */
  static async open(path: string | undefined): Promise<Bans> {
    if (path === undefined) return new Bans(undefined, [])
    let text: string
    try {
      text = await readFile(path, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Bans(path, [])
      throw unreadable(path, error)
    }
    try {
      const { bans } = fileSchema.parse(JSON.parse(text))
      return new Bans(
        path,
        bans.map((word) => ({ ...word, value: checkBan(word.kind, word.value) })),
      )
    } catch (error) {
      throw unreadable(path, error)
    }
  }

  /** Those that hold, the oldest first. */
  list(now = Date.now()): readonly Ban[] {
    return [...this.#words.values()].filter((word) => isOn(word, now))
  }

  /** What other nodes must know. */
  words(): Iterable<BanWord> {
    return this.#words.values()
  }

  /** The ban that keeps this one out; undefined: none. */
  find({ clientId, username, address }: Candidate, now = Date.now()): Ban | undefined {
    if (this.#words.size === 0) return undefined
    const plain = canonicalAddress(plainAddress(address)) ?? address
    const names = [`client ${clientId}`, ...(username ? [`user ${username}`] : []), `address ${plain}`]
    for (const name of names) {
      const word = this.#words.get(name)
      if (word !== undefined && isOn(word, now)) return word
    }
    return this.#rangeOf(plain, now)
  }

  /** Replaces one for the same. It holds at once. What other nodes must know; `stored` resolves when it is on the disk. */
  add(ban: Ban): { readonly word: BanWord; readonly stored: Promise<void> } {
    const { since } = ban
    this.#forget(since)
    const before = this.#words.get(keyOf(ban))
    if ((before === undefined || !isOn(before, since)) && this.list(since).length >= bansMax) {
      throw new OrioleError(
        'ORI_BAN_INVALID',
        `there are ${bansMax} bans already; remove some, or ban a range of addresses`,
      )
    }
    const word = { ...ban, since: Math.max(since, (before?.since ?? 0) + 1) }
    this.#words.set(keyOf(word), word)
    return { word, stored: this.#changed() }
  }

  /** Undefined: there was none. Else what other nodes must know, when it is on the disk. */
  async remove(kind: BanKind, value: string, now = Date.now()): Promise<BanWord | undefined> {
    const before = this.#words.get(keyOf({ kind, value }))
    if (before === undefined || !isOn(before, now)) return undefined
    const word = { kind, value, since: Math.max(now, before.since + 1), removed: true as const }
    this.#words.set(keyOf(word), word)
    this.#forget(now)
    await this.#changed()
    return word
  }

  /** Takes up what another node knows, as far as it is later than what is known here; that, when it is on the disk. */
  async merge(words: readonly BanWord[], now = Date.now()): Promise<readonly BanWord[]> {
    let room = bansMax - this.list(now).length
    const fresh: BanWord[] = []
    for (const word of words) {
      const before = this.#words.get(keyOf(word))
      if (!isLater(word, before) || isForgettable(word, now)) continue
      const isOneMore = isOn(word, now) && (before === undefined || !isOn(before, now))
      if (isOneMore && room <= 0) continue
      if (isOneMore) room -= 1
      this.#words.set(keyOf(word), word)
      fresh.push(word)
    }
    if (fresh.length === 0) return fresh
    this.#forget(now)
    await this.#changed()
    return fresh
  }

  #rangeOf(address: string, now: number): Ban | undefined {
    this.#ranges ??= rangesIn(this.#words.values())
    if (!this.#ranges.has(address)) return undefined
    return this.#ranges.each.find(({ word, has }) => isOn(word, now) && has(address))?.word
  }

  #forget(now: number): void {
    const ended = [...this.#words].filter(([, word]) => !isOn(word, now))
    ended.sort(([, one], [, other]) => endOf(other) - endOf(one))
    for (const [index, [key, word]] of ended.entries()) {
      if (index >= endedMax || isForgettable(word, now)) this.#words.delete(key)
    }
  }

  #changed(): Promise<void> {
    this.#ranges = undefined
    const path = this.#path
    if (path === undefined) return Promise.resolve()
    const write = () => replaceFile(path, `${JSON.stringify({ format: 1, bans: [...this.#words.values()] })}\n`)
    this.#writing = this.#writing.then(write, write)
    return this.#writing
  }
}

/** As it is kept, and compared; throws OrioleError when it can never fit anybody. */
export function checkBan(kind: BanKind, value: string): string {
  if (kind !== 'address') {
    if (value === '') throw new OrioleError('ORI_BAN_INVALID', `name the ${kind} that is banned`)
    return value
  }
  const [address = '', ...prefix] = value.split('/')
  const plain = [canonicalAddress(address) ?? address, ...prefix].join('/')
  try {
    addressList([plain])
    return plain
  } catch (error) {
    const message = `"${value}" is no address and no range; write 192.0.2.7 or 10.0.0.0/8`
    throw new OrioleError('ORI_BAN_INVALID', message, { cause: error })
  }
}

/** What another node wrote; undefined: it is no ban. */
export function readBanWord(value: unknown): BanWord | undefined {
  const { data } = banWordSchema.safeParse(value)
  try {
    return data && { ...data, value: checkBan(data.kind, data.value) }
  } catch {
    // No address: said above.
    return undefined
  }
}

/** Of two of one moment a ban counts more than its removal, and then the one that is the same everywhere. */
export function isLater(word: BanWord, held: BanWord | undefined): boolean {
  if (held === undefined || word.since !== held.since) return word.since > (held?.since ?? -1)
  if (word.removed !== held.removed) return held.removed === true
  return JSON.stringify(banWordSchema.parse(word)) > JSON.stringify(banWordSchema.parse(held))
}

/** It has ended so long ago that nobody needs to know of it. */
export function isForgettable(word: BanWord, now: number): boolean {
  return endOf(word) + endedKeptMs < now
}

export function keyOf({ kind, value }: Pick<Ban, 'kind' | 'value'>): string {
  return `${kind} ${value}`
}

function isOn({ until = Number.POSITIVE_INFINITY, removed }: BanWord, now: number): boolean {
  return removed !== true && now < until
}

function endOf({ until = Number.POSITIVE_INFINITY, removed, since }: BanWord): number {
  return removed === true ? since : until
}

interface Ranges {
  has(address: string): boolean
  readonly each: readonly { readonly word: BanWord; has(address: string): boolean }[]
}

function rangesIn(words: Iterable<BanWord>): Ranges {
  const ranges = [...words].filter(({ kind, value, removed }) => kind === 'address' && value.includes('/') && !removed)
  return {
    has: addressList(ranges.map(({ value }) => value)),
    each: ranges.map((word) => ({ word, has: addressList([word.value]) })),
  }
}

function unreadable(path: string, cause: unknown): OrioleError {
  const message = `${path} cannot be understood, so nobody knows who is banned; repair it, or move it away and ban anew`
  return new OrioleError('ORI_BAN_FILE', message, { cause })
}
