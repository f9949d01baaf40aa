// Gives back the space of messages that all who wanted them have passed, in small steps beside the work.
import { setTimeout as later } from 'node:timers/promises'
import type { Session } from '../delivery/session.ts'
import { arrivalStream, isArrival, isOutbox, privateStream, type RecoveredSession, type Store } from '../store/store.ts'
import type { Sessions } from './sessions.ts'
import type { Shadows } from './shadows.ts'

/** Streams or sessions that are looked at before others have their turn. */
const turnLength = 1_000
/** A round over a million sessions takes seconds: the next one comes after so many times as long. */
const restFactor = 20

/** One round over all sessions, and the rest that it earned. */
export async function giveBackSpace(
  store: Store,
  sessions: Pick<Sessions, 'awake' | 'asleep'>,
  shadows: Pick<Shadows, 'stored'>,
): Promise<void> {
  const pace = new Pace()
  // Whoever subscribes from here on starts above this number, so a stream without readers is free up to it.
  const free = store.lastSequence
  const lowest = new Map<string, number>()
  for (const stream of store.streams()) {
    // What other nodes still have to get is trimmed by whoever sends it.
    // What was handed over stays until its session has it, also when the session is not here yet.
    if (!isOutbox(stream)) lowest.set(stream, isArrival(stream) ? 0 : free)
    if (pace.isTurnOver()) await pace.rest()
  }
  if (lowest.size === 0) return
  // First these: whoever is woken while the round goes on is met among the others.
  for (const session of sessions.asleep()) {
    lowerByAsleep(lowest, session)
    if (pace.isTurnOver()) await pace.rest()
  }
  for (const shadow of shadows.stored()) {
    lowerByAsleep(lowest, shadow)
    if (pace.isTurnOver()) await pace.rest()
  }
  for (const session of sessions.awake()) {
    if (session.persistent) lowerByAwake(lowest, session)
    if (pace.isTurnOver()) await pace.rest()
  }
  for (const [stream, upTo] of lowest) {
    store.trim(stream, upTo)
    if (pace.isTurnOver()) await pace.rest()
  }
  await later(pace.workedMs * restFactor, undefined, { ref: false })
}

class Pace {
  workedMs = 0
  #turn = 0
  #startedAt = performance.now()

  isTurnOver(): boolean {
    this.#turn += 1
    return this.#turn % turnLength === 0
  }

  async rest(): Promise<void> {
    this.workedMs += performance.now() - this.#startedAt
    await new Promise((resolve) => setImmediate(resolve))
    this.#startedAt = performance.now()
  }
}

function lowerByAwake(lowest: Map<string, number>, session: Session): void {
  const { position } = session.outbox.cursor()
  lowerOwn(lowest, session.clientId, position)
  for (const subscription of session.subscriptions.values()) {
    const { filter, record } = subscription
    if (subscription.readsAfter(position)) lower(lowest, filter, Math.max(position, record.since))
  }
}

function lowerByAsleep(lowest: Map<string, number>, { session, subscriptions, cursor }: RecoveredSession): void {
  const position = cursor?.position ?? 0
  lowerOwn(lowest, session.clientId, position)
  // None of them is shared: such sessions are awake.
  for (const { filter, qos, since, keptUntil } of subscriptions) {
    if (qos > 0 || keptUntil > position) lower(lowest, filter, Math.max(position, since))
  }
}

function lowerOwn(lowest: Map<string, number>, clientId: string, position: number): void {
  lower(lowest, privateStream(clientId), position)
  const arrived = arrivalStream(clientId)
  if (lowest.has(arrived)) lowest.set(arrived, position)
}

function lower(lowest: Map<string, number>, stream: string, upTo: number): void {
  const known = lowest.get(stream)
  if (known !== undefined && upTo < known) lowest.set(stream, upTo)
}
