// Random numbers from a printed seed, so that a failing random test can be repeated.
import type { TestContext } from 'node:test'

export class Random {
  readonly seed: number
  #state: number

  constructor(seed: number) {
    this.seed = seed
    this.#state = seed >>> 0
  }

  /** A whole number in [0, below): mulberry32. */
  below(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296) * below)
  }

  chance(oneIn = 2): boolean {
    return this.below(oneIn) === 0
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!
  }

  bytes(below: number): Buffer {
    return Buffer.from(Array.from({ length: this.below(below) }, () => this.below(256)))
  }
}

/** Takes the seed from the environment (SEED) to repeat a run, and prints it. */
export function seeded(t: TestContext): Random {
  const random = new Random(Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32)))
  t.diagnostic(`SEED=${random.seed}`)
  return random
}
