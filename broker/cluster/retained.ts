// Retained messages of other nodes: whether one replaces what this node has.
import type { Message } from '../message.ts'
import type { Store } from '../store/store.ts'

/** Of a message with `retain` from another node, before it is delivered. */
export function applyRetained(store: Store, message: Message): void {
  store.putRetained(message)
}
