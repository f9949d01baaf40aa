// Which password is hashed next: two at once, those of users whom nobody is guessing first.
import { setTimeout as wait } from 'node:timers/promises'

/** scrypt takes as many threads as there are cores; more at once would only wait in the pool that also syncs the disk. */
const runningMax = 2
/** Waiting in each of the two queues: about 2 s of work, well within the time that a plugin has for its answer. */
const waitingMax = 100
/** How long a wrong password makes its user one who is being guessed, and how many such users are remembered. */
const guessedMs = 60_000
const guessedMax = 10_000
/** How long wrong passwords took lately, with their waiting: as long as an answer takes for which nothing is hashed. */
const samplesMax = 64
/** Answers that only wait. */
const idleMax = 5_000

type Start = () => void
type Kind = 'fresh' | 'guessed'

export class HashQueue {
  #running = 0
  readonly #waiting: Record<Kind, Start[]> = { fresh: [], guessed: [] }
  /** Names of users, and names that are none, which shall not push the others out. */
  readonly #guessed = { known: new Map<string, number>(), unknown: new Map<string, number>() }
  readonly #samples: Record<Kind, number[]> = { fresh: [], guessed: [] }
  /** Hashes under way for names that are none: their end is a sample. */
  readonly #measuring: Record<Kind, number> = { fresh: 0, guessed: 0 }
  /** Who waits for the first sample. */
  readonly #untimed: Record<Kind, (() => void)[]> = { fresh: [], guessed: [] }
  #idle = 0

  /** Something is being hashed: one that is not for a user would be in the way. */
  get isBusy(): boolean {
    return this.#running > 0
  }

  /**
   * `isTried`: another password of this user is looked at just now. `isWrong`: the time that it took is that of a wrong
   * password. Undefined: too many wait already.
   */
  run<T>(
    username: string,
    isTried: boolean,
    hash: () => Promise<T>,
    isWrong: (answer: T) => boolean,
  ): Promise<T> | undefined {
    const kind = isTried ? 'guessed' : this.#kindOf(username)
    if (!this.#hasThread && this.#waiting[kind].length >= waitingMax) return undefined
    return this.#run(kind, hash, isWrong)
  }

  /** For a name that is none, as `run`: one is hashed, so that it is known how long that takes. */
  runForNobody<T>(username: string, hash: () => Promise<T>, isWrong: (answer: T) => boolean): Promise<T> | undefined {
    const kind = this.#kindOf(username)
    const answer = this.run(username, false, hash, isWrong)
    if (answer === undefined) return undefined
    this.#measuring[kind] += 1
    return answer.finally(() => {
      this.#measuring[kind] -= 1
      for (const goOn of this.#untimed[kind].splice(0)) goOn()
    })
  }

  /** It is known how long that would take, or will be. */
  canPretend(username: string): boolean {
    const kind = this.#kindOf(username)
    return this.#samples[kind].length > 0 || this.#measuring[kind] > 0
  }

  /**
   * Waits as long as a wrong password takes now, with its place in the queue, and hashes nothing: thousands of made-up names keep
   * nobody who is real from logging in, from the first moment on. Undefined: too many wait already.
   */
  pretend(username: string): Promise<void> | undefined {
    if (this.#idle >= idleMax) return undefined
    this.#idle += 1
    return this.#passTime(this.#kindOf(username)).finally(() => {
      this.#idle -= 1
    })
  }

  async #passTime(kind: Kind): Promise<void> {
    const cameAt = performance.now()
    const samples = this.#samples[kind]
    if (samples.length === 0) await new Promise<void>((known) => this.#untimed[kind].push(known))
    const sample = samples[Math.floor(Math.random() * samples.length)] ?? 0
    await wait(cameAt + sample - performance.now())
  }

  /** A password for this name was wrong. */
  wrong(username: string, isKnown: boolean): void {
    const names = isKnown ? this.#guessed.known : this.#guessed.unknown
    names.delete(username)
    names.set(username, Date.now() + guessedMs)
    if (names.size <= guessedMax) return
    const [oldest] = names.keys()
    names.delete(oldest!)
  }

  #kindOf(username: string): Kind {
    const until = this.#guessed.known.get(username) ?? this.#guessed.unknown.get(username) ?? 0
    return until > Date.now() ? 'guessed' : 'fresh'
  }

  async #run<T>(kind: Kind, hash: () => Promise<T>, isWrong: (answer: T) => boolean): Promise<T> {
    const cameAt = performance.now()
    if (this.#hasThread) this.#running += 1
    else await new Promise<void>((start) => this.#waiting[kind].push(start))
    try {
      const answer = await hash()
      if (isWrong(answer)) this.#note(kind, performance.now() - cameAt)
      return answer
    } finally {
      this.#running -= 1
      this.#startNext()
    }
  }

  #note(kind: Kind, tookMs: number): void {
    const samples = this.#samples[kind]
    samples.push(tookMs)
    if (samples.length > samplesMax) samples.shift()
  }

  #startNext(): void {
    const next = this.#waiting.fresh.shift() ?? this.#waiting.guessed.shift()
    if (next === undefined) return
    // The turn is taken here, so that nobody who comes in between can take it.
    this.#running += 1
    next()
  }

  get #hasThread(): boolean {
    return this.#running < runningMax
  }
}
