// Retained messages of other nodes: the last writer wins, on every node the same one, in whatever order they come.
import type { Message } from '../message.ts'
import { committed, type RetainedStamp, type RetainedWord, type Store } from '../store/store.ts'

const nothing = Buffer.alloc(0)

/** Of a message with `retain` from another node. Resolves when it may be said that it was taken up. */
export function applyRetained(store: Store, message: Message, ownStoreId: number): Promise<void> | undefined {
  const stamp = { publishedAt: message.publishedAt, storeId: message.origin?.storeId }
  if (!isLater(stamp, store.retainedStamp(message.topic), ownStoreId)) return undefined
  store.putRetained(message)
  // With QoS 1 and 2 the delivery waits for the same commit.
  if (message.qos > 0) return undefined
  return committed(store)
}

/** The same for what a node gives of what it has: nobody here is told of it. True: it was new. */
export function applyWord(store: Store, { topic, stamp, message }: WholeWord, ownStoreId: number): boolean {
  if (!isLater(stamp, store.retainedStamp(topic), ownStoreId)) return false
  store.putRetained(message ?? removalOf(topic, stamp))
  return true
}

/** A word with its payload. */
export interface WholeWord extends RetainedWord {
  readonly message: Message | undefined
}

export function isLater(stamp: RetainedStamp, held: RetainedStamp | undefined, ownStoreId: number): boolean {
  if (held === undefined) return true
  if (stamp.publishedAt !== held.publishedAt) return stamp.publishedAt > held.publishedAt
  return (stamp.storeId ?? ownStoreId) > (held.storeId ?? ownStoreId)
}

function removalOf(topic: string, { publishedAt, storeId }: RetainedStamp): Message {
  return {
    topic,
    payload: nothing,
    qos: 0,
    retain: true,
    properties: undefined,
    clientId: '',
    username: '',
    publishedAt,
    expiresAt: undefined,
    ...(storeId !== undefined && { origin: { storeId, sequence: 0 } }),
  }
}
