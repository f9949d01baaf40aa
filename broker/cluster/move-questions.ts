// What nodes ask each other about a session that moves.
import type { SessionState } from './cluster.ts'

/** To the former owner: end your connection, tell what it is. */
export interface Give {
  readonly clientId: string
  /** Of the claim that won. */
  readonly epoch: number
  readonly isClean: boolean
  /** Whose session is to go on; that of another user stays. Undefined: whoever's it is. */
  readonly username?: string | undefined
  /** The shadow of a lost node's session: it becomes the session first. */
  readonly shadow?: string | undefined
  /** A shadow has become the session: what is owed was published at the node that is asked, above this number. */
  readonly coveredUpTo?: number | undefined
}

/** `superseded`: a later claim came to the node that was asked. */
export type Given =
  | { readonly outcome: 'state'; readonly state: SessionState; readonly coveredUpTo?: number | undefined }
  | { readonly outcome: 'none' | 'superseded' }

/** To the former owner: all messages reach the new one by themselves now; hand over what is unread. */
export interface Finish {
  readonly clientId: string
}

/** Up to where the messages of each store are the former owner's: they come by the stream. Undefined: it has no session. */
export interface Finished {
  readonly cuts: readonly (readonly [storeId: number, sequence: number])[] | undefined
}

/** To the node that owns it, or shall own it: come and get it. */
export interface Fetch {
  readonly clientId: string
  readonly username: string
  readonly expiryS: number
}

/** `other`: a third node owns it. `busy`: later. */
export interface Fetched {
  readonly outcome: 'ok' | 'other' | 'busy'
}

/** Whose session with this client id is here, and since when; null: there is none that outlives its connection. */
export const since = 'session since'
export type Since = { readonly username: string; readonly createdAt: number } | null

export const give = 'session give'
export const finish = 'session finish'
export const fetch = 'session fetch'
export const has = 'session has'
