// How fast one client may publish, or those who share a pace: two leaky buckets, messages and bytes. Above the pace its socket is read more
// slowly; nothing is dropped.

export type PaceHolder = 'client' | 'user' | 'group'

export interface PaceLimits {
  /** 0: no limit. */
  readonly publishPerS: number
  readonly publishBytesPerS: number
}

export class Pace {
  readonly holder: PaceHolder
  readonly #limits: PaceLimits
  /** When all that was published would have been paid for, in milliseconds since 1970. */
  #paidAt = 0

  constructor(limits: PaceLimits, holder: PaceHolder = 'client') {
    this.holder = holder
    this.#limits = limits
  }

  /** How long to rest after this message, in milliseconds; up to a second is let through at once. */
  restMs(bytes: number, now: number): number {
    const { publishPerS, publishBytesPerS } = this.#limits
    const costMs = Math.max(
      publishPerS === 0 ? 0 : 1000 / publishPerS,
      publishBytesPerS === 0 ? 0 : (1000 * bytes) / publishBytesPerS,
    )
    this.#paidAt = Math.max(this.#paidAt, now - 1000) + costMs
    return Math.max(0, this.#paidAt - now)
  }
}

/** Undefined: there is no limit, and nothing to look at for each message. */
export function paceOf(limits: PaceLimits, holder: PaceHolder = 'client'): Pace | undefined {
  return limits.publishPerS === 0 && limits.publishBytesPerS === 0 ? undefined : new Pace(limits, holder)
}
