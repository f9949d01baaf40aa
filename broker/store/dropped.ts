// What fell off a bounded stream: how many messages a reader at a given position has missed.

/** At most so many runs are remembered for a stream; neighbours are joined above it, which blurs the middle, never the ends. */
const runsMax = 32

/** Numbers for each run: first and last sequence number, and how many messages were dropped there. */
const stride = 3

/**
 * Runs of dropped messages, oldest first. Exact for a reader that has seen none or all of what was dropped, and for
 * the latest runs; for a reader in the midst of a joined run the share is estimated.
 */
export class Dropped {
  readonly #runs: number[]

  constructor(runs: readonly number[] = []) {
    this.#runs = [...runs]
  }

  /** For the disk. */
  get runs(): readonly number[] {
    return this.#runs
  }

  get isEmpty(): boolean {
    return this.#runs.length === 0
  }

  /** Sequence numbers come in ascending order. */
  add(sequence: number): void {
    this.#runs.push(sequence, sequence, 1)
    if (this.#runs.length > runsMax * stride) this.#joinSmallest()
  }

  /** How many were dropped above this sequence number. */
  countAfter(sequence: number): number {
    let count = 0
    for (let index = this.#runs.length - stride; index >= 0; index -= stride) {
      const last = this.#runs[index + 1]!
      if (last <= sequence) break
      count += shareAfter(this.#runs[index]!, last, this.#runs[index + 2]!, sequence)
    }
    return count
  }

  countBetween(after: number, through: number): number {
    return after >= through ? 0 : this.countAfter(after) - this.countAfter(through)
  }

  /** Nobody will ask for what lies at or below this sequence number. */
  forget(upTo: number): void {
    while (this.#runs.length > 0 && this.#runs[1]! <= upTo) this.#runs.splice(0, stride)
    const [first, last, count] = this.#runs
    if (first === undefined || first > upTo) return
    this.#runs[0] = upTo + 1
    this.#runs[2] = shareAfter(first, last!, count!, upTo)
  }

  #joinSmallest(): void {
    let best = 0
    let bestCount = Number.POSITIVE_INFINITY
    for (let index = 0; index + stride < this.#runs.length; index += stride) {
      const count = this.#runs[index + 2]! + this.#runs[index + 5]!
      if (count < bestCount) {
        best = index
        bestCount = count
      }
    }
    this.#runs.splice(best, 2 * stride, this.#runs[best]!, this.#runs[best + 4]!, bestCount)
  }
}

/** At least one, because the last of the run lies above. */
function shareAfter(first: number, last: number, count: number, sequence: number): number {
  if (sequence < first) return count
  return Math.max(1, Math.round((count * (last - sequence)) / (last - first + 1)))
}
