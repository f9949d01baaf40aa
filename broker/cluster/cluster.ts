// The cluster contract: what the engine asks of the other nodes. A broker without a cluster has none of it.
import type { BanWord } from '../bans.ts'
import type { Message } from '../message.ts'
import type { ClientInfo } from '../plugin.ts'
import type { Recovered, SessionRecord, Store, SubscriptionRecord, WillRecord } from '../store/store.ts'
import type { ClusterOperations, NodeEnded, NodeLoad } from './cluster-status.ts'
import type { Replication, ShadowHouse } from './replication.ts'

export interface Cluster {
  readonly routing: Routing
  readonly moves: SessionMoves
  readonly wills: ClusterWills
  readonly replicas: Replication
  readonly bans: ClusterBans
  readonly operations: ClusterOperations
  /** Joins. Resolves when the node serves with the others, or, while Redis is away, alone until it comes back. */
  start(house: ClusterHouse, recovered: Recovered): Promise<void>
  stop(): Promise<void>
}

/** Which messages go to which nodes. */
export interface Routing {
  /** A filter of this node got or lost members, here or in a group. Cheap: looked at in the next turn of the loop. */
  changed(filter: string): void
  /**
   * Resolves with true when all live nodes know every filter that this node has now; with false when they do not after
   * 2 s, or Redis went away. Undefined: they know all, or Redis is away.
   */
  settled(): Promise<boolean> | undefined
  /** For a message that was published here. Undefined: no other node wants it. */
  route(message: Message): RemoteRoute | undefined
  /** Connected members of a shared group on other nodes: the node whose turn it is; else one with members that are away. */
  pickShared(
    share: string,
    filter: string,
    topic: string,
  ): { readonly node: string; readonly online: boolean } | undefined
  /** The groups of other nodes whose filter matches, by filter and name, for groups that have no member here. */
  sharedElsewhere(message: Message): readonly SharedGroupName[]
  /** By QoS 0, at most once. With `via`: for one member of this group alone. */
  sendLive(message: Message, nodes: readonly string[]): void
  /**
   * It was appended under these nodes' streams and is durable here, with all before it: nothing is sent before this is
   * called. Calls back when it is in Redis, or when it has to wait here for Redis or for the other node.
   */
  whenForwarded(sequence: number, nodes: readonly string[], done: () => void): void
}

export interface SharedGroupName {
  readonly share: string
  readonly filter: string
}

export interface RemoteRoute {
  /** They get it by the log: it is appended under `streams`, which are their `nodeStream`s. */
  readonly stored: readonly string[]
  readonly streams: readonly string[]
  /** They get it by QoS 0. */
  readonly live: readonly string[]
}

/** The internal stream of what another node still has to get (`isOutbox` of the store). */
export function nodeStream(node: string): string {
  return `\u0000\u0000${node}`
}

/** Who owns which session, and how it comes here. */
export interface SessionMoves {
  /**
   * Before a CONNECT is opened: makes this node the owner. The session of another node is taken over, and what it holds
   * is on its way here. One after the other for each client id: the caller says when it is `done`.
   */
  claim(info: ClientInfo, cleanStart: boolean, expiryS: number): Promise<Claimed>
  /** The session ended here. */
  ended(clientId: string): void
  /** Another node handed over all that it had for this session, and it is durable. */
  arrived(clientId: string): void
  /** Something was handed over for a session that is not here any more. */
  strayed(clientId: string): void
  /**
   * Gives the sessions without a connection to other nodes, as a node does that leaves for long. Resolves with how many
   * are still here: the others were away, or the signal said stop.
   */
  giveAway(signal: AbortSignal): Promise<number>
}

export interface Claimed {
  /** `user`: the session belongs to another user. `superseded`: a later CONNECT came to another node. */
  readonly refused: 'user' | 'superseded' | undefined
  readonly done: () => void
}

/** Wills of clients that are connected here, kept where survivors find them. */
export interface ClusterWills {
  /** Its client connected, or has left and the will waits until `firesAt`. `delayS` is not above the session's expiry. */
  put(clientId: string, will: WillRecord): void
  delete(clientId: string): void
  /** May this node publish it? Resolves when it is known, while Redis is away when it is back; false: a survivor did. */
  take(clientId: string): Promise<boolean>
}

/** Bans that all nodes share. */
export interface ClusterBans {
  /**
   * Of bans that were made or removed here. Resolves with what the others did: those that could not be told learn of it by
   * themselves, when they are back or Redis is.
   */
  tell(words: readonly BanWord[]): Promise<readonly NodeEnded[]>
}

