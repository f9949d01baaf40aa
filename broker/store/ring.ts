// One stream's queue: which messages of the log it holds, oldest first, in 24 bytes for each.

/** Numbers for each entry: sequence number, bytes, when it was published. */
const stride = 3

/** The part of an array before `head` is gone; it is cut off when it is the larger half. */
export class Ring {
  #entries: number[] = []
  #head = 0
  bytes = 0

  get length(): number {
    return this.#entries.length / stride - this.#head
  }

  /** The oldest sequence number; undefined when empty. */
  get first(): number | undefined {
    return this.#entries[this.#head * stride]
  }

  get firstBytes(): number {
    return this.#entries[this.#head * stride + 1] ?? 0
  }

  get firstPublishedAt(): number | undefined {
    return this.#entries[this.#head * stride + 2]
  }

  /** The newest sequence number; undefined when empty. */
  get last(): number | undefined {
    return this.length === 0 ? undefined : this.#entries[this.#entries.length - stride]
  }

  push(sequence: number, bytes: number, publishedAt: number): void {
    this.#entries.push(sequence, bytes, publishedAt)
    this.bytes += bytes
  }

  /** Takes out the oldest and returns its sequence number. */
  shift(): number | undefined {
    const start = this.#head * stride
    const sequence = this.#entries[start]
    if (sequence === undefined) return undefined
    this.bytes -= this.#entries[start + 1]!
    this.#head += 1
    if (this.#head > 32 && this.#head * stride * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head * stride)
      this.#head = 0
    }
    return sequence
  }

  /** Takes out the newest and returns its sequence number. */
  pop(): number | undefined {
    if (this.length === 0) return undefined
    const [sequence, bytes] = this.#entries.splice(-stride)
    this.bytes -= bytes!
    return sequence
  }

  /** The index, to be used with `at`, of the first entry above this sequence number. */
  indexAfter(sequence: number): number {
    let low = this.#head
    let high = this.#entries.length / stride
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#entries[middle * stride]! <= sequence) low = middle + 1
      else high = middle
    }
    return low
  }

  /** The sequence number at an index of `indexAfter` or above; undefined past the end. */
  at(index: number): number | undefined {
    return this.#entries[index * stride]
  }
}
