// Who may knock: rates of one client id, and pauses after wrong passwords, before anything is hashed.
import type { LimitsConfig } from '../config/schema.ts'
import type { Refusal } from '../protocol/host.ts'
import { reason } from '../protocol/reason-codes.ts'

/** Entries that are remembered; over it all are forgotten, which lets in more, never less. */
const remembered = 100_000

interface Bucket {
  tokens: number
  at: number
}

interface Failures {
  count: number
  since: number
  bannedUntil: number
}

export class Admission {
  readonly #limits: LimitsConfig
  #buckets = new Map<string, Bucket>()
  #failures = new Map<string, Failures>()

  constructor(limits: LimitsConfig) {
    this.#limits = limits
  }

  check(clientId: string, username: string | undefined, address: string): Refusal | undefined {
    const banned = this.banned(username, address)
    if (banned !== undefined) return banned
    // Not by the client id alone: a stranger who knows it could keep its owner out.
    if (!this.#take(`${clientId}\u0000${keyOf(username, address)}`, Date.now())) {
      return { refused: reason.connectionRateExceeded, because: 'this client id connects too often' }
    }
    return undefined
  }

  banned(username: string | undefined, address: string): Refusal | undefined {
    const bannedUntil = this.#failures.get(keyOf(username, address))?.bannedUntil ?? 0
    return bannedUntil > Date.now() ? { refused: reason.banned, because: 'too many wrong passwords' } : undefined
  }

  loginFailed(username: string | undefined, address: string): void {
    const { perMinute, banS } = this.#limits.failedLogins
    if (perMinute === 0) return
    const now = Date.now()
    const key = keyOf(username, address)
    const known = this.#failures.get(key)
    const failures =
      known !== undefined && now - known.since < 60_000 ? known : { count: 0, since: now, bannedUntil: 0 }
    failures.count += 1
    if (failures.count >= perMinute) failures.bannedUntil = now + banS * 1000
    if (this.#failures.size >= remembered) this.#failures = new Map()
    this.#failures.set(key, failures)
  }

  /** Forgets who has been quiet. Called now and then. */
  forgetOld(): void {
    const now = Date.now()
    const { perS, burst } = this.#limits.connectsPerClient
    const fullAfterMs = (burst / perS) * 1000
    for (const [key, bucket] of this.#buckets) if (now - bucket.at > fullAfterMs) this.#buckets.delete(key)
    for (const [key, { since, bannedUntil }] of this.#failures) {
      if (now - since > 60_000 && bannedUntil < now) this.#failures.delete(key)
    }
  }

  #take(key: string, now: number): boolean {
    const { perS, burst } = this.#limits.connectsPerClient
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

function keyOf(username: string | undefined, address: string): string {
  return `${username ?? ''}\u0000${address}`
}
