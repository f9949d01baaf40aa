// Once a minute: drops what is too old, in small steps, so that the loop is never held up.
import type { RecoveryPlaces } from './recover.ts'

const intervalMs = 60_000
const streamsPerStep = 1_000

/** Starts the sweep; the answer stops it. `dropRetained` removes the retained message of a topic that has expired. */
export function everyInterval(places: RecoveryPlaces, dropRetained: (topic: string) => void): () => void {
  let stopped = false
  let timer = setTimeout(start, intervalMs).unref()
  return () => {
    stopped = true
    clearTimeout(timer)
  }

  function start(): void {
    const steps = sweep(places, dropRetained)
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
  { streams, retained, history }: RecoveryPlaces,
  dropRetained: (topic: string) => void,
): IterableIterator<undefined> {
  let checked = 0
  for (const stream of streams.names()) {
    streams.enforceAge(stream)
    checked += 1
    if (checked % streamsPerStep === 0) yield undefined
  }
  for (const topic of history.topics()) {
    history.enforce(topic)
    checked += 1
    if (checked % streamsPerStep === 0) yield undefined
  }
  if (retained.expiring === 0) return
  for (const topic of retained.expired()) {
    if (topic === undefined) yield undefined
    else dropRetained(topic)
  }
}
