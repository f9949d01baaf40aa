// What the parts of the cluster share: the way to Redis, who else is there, and the bus between nodes.
import type { Redis } from 'ioredis'
import type { Seal } from './seal.ts'

/** The version of frames, streams and keys. Nodes of different versions do not share a cluster. */
export const busVersion = 1

export interface Member {
  readonly node: string
  /** 48 bits, made with the data folder. */
  readonly storeId: number
  /** Random for each start. */
  readonly run: string
  readonly busVersion: number
  /** Where clients reach it, for a server reference (MQTT 4.11). */
  readonly serverReference: string | undefined
}

export interface Meeting {
  readonly self: Member
  /** True: Redis answers, and the subscriptions of the bus were verified since it came back. */
  readonly isUp: boolean
  /** This node could not renew its lease for so long that others may count it as dead. */
  readonly mayBeDead: boolean
  /** Why this node is not with the others although it tried, for `status`: an OrioleError when it was refused. */
  readonly problem: unknown
  /** How often Redis did not know this node when it came: it was new, had been forgotten, or Redis lost its data. */
  readonly timesUnknown: number
  readonly bus: Bus
  /** Commands; they reject at once while Redis is away, and after 2 s when it does not answer (it may still obey). */
  readonly redis: Redis
  /** Seals the entries of streams; the context says where they belong: [target node, kind]. */
  readonly streamSeal: Seal
  /**
   * A connection of its own for one reader that blocks; the caller ends it with `disconnect()`. What it waits for rejects
   * when Redis goes away; after that it rejects at once until the connection is `ready` again.
   */
  openReader(): Redis
  /** `PREFIX:part:part`, one hash slot for the whole cluster. */
  key(...parts: string[]): string
  /** Other nodes whose lease is alive. */
  live(): readonly Member[]
  /** Other nodes that ever joined and were not forgotten. */
  known(): readonly Member[]
  member(node: string): Member | undefined
  /** Who listens for `up` after it came is told in the next turn of the loop. */
  on(event: MeetingEvent, listener: () => void): void
  onMember(event: MemberEvent, listener: (member: Member) => void): void
  /** What this node's heartbeats carry, each second; the others get it as frames of the kind 'heartbeat'. Empty without it. */
  heartbeatBody(make: () => Buffer): void
  /** Counts something from Redis that is not ours or is damaged; the reason is a short constant phrase. */
  refused(why: string): void
  /** Reads from Redis now who is alive, without waiting for the next heartbeat. */
  lookAround(): Promise<void>
  /** Takes a node that is away for good out of the cluster. Rejects when it is alive or Redis is away. */
  forget(node: string): Promise<void>
}

/** `up` comes after every return of Redis, also the first; `down` when it stops answering. */
export type MeetingEvent = 'up' | 'down'
/** `joined`: its lease appeared, also with a new run. `left`: its lease ended. `forgotten`: an admin removed it. */
export type MemberEvent = 'joined' | 'left' | 'forgotten'

/**
 * At most once, in the order of sending from one node to another. Bodies are bytes that the sender does not change; what a
 * listener gets is a view into a larger piece: who keeps it for long copies it.
 */
export interface Bus {
  send(to: Member | 'all', kind: FrameKind, body: Buffer): void
  /** One listener for each kind. What it throws is logged and counted as a hostile frame. */
  on(kind: FrameKind, listener: (from: Member, body: Buffer) => void): void
  /** A question to one node. Rejects when there is no answer in time or the other side refuses. */
  ask(to: Member, question: string, body: unknown, timeoutMs: number): Promise<unknown>
  /** Bodies and answers are JSON. What `answer` throws reaches the asker as the text of its error. */
  answer(question: string, answer: (from: Member, body: unknown) => Promise<unknown>): void
}

export const frameKinds = ['heartbeat', 'question', 'answer', 'interest', 'messages', 'session', 'access'] as const
export type FrameKind = (typeof frameKinds)[number]

/** The node that runs on the store of an owner; undefined: it is away. */
export function liveOwner(
  meeting: Meeting,
  { node, storeId }: { readonly node: string; readonly storeId: number },
): Member | undefined {
  return meeting.live().find((member) => member.node === node && member.storeId === storeId)
}
