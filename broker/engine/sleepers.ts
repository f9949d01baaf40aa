// The sessions of a start whose clients have not come back: the store's packed records, and a few bytes for each to find it.
import { randomInt } from 'node:crypto'
import type { RecoveredSession, RecoveredSessions } from '../store/store.ts'

const minuteMs = 60_000
const none = -1

/**
 * A session costs its records and about 20 bytes, and is made when it is asked for. Found by hash tables whose chains
 * are numbers, because a map of a million names costs more than the sessions.
 */
export class Sleepers {
  readonly #found: RecoveredSessions
  readonly #byClientId: Chains
  readonly #byUsername: Chains
  /** 1: it sleeps. */
  readonly #asleep: Uint8Array
  /** By the minute in which they expire. */
  readonly #expiring = new Map<number, number[]>()
  /** What is due and was not asked for yet. */
  #due: number[] = []
  #size = 0

  constructor(found: RecoveredSessions) {
    this.#found = found
    this.#byClientId = new Chains(found.length)
    this.#byUsername = new Chains(found.length)
    this.#asleep = new Uint8Array(found.length)
  }

  get size(): number {
    return this.#size
  }

  /** `index`: its place among those that were found. */
  add(index: number, { session }: RecoveredSession, expiresAt: number): void {
    this.#byClientId.add(session.clientId, index)
    if (session.username !== '') this.#byUsername.add(session.username, index)
    const minute = Math.ceil(expiresAt / minuteMs)
    const others = this.#expiring.get(minute)
    if (others === undefined) this.#expiring.set(minute, [index])
    else others.push(index)
    this.#asleep[index] = 1
    this.#size += 1
  }

  /** It sleeps no longer. Undefined: none of this name sleeps. */
  wake(clientId: string): RecoveredSession | undefined {
    if (this.#size === 0) return undefined
    for (const index of this.#byClientId.of(clientId)) {
      const found = this.#sleeping(index)
      if (found?.session.clientId === clientId) return this.#wake(index, found)
    }
    return undefined
  }

  countOf(username: string): number {
    let count = 0
    for (const index of this.#byUsername.of(username)) {
      if (this.#sleeping(index)?.session.username === username) count += 1
    }
    return count
  }

  /** All of a user, the oldest first; they sleep no longer. */
  wakeAllOf(username: string): RecoveredSession[] {
    const woken: RecoveredSession[] = []
    for (const index of this.#byUsername.of(username)) {
      const found = this.#sleeping(index)
      if (found?.session.username === username) woken.push(this.#wake(index, found))
    }
    return woken.sort((a, b) => a.session.createdAt - b.session.createdAt)
  }

  /** At most `limit` of those that have expired, at most a minute late; they sleep no longer. */
  wakeExpired(now: number, limit: number): RecoveredSession[] {
    for (const [minute, indexes] of this.#expiring) {
      if (minute * minuteMs > now) continue
      this.#expiring.delete(minute)
      this.#due = this.#due.length === 0 ? indexes : this.#due.concat(indexes)
    }
    const woken: RecoveredSession[] = []
    while (woken.length < limit && this.#due.length > 0) {
      const index = this.#due.pop()!
      const found = this.#sleeping(index)
      if (found !== undefined) woken.push(this.#wake(index, found))
    }
    return woken
  }

  /** All that sleep, as they are when the walk comes to them. */
  *all(): IterableIterator<RecoveredSession> {
    for (let index = 0; index < this.#asleep.length && this.#size > 0; index += 1) {
      const found = this.#sleeping(index)
      if (found !== undefined) yield found
    }
  }

  #sleeping(index: number): RecoveredSession | undefined {
    return this.#asleep[index] === 1 ? this.#found.at(index) : undefined
  }

  #wake(index: number, found: RecoveredSession): RecoveredSession {
    this.#asleep[index] = 0
    this.#size -= 1
    return found
  }
}

/** Which numbers may stand for a name: those of all names with the same hash. */
class Chains {
  readonly #heads: Int32Array
  readonly #next: Int32Array
  /** Nobody outside can choose names that fall into one chain. */
  readonly #seed = randomInt(0x7fff_ffff)

  constructor(size: number) {
    this.#heads = new Int32Array(2 ** Math.ceil(Math.log2(size + 1))).fill(none)
    this.#next = new Int32Array(size)
  }

  add(name: string, index: number): void {
    const place = this.#placeOf(name)
    this.#next[index] = this.#heads[place]!
    this.#heads[place] = index
  }

  *of(name: string): IterableIterator<number> {
    for (let index = this.#heads[this.#placeOf(name)]!; index !== none; index = this.#next[index]!) yield index
  }

  /** FNV-1a. */
  #placeOf(name: string): number {
    let hash = this.#seed
    for (let at = 0; at < name.length; at += 1) hash = Math.imul(hash ^ name.charCodeAt(at), 0x0100_0193)
    return (hash ^ (hash >>> 15)) & (this.#heads.length - 1)
  }
}
