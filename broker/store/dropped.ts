// What fell off a bounded stream: which messages a reader at a given position has missed.

/** A run is three numbers: first and last sequence number, and how many messages were dropped there. */
const stride = 3

/**
 * So many runs are remembered for a stream in memory. Above it the older half is blurred: a reader in the midst of a
 * blurred run gets an estimate. Neighbours in the log are one run, so a stream that has the log for itself needs one.
 */
export const rememberedRuns = 16_384
/** On disk, and in memory when all streams together remember too many: the newest runs, and the older ones blurred. */
export const newestRuns = 128
const blurredRuns = 32

/** Messages that were dropped. */
export interface Run {
  readonly first: number
  readonly last: number
  readonly count: number
  /** False: blurred, and not every number between first and last was dropped. */
  readonly isSolid: boolean
}

/**
 * Runs of dropped messages, oldest first. Exact for a reader that has seen none or all of a run, and for every reader
 * where the run is not blurred.
 */
export class Dropped {
  #runs: number[]

  constructor(runs: readonly number[] = []) {
    this.#runs = [...runs]
  }

  /** For the disk. */
  get condensed(): readonly number[] {
    return condense(this.#runs, newestRuns)
  }

  /** How many runs. */
  get length(): number {
    return this.#runs.length / stride
  }

  /** Sequence numbers come in ascending order. */
  add(sequence: number): void {
    const runs = this.#runs
    const end = runs.length
    if (end > 0 && runs[end - 2]! + 1 === sequence && isSolid(runs, end - stride)) {
      runs[end - 2] = sequence
      runs[end - 1]! += 1
      return
    }
    runs.push(sequence, sequence, 1)
    if (this.length > rememberedRuns) this.condense(rememberedRuns / 2)
  }

  /** Keeps so many of the newest runs as they are, and blurs the older ones. */
  condense(newest: number): void {
    this.#runs = condense(this.#runs, newest)
  }

  /** What was dropped above `after` and not above `through`, each run cut to this range; nothing if that is empty. */
  *between(after: number, through: number): IterableIterator<Run> {
    const runs = this.#runs
    for (let index = this.#firstAbove(after); index < runs.length; index += stride) {
      const [first, last, all] = [runs[index]!, runs[index + 1]!, runs[index + 2]!]
      if (first > through) return
      const beyond = last <= through ? 0 : shareAfter(first, last, all, through)
      const count = shareAfter(first, last, all, after) - beyond
      if (count <= 0) continue
      // A part of a blurred run may have as many as it has numbers, and is blurred all the same.
      yield { first: Math.max(first, after + 1), last: Math.min(last, through), count, isSolid: isSolid(runs, index) }
    }
  }

  /** Nobody will ask for what lies at or below this sequence number. */
  forget(upTo: number): void {
    const index = this.#firstAbove(upTo)
    if (index > 0) this.#runs = this.#runs.slice(index)
    const [first, last, count] = this.#runs
    if (first === undefined || first > upTo) return
    const left = shareAfter(first, last!, count!, upTo)
    // What is left of a blurred run stays blurred, also if it has as many as it has numbers.
    const staysBlurred = left === last! - upTo && !isSolid(this.#runs, 0)
    this.#runs[0] = staysBlurred ? upTo : upTo + 1
    this.#runs[2] = left
  }

  /** Where the first run stands whose end is above this sequence number. */
  #firstAbove(sequence: number): number {
    let low = 0
    let high = this.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#runs[middle * stride + 1]! <= sequence) low = middle + 1
      else high = middle
    }
    return low * stride
  }
}

function isSolid(runs: readonly number[], index: number): boolean {
  return runs[index + 1]! - runs[index]! + 1 === runs[index + 2]
}

/** The older runs become at most `blurredRuns`, of about the same count each, whatever their number was. */
function condense(runs: readonly number[], newest: number): number[] {
  const kept = Math.max(0, runs.length - newest * stride)
  if (kept <= blurredRuns * stride) return [...runs]
  let total = 0
  for (let index = 2; index < kept; index += stride) total += runs[index]!
  const enough = total / blurredRuns
  const condensed: number[] = []
  let first = runs[0]!
  let count = 0
  for (let index = 0; index < kept; index += stride) {
    if (count === 0) first = runs[index]!
    count += runs[index + 2]!
    if (count < enough && index + stride < kept) continue
    condensed.push(first, runs[index + 1]!, count)
    count = 0
  }
  for (let index = kept; index < runs.length; index += 1) condensed.push(runs[index]!)
  return condensed
}

/** Exact where the run is solid. At least one, because the last of the run lies above. */
function shareAfter(first: number, last: number, count: number, sequence: number): number {
  if (sequence < first) return count
  return Math.max(1, Math.round((count * (last - sequence)) / (last - first + 1)))
}
