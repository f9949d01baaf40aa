// What was sent on an earlier connection and not acknowledged: to be sent again, before all else (MQTT-4.4.0-1).
import { owed } from './backlog.ts'
import type { DeliveryHouse } from './house.ts'
import type { Link } from './link.ts'
import type { Session } from './session.ts'
import type { Inflight, Window } from './window.ts'

export class Redelivery {
  readonly #house: DeliveryHouse
  readonly #session: Session
  readonly #window: Window
  /** The next one is the last. */
  #entries: Inflight[] = []

  constructor(house: DeliveryHouse, session: Session, window: Window) {
    this.#house = house
    this.#session = session
    this.#window = window
  }

  get length(): number {
    return this.#entries.length
  }

  /** True: some of them must be loaded first. */
  begin(): boolean {
    this.#entries = this.#window.unacknowledged().reverse()
    return this.#entries.some(isUnknown)
  }

  end(): void {
    this.#entries = []
  }

  /** After a restart, or a move to another node: their messages are in the log. False: the link has left meanwhile. */
  async load(isStillThere: () => boolean): Promise<boolean> {
    const entries = this.#entries.filter(isUnknown)
    const messages = await this.#house.store.readExact(entries.map((entry) => entry.sequence))
    if (!isStillThere()) return false
    for (const [index, entry] of entries.entries()) {
      const message = messages[index]
      if (message === undefined) this.#window.drop(entry)
      else entry.delivery = owed(this.#house, this.#session, message, entry.sequence, entry.qos)
    }
    this.#entries = this.#entries.filter((entry) => this.#window.has(entry))
    return true
  }

  /** It was acknowledged, or received, before it was sent again. */
  forget(entry: Inflight): void {
    if (this.#entries.length > 0) this.#entries = this.#entries.filter((other) => other !== entry)
  }

  /** Undefined: none may be sent now. They count against the window, because the client may take fewer than before. */
  take(link: Link): Inflight | undefined {
    const entry = this.#entries[this.#entries.length - 1]
    if (entry === undefined || !link.hasRoom) return undefined
    const outstanding = this.#window.size - this.#entries.length
    if (!entry.released && outstanding >= link.window) return undefined
    return this.#entries.pop()
  }
}

function isUnknown({ released, delivery }: Inflight): boolean {
  return !released && delivery === undefined
}
