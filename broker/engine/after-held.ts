// Of a retained message that is published here: it counts after all that this node knows of its topic, whatever its clock says.
import type { Message } from '../message.ts'
import type { Store } from '../store/store.ts'

export function afterHeld(message: Message, store: Store): Message {
  const held = store.retainedStamp(message.topic)
  if (held === undefined || held.publishedAt < message.publishedAt) return message
  return { ...message, publishedAt: held.publishedAt + 1 }
}
