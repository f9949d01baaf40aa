// What the owner of a session and the node with its shadow ask each other.
import type { SentRecord, SessionState } from './cluster.ts'

/** To the holder: these are the sessions; collect for them. Answered when all live nodes know what it collects, or after 2 s. */
export const keep = 'replica keep'
export interface Keep {
  readonly items: readonly KeepItem[]
}
export interface KeepItem {
  readonly id: string
  readonly state: SessionState
  /** Make it if it is not there. */
  readonly isNew: boolean
  /** Nothing waits for the session that the shadow would not collect by itself. */
  readonly isWhole: boolean
  /** What lies above comes to the holder by itself, and is not copied. */
  readonly cuts: readonly (readonly [storeId: number, sequence: number])[] | undefined
}
/** `gone`: it was complete once, and is not there. */
export type KeepOutcome = 'complete' | 'collecting' | 'gone'
export interface Kept {
  readonly isSettled: boolean
  /** In the order of the items. */
  readonly outcomes: readonly KeepOutcome[]
}

/** To the holder: where is your log? */
export const mark = 'replica mark'
export interface Mark {
  readonly sequence: number
}

/** To the holder: what lies in your log up to this place is delivered to the session. */
export const passed = 'replica passed'
export interface Passed {
  readonly sessions: readonly PassedSession[]
}
/** `position` 0: it is not known. */
export type PassedSession = readonly [id: string, position: number, disconnectedAt: number | null, expiryS: number]

/** To the holder: what is in flight with QoS 2 now, before it leaves. */
export const note = 'replica note'
export interface Note {
  readonly sessions: readonly (readonly [id: string, sent: readonly SentRecord[]])[]
}

/** These shadows are not needed; and of these sessions, those of earlier claims. */
export const drop = 'replica drop'
export interface Drop {
  readonly ids: readonly string[]
  readonly before: readonly (readonly [clientId: string, epoch: number])[]
}

/** To every node, when the owner of a session is lost: the complete shadows of it. */
export const find = 'replica find'
export interface Found {
  readonly ids: readonly string[]
}

/** To the owner: which of these shadows are of no use any more? */
export const useless = 'replica useless'
export interface Useless {
  readonly ids: readonly string[]
}
