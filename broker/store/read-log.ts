// Reads several streams as one: selects the next sequence numbers, fetches the messages, leaves out what has expired.
import type { Message } from '../message.ts'
import { addSkipped, nothingSkipped, type Skipped } from './skipped.ts'
import type { Entry, ReadResult, StreamPosition } from './store.ts'
import type { Streams } from './streams.ts'

/** One answer for each sequence number; undefined: gone. */
type Fetch = (sequences: readonly number[]) => Fetched | Promise<Fetched>
type Fetched = readonly (Message | undefined)[]

const nothing: ReadonlySet<number> = new Set()

/** Goes on past expired messages until there is something to return or nothing left. */
export async function readLog(
  streams: Streams,
  positions: readonly StreamPosition[],
  limit: number,
  lastSequence: () => number,
  fetch: Fetch,
  now: () => number,
  has: ReadonlySet<number> = nothing,
): Promise<ReadResult> {
  let from = positions
  let skipped = nothingSkipped
  for (;;) {
    for (const { stream } of from) streams.enforceAge(stream)
    const { sequences, end } = streams.select(from, limit)
    const through = end ? lastSequence() : sequences[sequences.length - 1]!
    skipped = addSkipped(skipped, streams.skipped(from, through, has))
    const { entries, gone } = pair(sequences, await fetch(sequences), now())
    for (const sequence of gone) {
      if (!has.has(sequence)) skipped = addSkipped(skipped, oneSkipped(sequence, streams, from))
    }
    if (end || entries.length > 0) {
      return { entries, end, skipped: skipped.messages, gaps: skipped.gaps, through }
    }
    from = from.map((position) => ({ ...position, after: Math.max(position.after, through) }))
  }
}

function oneSkipped(sequence: number, streams: Streams, positions: readonly StreamPosition[]): Skipped {
  const gaps = streams.holdersOf(sequence, positions).map((stream) => ({ stream, messages: 1 }))
  return { messages: 1, gaps }
}

/** A message that is gone was dropped while it was fetched, or is damaged: the reader missed it. */
function pair(sequences: readonly number[], messages: Fetched, now: number): { entries: Entry[]; gone: number[] } {
  const entries: Entry[] = []
  const gone: number[] = []
  for (let index = 0; index < sequences.length; index += 1) {
    const message = messages[index]
    const sequence = sequences[index]!
    if (message === undefined) gone.push(sequence)
    else if (message.expiresAt === undefined || message.expiresAt > now) entries.push({ sequence, message })
  }
  return { entries, gone }
}
