// What a node tells of its cluster, to the person who runs it and to the command that shows it.

export interface ClusterOperations {
  /** Asks Redis and every live node; who does not answer within a second has no report. */
  status(): Promise<ClusterStatus>
  /**
   * Takes a node that is away for good out of the cluster, with what waited for it. Rejects with OrioleError when it is
   * alive or not known, or Redis is away.
   */
  forget(node: string): Promise<Forgotten>
  /** Every live node reads the files of its plugins now. `outcome` is what `reload` of that node answered. */
  reloadOthers(): Promise<readonly NodeReload[]>
  /** Every live node ends the connections of this client, or of this user. */
  kickElsewhere(whom: Whom): Promise<readonly NodeEnded[]>
  /** Reads from Redis now who is alive, without waiting for the next heartbeat. */
  lookAround(): Promise<void>
  readonly isRedisUp: boolean
  /** Why this node is not with the others although Redis answers; undefined: it is, or Redis does not answer. */
  readonly refusal: string | undefined
  nodes(): NodeCounts
  /** What other nodes have not taken yet. */
  outboxes(): readonly OutboxStatus[]
  /** Where clients can go: of the live nodes, those that say so. */
  serverReferences(): readonly string[]
  /** Filters of other nodes. */
  readonly filters: number
}

/** Of the sessions of this node that outlive their connections and hold a subscription. */
export interface ReplicaCounts {
  /** Everything of them lies on another node, too. */
  readonly complete: number
  /** Their shadows are being built, or the node that holds them is away. */
  readonly missing: number
}

export interface NodeReload {
  readonly node: string
  /** Undefined: it did not answer, and `problem` says why. */
  readonly outcome: unknown
  readonly problem: string | undefined
}

/** A client id, or the name of a user. */
export interface Whom {
  readonly client?: string | undefined
  readonly user?: string | undefined
}

/** What a node did that was told whom to end. */
export interface NodeEnded {
  readonly node: string
  /** Connections. */
  readonly ended: number
  /** Why it could not be told. */
  readonly problem: string | undefined
}

export interface NodeCounts {
  readonly live: number
  readonly away: number
}

export interface Forgotten {
  /** Messages that this node kept for it. */
  readonly messages: number
}

export interface ClusterStatus {
  readonly cluster: string
  readonly redis: RedisStatus
  /** By name. */
  readonly nodes: readonly NodeStatus[]
}

export interface RedisStatus {
  readonly isUp: boolean
  /** Why it is not, or why this node is not let in. */
  readonly problem: string | undefined
  /** One question and its answer. */
  readonly latencyMs: number | undefined
  /** The following are undefined where Redis does not tell: an ACL may forbid INFO. */
  readonly version: string | undefined
  readonly memoryBytes: number | undefined
  readonly clients: number | undefined
  /** What will cause trouble, a sentence each. */
  readonly warnings: readonly string[]
}

export interface NodeStatus {
  readonly node: string
  /** `unknown`: Redis is away, so nobody knows. */
  readonly state: 'here' | 'live' | 'away' | 'unknown'
  readonly busVersion: number
  readonly serverReference: string | undefined
  /** Its Redis Stream: what all others sent to it and it has not taken; undefined while Redis does not tell. */
  readonly stream: StreamStatus | undefined
  /** Undefined: it did not answer. */
  readonly report: NodeReport | undefined
}

export interface StreamStatus {
  readonly entries: number
  /** How long the oldest waits. */
  readonly oldestS: number | undefined
}

/** What a node tells of itself. */
export interface NodeReport extends NodeLoad {
  readonly version: string
  readonly upS: number
  readonly outboxes: readonly OutboxStatus[]
}

export interface NodeLoad {
  readonly connections: number
  readonly sessions: number
  readonly subscriptions: number
  readonly isDraining: boolean
}

/** In the log of one node, for another one that has not taken it. */
export interface OutboxStatus {
  readonly node: string
  /** That node is there. */
  readonly isLive: boolean
  readonly messages: number
  readonly bytes: number
  readonly oldestS: number | undefined
}
