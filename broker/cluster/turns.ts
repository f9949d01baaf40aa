// Claims of one client id at this node: one after the other, and of those that wait only the latest is worth its while.

export class Turn {
  readonly clientId: string
  /** Resolves when Redis has answered. */
  readonly claimed: Promise<void>
  readonly finished: Promise<void>
  /** In Redis; 0: not known yet. */
  epoch = 0
  /** A later claim came to another node, which waits for the end of this one. */
  isSuperseded = false
  #onClaimed: () => void = () => {}
  #onFinished: () => void = () => {}

  constructor(clientId: string) {
    this.clientId = clientId
    this.claimed = new Promise((resolve) => {
      this.#onClaimed = resolve
    })
    this.finished = new Promise((resolve) => {
      this.#onFinished = resolve
    })
  }

  hasClaimed(epoch: number): void {
    this.epoch = epoch
    this.#onClaimed()
  }

  end(): void {
    this.#onClaimed()
    this.#onFinished()
  }
}

export class Turns {
  readonly #active = new Map<string, Turn>()
  readonly #waiting = new Map<string, (turn: Turn | undefined) => void>()

  active(clientId: string): Turn | undefined {
    return this.#active.get(clientId)
  }

  /** Undefined: a later one came while this one waited. */
  async enter(clientId: string): Promise<Turn | undefined> {
    const turn = this.enterNow(clientId)
    if (turn !== undefined) return turn
    this.#waiting.get(clientId)?.(undefined)
    return new Promise((resolve) => this.#waiting.set(clientId, resolve))
  }

  /** Undefined: another one is on. */
  enterNow(clientId: string): Turn | undefined {
    if (this.#active.has(clientId)) return undefined
    const turn = new Turn(clientId)
    this.#active.set(clientId, turn)
    return turn
  }

  leave(turn: Turn): void {
    const { clientId } = turn
    if (this.#active.get(clientId) !== turn) return
    turn.end()
    this.#active.delete(clientId)
    const next = this.#waiting.get(clientId)
    if (next === undefined) return
    this.#waiting.delete(clientId)
    next(this.enterNow(clientId))
  }

  stop(): void {
    for (const next of this.#waiting.values()) next(undefined)
    this.#waiting.clear()
  }
}
