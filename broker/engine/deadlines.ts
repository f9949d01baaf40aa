// Many deadlines on one timer: things that shall happen at a time, to the second.

const bucketMs = 1_000

export class Deadlines<T> {
  readonly #buckets = new Map<number, Set<T>>()
  readonly #places = new Map<T, number>()
  #next = bucketOf(Date.now())

  /** Sets or moves the deadline of a thing; `at` in milliseconds since 1970. One in the past is due at once. */
  set(thing: T, at: number): void {
    this.clear(thing)
    const place = Math.max(bucketOf(at) + 1, this.#next)
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

  /** Takes out what is due; never early, at most a second late if it is asked every second. */
  due(now: number): T[] {
    const last = bucketOf(now)
    const found: T[] = []
    // After a long sleep of the machine there may be more empty seconds than buckets.
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
}

function bucketOf(at: number): number {
  return Math.floor(at / bucketMs)
}
