// The contract of session replicas: a session with an owner elsewhere lies here as a shadow, which collects what the
// session collects and becomes the session when its owner is lost.

import type { CutsByStore, SentRecord, SessionState, ShadowPlace } from './cluster.ts'
import type { ReplicaCounts } from './cluster-status.ts'

/**
 * What the engine tells of its sessions, as they change. Cheap; only for sessions that outlive their connections, and
 * without any effect where there are no replicas.
 */
export interface Replication {
  /** A new session: nothing waits for it yet. */
  opened(clientId: string): void
  /** Its subscriptions changed. */
  changed(clientId: string): void
  /** Its cursor moved, or its connection came or went. */
  moved(clientId: string): void
  /** `moved`: another node has it now. */
  gone(clientId: string, why: 'ended' | 'moved'): void
  /** Resolves when the shadow has its subscriptions, or after 2 s. Undefined: there is nothing to wait for. */
  settled(clientId: string): Promise<void> | undefined
  /** Resolves when the shadow knows what is in flight with QoS 2, or does not answer. Undefined: it has none. */
  noted(clientId: string): Promise<void> | undefined
  /** Where what is kept for this session alone is to be copied; undefined: nowhere, or it will be copied with the rest. */
  placeOf(clientId: string): (ShadowPlace & { readonly storeId: number }) | undefined
  counts(): ReplicaCounts
}

/** The shadows that lie on this node, for the cluster. */
export interface ShadowHouse {
  readonly size: number
  all(): Iterable<Shadow>
  get(id: string): Shadow | undefined
  /** Those of one session; more than one while a new one is being built. */
  of(clientId: string): readonly Shadow[]
  /** Makes it, or changes what it is: of filters that are new it collects from now on. */
  keep(id: string, state: SessionState): void
  /** Up to where in the logs of others what it collects was copied from the owner, too. */
  split(id: string, cuts: CutsByStore): void
  /** It has all that the session has. */
  complete(id: string): void
  /** The owner has delivered everything up to this place in the log of this node. */
  passed(id: string, position: number, isHere: (message: Pick<SentRecord, 'storeId' | 'sequence'>) => boolean): void
  /** What the owner has in flight with QoS 2: what it had before, and has not now, is delivered. */
  noteSent(id: string, sent: readonly SentRecord[]): void
  /** When the connection of the session ended; undefined: it is connected. */
  left(id: string, disconnectedAt: number | undefined, expiryS: number): void
  drop(id: string): void
  /** It becomes the session. Resolves with false: it is gone, or there is a session already. */
  promote(id: string): Promise<boolean>
}

export interface Shadow {
  readonly id: string
  readonly name: ShadowName
  readonly isComplete: boolean
  readonly expiryS: number
  readonly disconnectedAt: number | undefined
}

export interface ShadowName {
  readonly clientId: string
  /** Of the owner. */
  readonly storeId: number
  /** Of the owner's claim: of two shadows of one session the higher one counts. */
  readonly epoch: number
}

/** No client id has a control character. */
const mark = '\u0002'

/** `nonce`: no two shadows have the same id. */
export function shadowId({ clientId, storeId, epoch }: ShadowName, nonce: string): string {
  return `${mark}${storeId} ${epoch} ${nonce}${mark}${clientId}`
}

export function isShadowId(clientId: string): boolean {
  return clientId.startsWith(mark)
}

/** Undefined: it is none of ours. */
export function parseShadowId(id: string): ShadowName | undefined {
  const end = id.indexOf(mark, 1)
  if (!isShadowId(id) || end < 0) return undefined
  const [storeId, epoch] = id.slice(1, end).split(' ').map(Number)
  if (!Number.isSafeInteger(storeId) || !Number.isSafeInteger(epoch)) return undefined
  return { clientId: id.slice(end + 1), storeId: storeId!, epoch: epoch! }
}
