// Many deadlines on one timer: things that shall happen at a time, however far away, to the second or finer.

export class Deadlines<T> {
  readonly #buckets = new Map<number, Set<T>>()
  readonly #places = new Map<T, number>()
  readonly #bucketMs: number
  #next: number

  constructor(bucketMs = 1_000) {
    this.#bucketMs = bucketMs
    this.#next = this.#bucketOf(Date.now())
  }

  /** Sets or moves the deadline of a thing; `at` in milliseconds since 1970. One in the past is due at once. */
  set(thing: T, at: number): void {
    this.clear(thing)
    const place = Math.max(this.#bucketOf(at) + 1, this.#next)
    const bucket = this.#buckets.get(place) ?? new Set()
    this.#buckets.set(place, bucket)
    bucket.add(thing)
    this.#places.set(thing, place)
  }

  clear(thing: T): void {
    const place = this.#places.get(thing)
    if (place === undefined) return
    this.#places.delete(thing)
    const bucket = this.#buckets.get(place)
    bucket?.delete(thing)
    if (bucket?.size === 0) this.#buckets.delete(place)
  }

  /** Takes out what is due; never early, at most a bucket late if it is asked so often. */
  due(now: number): T[] {
    const last = this.#bucketOf(now)
    const found: T[] = []
    // After a long sleep of the machine there may be more empty places than buckets.
    const places =
      last - this.#next > this.#buckets.size
        ? [...this.#buckets.keys()].filter((place) => place <= last).sort((a, b) => a - b)
        : Array.from({ length: Math.max(0, last - this.#next + 1) }, (_, index) => this.#next + index)
    for (const place of places) {
      for (const thing of this.#buckets.get(place) ?? []) {
        found.push(thing)
        this.#places.delete(thing)
      }
      this.#buckets.delete(place)
    }
    this.#next = Math.max(this.#next, last + 1)
    return found
  }

  #bucketOf(at: number): number {
    return Math.floor(at / this.#bucketMs)
  }
}
