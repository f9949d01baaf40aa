// aedes' `mq` contract on our router: in-process listeners of extensions (`broker.subscribe`), fed synchronously.
import type { Message } from '../message.ts'
import { FilterTree } from '../router/filter-tree.ts'
import { type Packet, toMessage, toPacket } from './aedes-types.ts'

export type BusListener = (packet: ReturnType<typeof toPacket>, done: () => void) => void

export class LiveBus {
  readonly #listeners = new FilterTree<Set<BusListener>>()
  #deliver: (message: Message) => void = () => {}

  /** Nobody listens: the hot path passes by. */
  get idle(): boolean {
    return this.#listeners.size === 0
  }

  /** Where messages that an extension emits go. */
  set onEmit(deliver: (message: Message) => void) {
    this.#deliver = deliver
  }

  on(filter: string, listener: BusListener, done?: () => void): this {
    this.#listeners.obtain(filter, () => new Set()).add(listener)
    if (done !== undefined) setImmediate(done)
    return this
  }

  removeListener(filter: string, listener: BusListener, done?: () => void): void {
    const listeners = this.#listeners.get(filter)
    listeners?.delete(listener)
    if (listeners?.size === 0) this.#listeners.delete(filter)
    if (done !== undefined) setImmediate(done)
  }

  emit(packet: Packet, done?: () => void): void {
    this.#deliver(toMessage(packet, ''))
    if (done !== undefined) setImmediate(done)
  }

  close(done?: () => void): void {
    if (done !== undefined) setImmediate(done)
  }

  /** Tells the listeners of a message that was routed. */
  tell(message: Message): void {
    for (const listeners of this.#listeners.match(message.topic)) {
      for (const listener of listeners) listener(toPacket(message), () => {})
    }
  }
}
