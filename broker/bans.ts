// Who is kept out by name: users, client ids, addresses and ranges of them, each with an end if it has one. In a file of the
// data folder, so that it survives a restart; without one in memory.
import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { addressList, canonicalAddress, plainAddress } from './address.ts'
import { OrioleError } from './errors.ts'
import { replaceFile } from './replace-file.ts'

/** Whom a ban names. */
export const banKinds = ['user', 'client', 'address'] as const
export type BanKind = (typeof banKinds)[number]

/** In the data folder. */
export const bansFileName = 'bans.json'

const banSchema = z.strictObject({
  kind: z.enum(banKinds),
  /** An address may be a range: `10.0.0.0/8`. */
  value: z.string().min(1).max(1_024),
  /** In milliseconds since 1970; left out: until it is removed. */
  until: z.number().optional(),
  because: z.string().max(1_024).optional(),
  since: z.number(),
})
const fileSchema = z.strictObject({ format: z.literal(1), bans: z.array(banSchema) })

export type Ban = z.infer<typeof banSchema>

/** Over it no more are taken: each CONNECT looks at them. */
export const bansMax = 100_000

/** Whom a ban is for. */
export interface Candidate {
  readonly clientId: string
  /** Undefined: not known yet. */
  readonly username: string | undefined
  readonly address: string
}

export class Bans {
  readonly #path: string | undefined
  readonly #bans = new Map<string, Ban>()
  /** Made anew after each change. */
  #isBanned: ((address: string) => boolean) | undefined
  #writing: Promise<void> = Promise.resolve()

  private constructor(path: string | undefined, bans: readonly Ban[]) {
    this.#path = path
    for (const ban of bans) this.#bans.set(keyOf(ban), ban)
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
        bans.map((ban) => ({ ...ban, value: checkBan(ban.kind, ban.value) })),
      )
    } catch (error) {
      throw unreadable(path, error)
    }
  }

  get size(): number {
    return this.#bans.size
  }

  /** Those that hold, the oldest first. */
  list(now = Date.now()): readonly Ban[] {
    return [...this.#bans.values()].filter((ban) => isOn(ban, now))
  }

  /** The ban that keeps this one out; undefined: none. */
  find({ clientId, username, address }: Candidate, now = Date.now()): Ban | undefined {
    if (this.#bans.size === 0) return undefined
    const named = [this.#bans.get(`client ${clientId}`), username && this.#bans.get(`user ${username}`)]
    for (const ban of named) if (typeof ban === 'object' && isOn(ban, now)) return ban
    const plain = plainAddress(address)
    if (!this.#blocks(plain)) return undefined
    return this.list(now).find(({ kind, value }) => kind === 'address' && addressList([value])(plain))
  }

  /** Resolves when it is on the disk. It holds before that. Replaces one for the same. */
  add(ban: Ban): Promise<void> {
    for (const [key, { until = Number.POSITIVE_INFINITY }] of this.#bans) if (until < ban.since) this.#bans.delete(key)
    if (this.#bans.size >= bansMax && !this.#bans.has(keyOf(ban))) {
      throw new OrioleError(
        'ORI_BAN_INVALID',
        `there are ${bansMax} bans already; remove some, or ban a range of addresses`,
      )
    }
    this.#bans.set(keyOf(ban), ban)
    return this.#changed()
  }

  /** False: there was none. */
  async remove(kind: BanKind, value: string): Promise<boolean> {
    const was = this.#bans.delete(keyOf({ kind, value }))
    if (was) await this.#changed()
    return was
  }

  #blocks(address: string): boolean {
    const banned = () => [...this.#bans.values()].flatMap(({ kind, value }) => (kind === 'address' ? [value] : []))
    this.#isBanned ??= addressList(banned())
    return this.#isBanned(address)
  }

  #changed(): Promise<void> {
    this.#isBanned = undefined
    const path = this.#path
    if (path === undefined) return Promise.resolve()
    const write = () => replaceFile(path, `${JSON.stringify({ format: 1, bans: [...this.#bans.values()] })}\n`)
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

function isOn({ until = Number.POSITIVE_INFINITY }: Ban, now: number): boolean {
  return now < until
}

function keyOf({ kind, value }: Pick<Ban, 'kind' | 'value'>): string {
  return `${kind} ${value}`
}

function unreadable(path: string, cause: unknown): OrioleError {
  const message = `${path} cannot be understood, so nobody knows who is banned; repair it, or move it away and ban anew`
  return new OrioleError('ORI_BAN_FILE', message, { cause })
}
