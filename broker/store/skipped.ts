// How many messages a reader of several streams has missed: for each stream, and each message once in all.
import type { Dropped, Run } from './dropped.ts'
import type { Ring } from './ring.ts'
import type { Gap } from './store.ts'

/** One stream as a reader sees it, above `after` and not above `through`. */
export interface Missing {
  readonly stream: string
  readonly after: number
  readonly through: number
  readonly ring: Ring | undefined
  readonly dropped: Dropped | undefined
}

export interface Skipped {
  /** Each message once, however many of the streams it fell off. */
  readonly messages: number
  /** Only streams that something fell off. */
  readonly gaps: readonly Gap[]
}

export const nothingSkipped: Skipped = { messages: 0, gaps: [] }

/**
 * What fell off one stream and is still in another is not missed, and neither is what the reader has already. In
 * blurred runs neither shows, so such a message counts in them, and once for each stream.
 */
export function skippedOf(streams: readonly Missing[], has: ReadonlySet<number>): Skipped {
  const runs = streams.map(({ dropped, after, through }) =>
    dropped === undefined ? [] : [...dropped.between(after, through)],
  )
  if (runs.every(({ length }) => length === 0)) return nothingSkipped
  const all = joined(runs.flat().filter(({ isSolid }) => isSolid))
  const given = givenAnyway(streams, all, has)
  const gaps: Gap[] = []
  let messages = countOf(all) - given.length
  for (const [index, ofStream] of runs.entries()) {
    for (const run of ofStream) if (!run.isSolid) messages += run.count
    const solid = ofStream.filter(({ isSolid }) => isSolid)
    const missed = countOf(ofStream) - given.filter((sequence) => isIn(solid, sequence)).length
    if (missed > 0) gaps.push({ stream: streams[index]!.stream, messages: missed })
  }
  return { messages, gaps }
}

export function addSkipped(one: Skipped, other: Skipped): Skipped {
  if (one.messages === 0 || other.messages === 0) return one.messages === 0 ? other : one
  const sums = new Map<string, number>()
  for (const { stream, messages } of [...one.gaps, ...other.gaps]) {
    sums.set(stream, (sums.get(stream) ?? 0) + messages)
  }
  const gaps = [...sums].map(([stream, messages]) => ({ stream, messages }))
  return { messages: one.messages + other.messages, gaps }
}

/** Those of the dropped that the reader gets by another stream, or has. */
function givenAnyway(streams: readonly Missing[], all: readonly Run[], has: ReadonlySet<number>): number[] {
  const given = new Set<number>()
  for (const sequence of has) if (isIn(all, sequence)) given.add(sequence)
  if (streams.length === 1) return [...given]
  const highest = all[all.length - 1]?.last ?? 0
  for (const { ring, after, through } of streams) {
    if (ring === undefined) continue
    const end = Math.min(through, highest)
    for (let index = ring.indexAfter(after); ; index += 1) {
      const sequence = ring.at(index)
      if (sequence === undefined || sequence > end) break
      if (isIn(all, sequence)) given.add(sequence)
    }
  }
  return [...given]
}

/** Overlapping runs as one. */
function joined(runs: readonly Run[]): Run[] {
  const sorted = [...runs].sort((a, b) => a.first - b.first)
  const result: { first: number; last: number; count: number; isSolid: boolean }[] = []
  for (const { first, last } of sorted) {
    const before = result[result.length - 1]
    if (before === undefined || first > before.last)
      result.push({ first, last, count: last - first + 1, isSolid: true })
    else if (last > before.last) {
      before.last = last
      before.count = last - before.first + 1
    }
  }
  return result
}

function countOf(runs: readonly Run[]): number {
  let count = 0
  for (const run of runs) count += run.count
  return count
}

/** `runs` in ascending order. */
function isIn(runs: readonly Run[], sequence: number): boolean {
  let low = 0
  let high = runs.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (runs[middle]!.last < sequence) low = middle + 1
    else high = middle
  }
  return low < runs.length && runs[low]!.first <= sequence
}
