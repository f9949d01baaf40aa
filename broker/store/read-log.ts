// Reads several streams as one: selects the next sequence numbers, fetches the messages, leaves out what has expired.
import type { Message } from '../message.ts'
import type { Entry, ReadResult, StreamPosition } from './store.ts'
import type { Streams } from './streams.ts'

/** One answer for each sequence number; undefined: gone. */
type Fetch = (sequences: readonly number[]) => Fetched | Promise<Fetched>
type Fetched = readonly (Message | undefined)[]

/** Goes on past expired messages until there is something to return or nothing left. */
export async function readLog(
  streams: Streams,
  positions: readonly StreamPosition[],
  limit: number,
  lastSequence: () => number,
  fetch: Fetch,
  now: () => number,
): Promise<ReadResult> {
  let from = positions
  let skipped = 0
  for (;;) {
    for (const { stream } of from) streams.enforceAge(stream)
    const { sequences, end } = streams.select(from, limit)
    const through = end ? lastSequence() : sequences[sequences.length - 1]!
    skipped += streams.countDropped(from, through)
    const { entries, gone } = pair(sequences, await fetch(sequences), now())
    skipped += gone
    if (end || entries.length > 0) return { entries, end, skipped, through }
    from = from.map(({ stream, after }) => ({ stream, after: Math.max(after, through) }))
  }
}

/** A message that is gone was dropped while it was fetched, or is damaged: the reader missed it. */
function pair(sequences: readonly number[], messages: Fetched, now: number): { entries: Entry[]; gone: number } {
  const entries: Entry[] = []
  let gone = 0
  for (let index = 0; index < sequences.length; index += 1) {
    const message = messages[index]
    if (message === undefined) gone += 1
    else if (message.expiresAt === undefined || message.expiresAt > now) {
      entries.push({ sequence: sequences[index]!, message })
    }
  }
  return { entries, gone }
}
