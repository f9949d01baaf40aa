// A circuit breaker: whoever failed several times in a row is left alone for a while, then tried with one question.

export class Circuit {
  readonly #failuresMax: number
  readonly #pauseMs: number
  #failures = 0
  #openUntil = Number.NEGATIVE_INFINITY
  #trying = false

  constructor(failuresMax: number, pauseMs: number) {
    this.#failuresMax = failuresMax
    this.#pauseMs = pauseMs
  }

  get isOpen(): boolean {
    return this.#failures >= this.#failuresMax
  }

  /** Whether to ask now. Whoever is told to must tell how it went. */
  enter(): boolean {
    if (!this.isOpen) return true
    if (this.#trying || performance.now() < this.#openUntil) return false
    this.#trying = true
    return true
  }

  /** True: it was open until now. */
  succeeded(): boolean {
    const wasOpen = this.isOpen
    this.#failures = 0
    this.#trying = false
    return wasOpen
  }

  /** True: it is open from now on. */
  failed(): boolean {
    const wasOpen = this.isOpen
    this.#failures += 1
    this.#trying = false
    if (this.isOpen) this.#openUntil = performance.now() + this.#pauseMs
    return this.isOpen && !wasOpen
  }
}
