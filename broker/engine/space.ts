// Gives back the space of messages that all who wanted them have passed, in small steps beside the work.
import type { Session } from '../delivery/session.ts'
import { privateStream, type Store } from '../store/store.ts'

/** Sessions that are looked at before others have their turn. */
const turnSessions = 2_000

/** One round over all sessions. */
export async function giveBackSpace(store: Store, sessions: () => Iterable<Session>): Promise<void> {
  // Whoever subscribes from here on starts above this number, so a stream without readers is free up to it.
  const free = store.lastSequence
  const lowest = new Map<string, number>()
  for (const stream of store.streams()) lowest.set(stream, free)
  if (lowest.size === 0) return
  let turn = 0
  for (const session of sessions()) {
    if (!session.persistent) continue
    lower(lowest, session)
    turn += 1
    if (turn % turnSessions === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  for (const [stream, upTo] of lowest) store.trim(stream, upTo)
}

function lower(lowest: Map<string, number>, session: Session): void {
  const { position } = session.outbox.cursor()
  const lowerOne = (stream: string, upTo: number): void => {
    const known = lowest.get(stream)
    if (known !== undefined && upTo < known) lowest.set(stream, upTo)
  }
  lowerOne(privateStream(session.clientId), position)
  for (const subscription of session.subscriptions.values()) {
    const { filter, record } = subscription
    if (subscription.readsAfter(position)) lowerOne(filter, Math.max(position, record.since))
  }
}
