// Reads the history: selects sequence numbers, fetches the messages, leaves out what has expired.
import type { Message } from '../message.ts'
import type { History } from './history.ts'
import type { Entry, HistoryPage, HistoryRange } from './store.ts'

/** One answer for each sequence number; undefined: gone. */
type Fetch = (sequences: readonly number[]) => Fetched | Promise<Fetched>
type Fetched = readonly (Message | undefined)[]

/** Goes on past expired messages until there is something to return or nothing left. */
export async function readHistory(
  history: History,
  filter: string,
  range: HistoryRange,
  fetch: Fetch,
  now: () => number,
): Promise<HistoryPage> {
  let rest = range
  for (;;) {
    const { sequences, end } = await history.select(filter, rest)
    const entries = living(sequences, await fetch(sequences), now())
    if (end || entries.length > 0) return { entries, end }
    rest =
      range.after === undefined
        ? { ...range, before: sequences[0]! }
        : { ...range, after: sequences[sequences.length - 1]! }
  }
}

function living(sequences: readonly number[], messages: Fetched, now: number): Entry[] {
  const entries: Entry[] = []
  for (let index = 0; index < sequences.length; index += 1) {
    const message = messages[index]
    if (message === undefined || (message.expiresAt !== undefined && message.expiresAt <= now)) continue
    entries.push({ sequence: sequences[index]!, message })
  }
  return entries
}
