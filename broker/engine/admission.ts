// Who may knock: the list of bans, rates of client ids and users, and pauses for those who guess passwords or come and go.

import type { Bans } from '../bans.ts'
import type { LimitsConfig } from '../config/schema.ts'
import type { BanReason, Counts } from '../metrics/counts.ts'
import type { ClientInfo } from '../plugin.ts'
import type { Refusal } from '../protocol/host.ts'
import { reason } from '../protocol/reason-codes.ts'

/** Entries that are remembered; over it all are forgotten, which lets in more, never less. */
const remembered = 100_000

interface Bucket {
  tokens: number
  at: number
}

/** What happened too often, and until when whoever did it waits outside. */
interface Pause {
  readonly why: Exclude<BanReason, 'list'>
  count: number
  since: number
  until: number
}

const phrases: Readonly<Record<Pause['why'], string>> = {
  failed_logins: 'too many wrong passwords',
  flapping: 'it connects and disconnects too often',
}

export class Admission {
  readonly #limits: LimitsConfig
  readonly #bans: Bans
  readonly #counts: Counts
  #buckets = new Map<string, Bucket>()
  #pauses = new Map<string, Pause>()

  constructor(limits: LimitsConfig, bans: Bans, counts: Counts) {
    this.#limits = limits
    this.#bans = bans
    this.#counts = counts
  }

  /** CONNECT, before anybody is asked who it is. */
  check(clientId: string, username: string | undefined, address: string): Refusal | undefined {
    const refusal = this.#listed(clientId, username, address) ?? this.banned(username, address)
    if (refusal !== undefined) return refusal
    // Not by the client id alone: a stranger who knows it could keep its owner out.
    if (!this.#take(`${clientId}\u0000${keyOf(username, address)}`, this.#limits.connectsPerClient)) {
      return { refused: reason.connectionRateExceeded, because: 'this client id connects too often' }
    }
    return undefined
  }

  /** It has proved who it is: what holds for the user, whatever CONNECT said. */
  checkIdentity({ id, identity, address }: ClientInfo): Refusal | undefined {
    const { username } = identity
    const refusal = this.#listed(id, username, address) ?? this.#paused(flapKey(id, username, address))
    if (refusal !== undefined) return refusal
    const { connectsPerS } = this.#limits.perUser
    if (connectsPerS === 0 || username === '') return undefined
    if (this.#take(`\u0000${username}`, { perS: connectsPerS, burst: connectsPerS * burstS })) return undefined
    return { refused: reason.connectionRateExceeded, because: 'this user connects too often' }
  }

  banned(username: string | undefined, address: string): Refusal | undefined {
    return this.#paused(keyOf(username, address)) ?? this.#paused(addressKey(address))
  }

  loginFailed(username: string | undefined, address: string): void {
    const { perMinute, perAddressPerMinute, banS } = this.#limits.failedLogins
    this.#note('failed_logins', keyOf(username, address), { most: perMinute, withinS: 60, banS })
    if (address !== '') {
      this.#note('failed_logins', addressKey(address), { most: perAddressPerMinute, withinS: 60, banS })
    }
  }

  /** A connection of this client has ended. */
  left({ id, identity, address }: ClientInfo): void {
    const { connects, withinS, banS } = this.#limits.flapping
    this.#note('flapping', flapKey(id, identity.username, address), { most: connects, withinS, banS })
  }

  /** Forgets who has been quiet. Called now and then. */
  forgetOld(): void {
    const now = Date.now()
    const { perS, burst } = this.#limits.connectsPerClient
    const fullAfterMs = Math.max((burst / perS) * 1000, burstS * 1000)
    for (const [key, bucket] of this.#buckets) if (now - bucket.at > fullAfterMs) this.#buckets.delete(key)
    const withinMs = Math.max(60, this.#limits.flapping.withinS) * 1000
    for (const [key, { since, until }] of this.#pauses) {
      if (now - since > withinMs && until < now) this.#pauses.delete(key)
    }
  }

  #listed(clientId: string, username: string | undefined, address: string): Refusal | undefined {
    const ban = this.#bans.find({ clientId, username, address })
    if (ban === undefined) return undefined
    this.#counts.banned.list += 1
    return { refused: reason.banned, because: `the ${ban.kind} is banned` }
  }

  #paused(key: string): Refusal | undefined {
    const pause = this.#pauses.get(key)
    if (pause === undefined || pause.until <= Date.now()) return undefined
    this.#counts.banned[pause.why] += 1
    return { refused: reason.banned, because: phrases[pause.why] }
  }

  /** `most` 0: no limit. */
  #note(why: Pause['why'], key: string, limit: { most: number; withinS: number; banS: number }): void {
    if (limit.most === 0) return
    const now = Date.now()
    const known = this.#pauses.get(key)
    // A pause goes on, also when what began before it ends in it.
    const isFresh = known === undefined || (known.until <= now && now - known.since >= limit.withinS * 1000)
    const pause = isFresh ? { why, count: 0, since: now, until: 0 } : known
    pause.count += 1
    if (pause.count >= limit.most) pause.until = now + limit.banS * 1000
    if (this.#pauses.size >= remembered) this.#pauses = new Map()
    this.#pauses.set(key, pause)
  }

  #take(key: string, { perS, burst }: { perS: number; burst: number }): boolean {
    const now = Date.now()
    const bucket = this.#buckets.get(key) ?? { tokens: burst, at: now }
    bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.at) / 1000) * perS)
    bucket.at = now
    if (this.#buckets.size >= remembered) this.#buckets = new Map()
    this.#buckets.set(key, bucket)
    if (bucket.tokens < 1) return false
    bucket.tokens -= 1
    return true
  }
}

/** The connects of so many seconds may come at once. */
const burstS = 10

function keyOf(username: string | undefined, address: string): string {
  return `${username ?? ''}\u0000${address}`
}

/** No username has U+0000. */
function addressKey(address: string): string {
  return `\u0000\u0000${address}`
}

function flapKey(clientId: string, username: string, address: string): string {
  return `flaps\u0000${clientId}\u0000${keyOf(username, address)}`
}
