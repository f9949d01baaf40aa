// How long messages took, from the clock in their payload: the percentiles of a run.

/** The first bytes of a payload: when it was sent, and a number. */
export const stampBytes = 12

export class Latencies {
  readonly #ms: number[] = []

  get count(): number {
    return this.#ms.length
  }

  note(payload: Buffer): void {
    this.#ms.push(performance.now() - payload.readDoubleBE(0))
  }

  add(others: Latencies): void {
    for (const ms of others.#ms) this.#ms.push(ms)
  }

  /** In milliseconds; `share` from 0 to 1. NaN without a message. */
  percentile(share: number): number {
    if (this.#ms.length === 0) return Number.NaN
    const sorted = Float64Array.from(this.#ms).sort()
    return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]! * 10) / 10
  }

  clear(): void {
    this.#ms.length = 0
  }
}

/** A payload of `bytes` bytes with the time and a number. The clock is that of this process. */
export function stamped(number: number, bytes = 64): Buffer {
  const payload = Buffer.alloc(Math.max(bytes, stampBytes), 0x78)
  payload.writeDoubleBE(performance.now(), 0)
  payload.writeUInt32BE(number, 8)
  return payload
}

export function numberOf(payload: Buffer): number {
  return payload.readUInt32BE(8)
}