/** What the cluster needs of the engine. */
export interface ClusterHouse {
  readonly store: Store
  /** Every local filter with its members, for the first interest of this node. */
  interest(): Iterable<LocalInterest>
  interestOf(filter: string): LocalInterest | undefined
  /**
   * A message from another node, which has `origin`: log and local receivers, as one published here, but never
   * forwarded again, and what is retained is left as it is. It has its place in the log when the call returns.
   * `via` set: for one member of this shared group alone. Resolves after the commit; rejects when it was not stored.
   */
  deliver(message: Message): Promise<void>
  readonly sessions: SessionHouse
  readonly shadows: ShadowHouse
  /** The will of a client of a node that is gone. */
  publishWill(clientId: string, will: WillRecord): void
  /** What there is on this node now. */
  load(): NodeLoad
  /** Closes the connection of this client, if it is here. */
  disconnect(clientId: string, why: 'taken-over' | 'kicked', phrase: string): boolean
  /** An admin ends the connections of those who fit; how many. */
  endAll(fits: (client: ClientInfo) => boolean, phrase: string): number
}

export interface LocalInterest {
  readonly filter: string
  /** Outside of groups; undefined: only groups hold it. 1: at least one member with QoS 1 or 2. */
  readonly qos: 0 | 1 | undefined
  readonly groups: readonly LocalGroup[]
}

export interface LocalGroup {
  readonly share: string
  readonly online: number
  /** Members that are away and for whom messages are kept. */
  readonly queueing: number
}

/** All of a session but its unread messages. */
export interface SessionState {
  readonly session: SessionRecord
  readonly subscriptions: readonly SubscriptionRecord[]
  readonly inbound: readonly number[]
  /** What is in flight with QoS 2, for its shadow. */
  readonly sent?: readonly SentRecord[] | undefined
}

/** The packet identifier under which it was sent, and where its message was published: 0 is the store of this node. */
export interface SentRecord {
  readonly packetId: number
  readonly storeId: number
  readonly sequence: number
  /** PUBREC came. */
  readonly released: boolean
}

export interface LocalSession {
  readonly clientId: string
  readonly username: string
  /** Milliseconds since 1970. */
  readonly createdAt: number
  /** Seconds. */
  readonly expiryS: number
  /** It outlives its connection. */
  readonly isPersistent: boolean
  readonly isConnected: boolean
  /** Another node owns it. */
  readonly isLeaving: boolean
}

/** By the store id of a publisher's node, 0 for this one: up to here its messages are the former node's to deliver. */
export type CutsByStore = ReadonlyMap<number, number>

/** Sessions of this node, for their way between nodes. */
export interface SessionHouse {
  find(clientId: string): LocalSession | undefined
  /** Those that are connected first. */
  all(): Iterable<LocalSession>
  /**
   * Ends its connection. The session goes on collecting and counts as leaving; undefined: there is none any more, because
   * it was to end with its connection, or ended because the new one wants a clean start.
   */
  leave(clientId: string, isClean: boolean): SessionState | undefined
  /** It does not leave after all. */
  stay(clientId: string): void
  /** Takes up a session of another node, without a connection. */
  adopt(state: SessionState): void
  /** Forgets it, when another node has it. */
  end(clientId: string): void
  /** Its client gets nothing but QoS 0 until `release`. */
  await(clientId: string): void
  split(clientId: string, cuts: CutsByStore): void
  release(clientId: string): void
  /**
   * Appends what a leaving session still has to get under the stream of its new node, then forgets the session, or
   * `keeps` it. Resolves with the last sequence number when it is durable; 0: nothing was appended.
   */
  handOver(clientId: string, node: string, storeId: number, cuts: CutsByStore, keeps: boolean): Promise<number>
  /** Client ids of sessions that are not here, for which something was handed over. */
  strays(): Iterable<string>
  /** Appends that under the stream of another node; undefined: the session is here now. Resolves as `handOver`. */
  sendOn(clientId: string, node: string | undefined): Promise<number>
  /** Nobody wants it any more. */
  drop(clientId: string): void
  /** Undefined: there is none that outlives its connection, or another node owns it. */
  describe(clientId: string): SessionState | undefined
  /** After a restart: reads from the log what is in flight with QoS 2, so that `describe` and `sentOf` know it. */
  learnSent(clientId: string): Promise<void>
  sentOf(clientId: string): readonly SentRecord[]
  /** How far it is; undefined: as `describe`. */
  progressOf(clientId: string): SessionProgress | undefined
  /** Appends copies of what it still has to get for its shadow at another node; what lies above the cuts comes there by itself. */
  copy(clientId: string, to: ShadowPlace, storeId: number, cuts: CutsByStore): Promise<number>
  /** Its shadow has become the session: of what it holds only what was published here above this number is owed. */
  cover(clientId: string, upTo: number): void
}

export interface SessionProgress {
  /** Everything up to here in the log is delivered and acknowledged, or does not concern it. */
  readonly position: number
  readonly disconnectedAt: number | undefined
  readonly expiryS: number
}

export interface ShadowPlace {
  readonly node: string
  readonly id: string
}
