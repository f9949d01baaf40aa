// What kinds of records a store has, for people: counted in reports.
import { messageKeyBytes, sessionKeyEnd } from './keys.ts'

export const kinds = [
  'messages',
  'sessions',
  'subscriptions',
  'cursors',
  'inbound identifiers',
  'retained messages',
  'removals',
  'wills',
  'streams',
  'marks',
] as const

export type Kind = (typeof kinds)[number]
export type Counts = Record<Kind, number>

export function noCounts(): Counts {
  return Object.fromEntries(kinds.map((kind) => [kind, 0])) as Counts
}

const ofSession: Readonly<Record<string, Kind>> = {
  a: 'sessions',
  c: 'cursors',
  f: 'subscriptions',
  q: 'inbound identifiers',
}
const others: Readonly<Record<string, Kind>> = {
  r: 'retained messages',
  t: 'removals',
  w: 'wills',
  f: 'streams',
  n: 'marks',
}

/** Undefined: the store's own numbers, or no key of the store. */
export function kindOf(key: Buffer): Kind | undefined {
  const letter = String.fromCharCode(key[0] ?? 0)
  if (letter === 'm') return key.length === messageKeyBytes ? 'messages' : undefined
  if (letter === 's') return ofSession[String.fromCharCode(key[sessionKeyEnd(key)] ?? 0)]
  return others[letter]
}
