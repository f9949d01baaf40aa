// What a node wants of one filter, as one short text: in frames, in Redis, and to see whether it changed.
import type { LocalInterest } from './cluster.ts'

export interface Interest {
  /** Of the members outside of groups; undefined: there are none. */
  readonly qos: 0 | 1 | undefined
  readonly groups: readonly InterestedGroup[]
}

export interface InterestedGroup {
  readonly share: string
  /** At least one member is connected. */
  readonly online: boolean
  /** At least one is away, and messages are kept for it. */
  readonly queueing: boolean
}

/** Nobody holds the filter any more. */
export const noInterest = ''

const unwanted: Interest = { qos: undefined, groups: [] }

/** U+0000 separates: it is in no share name. */
export function interestText(local: LocalInterest | undefined): string {
  if (local === undefined) return noInterest
  const { qos, groups } = local
  if (groups.length === 0) return qos === undefined ? noInterest : qos === 0 ? '0' : '1'
  return [qos ?? '-', ...groups.map(({ share, online, queueing }) => letterOf(online > 0, queueing > 0) + share)].join(
    '\0',
  )
}

/** Undefined: no text of ours. */
export function parseInterest(text: string): Interest | undefined {
  if (text === noInterest) return unwanted
  const [first, ...rest] = text.split('\0')
  if (first !== '-' && first !== '0' && first !== '1') return undefined
  const groups: InterestedGroup[] = []
  for (const part of rest) {
    const place = letters.indexOf(part[0] ?? '')
    if (place < 0 || part.length < 2) return undefined
    groups.push({ share: part.slice(1), online: (place & 1) !== 0, queueing: (place & 2) !== 0 })
  }
  return { qos: first === '-' ? undefined : first === '0' ? 0 : 1, groups }
}

/** Nobody, connected, away, both. */
const letters = 'ncab'

function letterOf(online: boolean, queueing: boolean): string {
  return letters[(online ? 1 : 0) | (queueing ? 2 : 0)]!
}
