// The numbers that the rooms count themselves: plain fields, because a hot path may add one to a field and no more.
import { type ConnectionRefusal, connectionRefusals, type ListenerCounts } from '../listeners/listener.ts'
import { type ReasonCode, reason } from '../protocol/reason-codes.ts'

/** Why a message did not reach somebody who wanted it. */
const dropReasons = {
  /** The bounded queue of a session and filter was full: the oldest went. */
  queue_full: 0,
  /** Message Expiry Interval, or older than the queue keeps. */
  expired: 0,
  /** QoS 0 to a client that reads too slowly. */
  output_full: 0,
  /** Larger than the client's Maximum Packet Size [MQTT-3.1.2-25], or than our limits. */
  too_large: 0,
  /** A plugin returned null from onPublish or onDeliver. */
  plugin: 0,
  /** A deny overlaps the granted filter. */
  withheld: 0,
  /** The right to it was taken away while it waited. */
  revoked: 0,
  /** The publisher was not allowed, and its version of MQTT has no way to be told. */
  not_authorized: 0,
  /** The quota of retained messages. */
  retained_quota: 0,
  /** The cap on the disk is reached; it was refused, or a retained message was not kept. */
  disk_cap: 0,
  /** The store could not write it; it was not acknowledged. */
  not_stored: 0,
}
export type DropReason = keyof typeof dropReasons

const deniedKinds = { publish: 0, subscribe: 0, will: 0 }
export type DeniedKind = keyof typeof deniedKinds

/** Why somebody is kept out for a while: the list of bans, wrong passwords, or coming and going too often. */
const banReasons = { list: 0, failed_logins: 0, flapping: 0 }
export type BanReason = keyof typeof banReasons

/** Whose rate of publishing was used up. */
const paceHolders = { client: 0, user: 0, group: 0 }
export type PaceHolder = keyof typeof paceHolders

const qosZeros = { qos0: 0, qos1: 0, qos2: 0 }
export type QosKey = keyof typeof qosZeros

/** What the cap on the disk took away, in the order in which it goes. */
const cappedKinds = { history: 0, queued: 0 }
export type CappedKind = keyof typeof cappedKinds

const clusterWays = { live: 0, stored: 0 }
export type ClusterWay = keyof typeof clusterWays

/** Sessions that moved between nodes; `partly`: what is unread did not come, or not all of it; `failed`: it did not come. */
const moveEnds = { given: 0, taken: 0, partly: 0, failed: 0 }
export type MoveEnd = keyof typeof moveEnds

export interface Counts extends ListenerCounts {
  /** Handed over by a listener and ended since. */
  connectionsClosed: number
  connectsAccepted: number
  /** CONNACK with this code; the codes of MQTT 3.1.1 are counted as those of MQTT 5 that they stand for. */
  readonly connectsRefused: Record<ReasonCode, number>
  /** DISCONNECT sent, or what would have been sent to a client before MQTT 5. */
  readonly disconnectsSent: Record<ReasonCode, number>
  readonly messagesReceived: Record<QosKey, number>
  readonly messagesDelivered: Record<QosKey, number>
  messagesStored: number
  readonly messagesDropped: Record<DropReason, number>
  readonly diskCapDropped: Record<CappedKind, number>
  /** PUBACK, PUBREC, PUBREL, PUBCOMP. */
  acksReceived: number
  acksSent: number
  authFailures: number
  readonly banned: Record<BanReason, number>
  /** How often a socket was read later because its client published faster than it may. */
  readonly paused: Record<PaceHolder, number>
  rightsChanges: number
  identitiesExpired: number
  readonly aclDenied: Record<DeniedKind, number>
  bytesIn: number
  bytesOut: number
  commits: number
  commitFailures: number
  pluginErrors: number
  subscribes: number
  unsubscribes: number
  /** Ended by the house, because the client may not hold them any more. */
  subscriptionsEnded: number
  retainedSet: number
  willsPublished: number
  slowConsumersCut: number
  /** Copies for other nodes: over the bus with QoS 0, and through the log. What is sent again counts again. */
  readonly clusterSent: Record<ClusterWay, number>
  readonly clusterReceived: Record<ClusterWay, number>
  /** Through the log, and this node had them already. */
  clusterRepeated: number
  /** Fell off an outbox: the other node did not get them. */
  clusterOutboxDropped: number
  readonly clusterMoves: Record<MoveEnd, number>
  /** Frames and stream entries from Redis that are not of this cluster, damaged, repeated or too large. */
  clusterFramesRefused: number
  /** Frames that were not sent because Redis took them too slowly. */
  clusterFramesDropped: number
}

/** All at zero. */
export function createCounts(): Counts {
  return {
    connectionsOpened: 0,
    connectionsClosed: 0,
    connectionsRefused: zeros(Object.keys(connectionRefusals) as ConnectionRefusal[]),
    certificateReloads: 0,
    certificateReloadFailures: 0,
    connectsAccepted: 0,
    connectsRefused: zeros(Object.values(reason)),
    disconnectsSent: zeros(Object.values(reason)),
    messagesReceived: { ...qosZeros },
    messagesDelivered: { ...qosZeros },
    messagesStored: 0,
    messagesDropped: { ...dropReasons },
    diskCapDropped: { ...cappedKinds },
    acksReceived: 0,
    acksSent: 0,
    authFailures: 0,
    banned: { ...banReasons },
    paused: { ...paceHolders },
    rightsChanges: 0,
    identitiesExpired: 0,
    aclDenied: { ...deniedKinds },
    bytesIn: 0,
    bytesOut: 0,
    commits: 0,
    commitFailures: 0,
    pluginErrors: 0,
    subscribes: 0,
    unsubscribes: 0,
    subscriptionsEnded: 0,
    retainedSet: 0,
    willsPublished: 0,
    slowConsumersCut: 0,
    clusterSent: { ...clusterWays },
    clusterReceived: { ...clusterWays },
    clusterRepeated: 0,
    clusterOutboxDropped: 0,
    clusterMoves: { ...moveEnds },
    clusterFramesRefused: 0,
    clusterFramesDropped: 0,
  }
}

function zeros<Key extends string | number>(keys: readonly Key[]): Record<Key, number> {
  return Object.fromEntries(keys.map((key) => [key, 0])) as Record<Key, number>
}
