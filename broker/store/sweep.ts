// Once a minute: drops what is too old, in small steps, so that the loop is never held up.
import type { RecoveryPlaces } from './recover.ts'

const intervalMs = 60_000
const streamsPerStep = 1_000

export interface SweepWork {
  readonly lastSequence: number
  /** Removes the retained message of a topic that has expired. */
  dropRetained(topic: string): void
  /** No message below this sequence number is left. In steps. */
  forgetBelow(firstSequence: number): Iterable<undefined>
}

/** A sweep at once; resolves when it is done. */
export async function sweepNow(places: RecoveryPlaces, work: SweepWork): Promise<void> {
  for (const _ of sweep(places, work)) await new Promise((resolve) => setImmediate(resolve))
}

/** Starts the sweep; the answer stops it. */
export function everyInterval(places: RecoveryPlaces, work: SweepWork): () => void {
  let stopped = false
  let timer = setTimeout(start, intervalMs).unref()
  return () => {
    stopped = true
    clearTimeout(timer)
  }

  function start(): void {
    const steps = sweep(places, work)
    const step = () => {
      if (stopped) return
      if (steps.next().done === true) timer = setTimeout(start, intervalMs).unref()
      else setImmediate(step).unref()
    }
    step()
  }
}

/** One whole sweep; each step is short. */
export function* sweep(
  { streams, retained, history, removals }: RecoveryPlaces,
  work: SweepWork,
): IterableIterator<undefined> {
  let checked = 0
  // What comes from here on has higher numbers.
  let first = work.lastSequence + 1
  for (const stream of streams.names()) {
    streams.enforceAge(stream)
    first = Math.min(first, streams.firstOf(stream) ?? first)
    checked += 1
    if (checked % streamsPerStep === 0) yield undefined
  }
  for (const topic of history.topics()) {
    history.enforce(topic)
    first = Math.min(first, history.firstOf(topic) ?? first)
    checked += 1
    if (checked % streamsPerStep === 0) yield undefined
  }
  yield* work.forgetBelow(first)
  yield* removals.forgetOld()
  if (retained.expiring === 0) return
  for (const topic of retained.expired()) {
    if (topic === undefined) yield undefined
    else work.dropRetained(topic)
  }
}
