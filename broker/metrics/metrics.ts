// Every number that the broker publishes, in one list, with its name and meaning for Prometheus.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { reason } from '../protocol/reason-codes.ts'
import { type Counts, createCounts } from './counts.ts'
import { LoopDelay } from './loop-delay.ts'

export type { Counts } from './counts.ts'

export interface Metrics {
  /** Add to them where it happens; they are read when somebody asks. */
  readonly counts: Counts
  readonly loopDelay: LoopDelay
  /** Registers where a number of the present is read, or one for each value of its label; again: replaces it. */
  gauge(name: GaugeName, read: () => Reading): void
  /** How long one commit of the store took, sync included. */
  observeCommit(seconds: number): void
  /** How long a session took to come here from another node, with what is unread. */
  observeMove(seconds: number): void
  /** The text format of Prometheus. */
  render(): Promise<string>
  readonly contentType: string
  close(): void
}

/** By the value of the label where the gauge has one. */
export type Reading = number | ReadonlyMap<string, number>

interface Published {
  readonly name: `oriole_${string}_total`
  readonly help: string
  readonly label?: string
}

const published = {
  connectionsOpened: { name: 'oriole_connections_opened_total', help: 'Connections that a listener handed over.' },
  connectionsClosed: { name: 'oriole_connections_closed_total', help: 'Connections that ended.' },
  connectionsRefused: {
    name: 'oriole_connections_refused_total',
    help: 'Connections refused before MQTT: limits, PROXY protocol, TLS, WebSocket, time.',
    label: 'reason',
  },
  certificateReloads: { name: 'oriole_certificate_reloads_total', help: 'Certificates reloaded.' },
  certificateReloadFailures: {
    name: 'oriole_certificate_reload_failures_total',
    help: 'Changed certificate files that were not usable; the old certificate stayed.',
  },
  connectsAccepted: { name: 'oriole_connects_accepted_total', help: 'CONNECT packets answered with success.' },
  connectsRefused: {
    name: 'oriole_connects_refused_total',
    help: 'CONNECT packets refused, by reason of MQTT 5.',
    label: 'reason',
  },
  disconnectsSent: {
    name: 'oriole_disconnects_total',
    help: 'Connections that the broker ended, by reason of MQTT 5.',
    label: 'reason',
  },
  messagesReceived: { name: 'oriole_messages_received_total', help: 'Messages that clients published.', label: 'qos' },
  messagesDelivered: { name: 'oriole_messages_delivered_total', help: 'Messages sent to clients.', label: 'qos' },
  messagesStored: { name: 'oriole_messages_stored_total', help: 'Messages appended to the store.' },
  messagesDropped: {
    name: 'oriole_messages_dropped_total',
    help: 'Messages that did not reach a client that wanted them.',
    label: 'reason',
  },
  diskCapDropped: {
    name: 'oriole_disk_cap_dropped_total',
    help: 'Stored messages that went because store.diskMaxBytes was reached.',
    label: 'kind',
  },
  acksReceived: { name: 'oriole_acks_received_total', help: 'PUBACK, PUBREC, PUBREL and PUBCOMP received.' },
  acksSent: { name: 'oriole_acks_sent_total', help: 'PUBACK, PUBREC, PUBREL and PUBCOMP sent.' },
  authFailures: { name: 'oriole_auth_failures_total', help: 'Clients that could not prove who they are.' },
  banned: {
    name: 'oriole_connects_banned_total',
    help: 'CONNECT packets of those who are kept out: by the list of bans, for wrong passwords, for coming and going.',
    label: 'by',
  },
  paused: {
    name: 'oriole_publish_paused_total',
    help: 'Times that a socket was read later because a client, a user or a group published faster than it may.',
    label: 'by',
  },
  rightsChanges: { name: 'oriole_rights_changes_total', help: 'Changes after which clients were asked for again.' },
  identitiesExpired: { name: 'oriole_identities_expired_total', help: 'Connections whose credentials ended.' },
  aclDenied: { name: 'oriole_acl_denied_total', help: 'Requests that no rule allows.', label: 'kind' },
  bytesIn: { name: 'oriole_bytes_received_total', help: 'Bytes of MQTT received.' },
  bytesOut: { name: 'oriole_bytes_sent_total', help: 'Bytes of MQTT sent.' },
  commits: { name: 'oriole_commits_total', help: 'Commits of the store.' },
  commitFailures: {
    name: 'oriole_commit_failures_total',
    help: 'Commits that failed; nothing of them was acknowledged.',
  },
  pluginErrors: { name: 'oriole_plugin_errors_total', help: 'Throws and timeouts of plugins.' },
  subscribes: { name: 'oriole_subscribes_total', help: 'Filters granted.' },
  unsubscribes: { name: 'oriole_unsubscribes_total', help: 'Filters given up.' },
  subscriptionsEnded: {
    name: 'oriole_subscriptions_ended_total',
    help: 'Filters that clients held and may not hold any more.',
  },
  retainedSet: { name: 'oriole_retained_set_total', help: 'Retained messages set or cleared.' },
  willsPublished: { name: 'oriole_wills_published_total', help: 'Wills published.' },
  slowConsumersCut: {
    name: 'oriole_slow_consumers_cut_total',
    help: 'Connections cut because they did not read what was sent.',
  },
  clusterSent: {
    name: 'oriole_cluster_messages_sent_total',
    help: 'Copies of messages sent to other nodes, those that were sent again among them.',
    label: 'way',
  },
  clusterReceived: {
    name: 'oriole_cluster_messages_received_total',
    help: 'Messages taken from other nodes, each once.',
    label: 'way',
  },
  clusterRepeated: {
    name: 'oriole_cluster_messages_repeated_total',
    help: 'Messages from other nodes that this node had already.',
  },
  clusterOutboxDropped: {
    name: 'oriole_cluster_outbox_dropped_total',
    help: 'Messages that another node did not get, because cluster.outboxMaxBytes was reached.',
  },
  clusterMoves: {
    name: 'oriole_cluster_session_moves_total',
    help: 'Sessions given to other nodes, taken from them, taken without all that is unread, and not obtained from them.',
    label: 'end',
  },
  clusterFramesRefused: {
    name: 'oriole_cluster_frames_refused_total',
    help: 'Frames and stream entries from Redis that are not of this cluster, damaged, repeated or too large.',
  },
  clusterFramesDropped: {
    name: 'oriole_cluster_frames_dropped_total',
    help: 'Frames to other nodes that were not sent because Redis took them too slowly.',
  },
} as const satisfies Record<keyof Counts, Published>

const gauges = {
  connections: { name: 'oriole_connections', help: 'Clients connected now.' },
  sessions: { name: 'oriole_sessions', help: 'Sessions known now, connected or not.' },
  subscriptions: { name: 'oriole_subscriptions', help: 'Subscriptions now.' },
  retained: { name: 'oriole_retained_messages', help: 'Retained messages now.' },
  bans: { name: 'oriole_bans', help: 'Users, clients and addresses in the list of bans now.' },
  storeLastSequence: { name: 'oriole_store_last_sequence', help: 'Sequence number of the last stored message.' },
  draining: { name: 'oriole_draining', help: '1 while clients are being sent to other nodes before the node ends.' },
  clusterRedisUp: { name: 'oriole_cluster_redis_up', help: '1 while Redis answers, 0 while this node serves alone.' },
  clusterNodes: {
    name: 'oriole_cluster_nodes',
    help: 'Other nodes of the cluster, by whether their lease is alive.',
    label: 'state',
  },
  clusterOutboxMessages: {
    name: 'oriole_cluster_outbox_messages',
    help: 'Messages in the log that another node has not taken yet.',
    label: 'node',
  },
  clusterOutboxBytes: {
    name: 'oriole_cluster_outbox_bytes',
    help: 'Bytes in the log that another node has not taken yet; the bound is cluster.outboxMaxBytes.',
    label: 'node',
  },
  clusterOutboxAge: {
    name: 'oriole_cluster_outbox_age_seconds',
    help: 'Age of the oldest message in the log that another node has not taken yet.',
    label: 'node',
  },
  clusterShadows: {
    name: 'oriole_cluster_shadows',
    help: 'Sessions of other nodes that this one holds, too, in case that their node is lost.',
  },
  clusterReplicas: {
    name: 'oriole_cluster_replicas',
    help: 'Sessions of this node whose unread messages shall lie on another node, too, by whether they do.',
    label: 'state',
  },
  clusterFilters: { name: 'oriole_cluster_filters', help: 'Filters of other nodes that this node knows of.' },
} as const satisfies Record<string, { readonly name: string; readonly help: string; readonly label?: string }>

export type GaugeName = keyof typeof gauges

/** From a memory store to a disk that struggles, in seconds. */
const commitBuckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]

/** From a session without messages to one that waits for a node, in seconds. */
const moveBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

/** With a registry of its own, so that several brokers may live in one process. */
export function createMetrics(): Metrics {
  const registry = new Registry()
  const counts = createCounts()
  const loopDelay = new LoopDelay()
  const readers = new Map<GaugeName, () => Reading>()
  collectDefaultMetrics({ register: registry })
  for (const key of Object.keys(published) as (keyof Counts)[]) publishCount(registry, counts, key)
  publishLoopDelay(registry, loopDelay)
  const commits = new Histogram({
    name: 'oriole_commit_seconds',
    help: 'Time of one commit of the store, sync included.',
    buckets: commitBuckets,
    registers: [registry],
  })
  const moves = new Histogram({
    name: 'oriole_cluster_session_move_seconds',
    help: 'Time from asking another node for a session until it is here with what is unread.',
    buckets: moveBuckets,
    registers: [registry],
  })
  return {
    counts,
    loopDelay,
    gauge: (name, read) => {
      if (!readers.has(name)) publishGauge(registry, name, () => readers.get(name)?.() ?? 0)
      readers.set(name, read)
    },
    observeCommit: (seconds) => commits.observe(seconds),
    observeMove: (seconds) => moves.observe(seconds),
    render: () => registry.metrics(),
    contentType: registry.contentType,
    close: () => {
      loopDelay.stop()
      registry.clear()
    },
  }
}

function publishCount(registry: Registry, counts: Counts, key: keyof Counts): void {
  const { name, help, label }: Published = published[key]
  const counter: Counter = new Counter({
    name,
    help,
    labelNames: label === undefined ? [] : [label],
    registers: [registry],
    collect: () => {
      counter.reset()
      const value = counts[key]
      if (typeof value === 'number') {
        counter.inc(value)
        return
      }
      for (const [labelValue, count] of labelled(key, value)) counter.inc({ [label ?? 'reason']: labelValue }, count)
    },
  })
}

function labelled(key: keyof Counts, values: Readonly<Record<string, number>>): [label: string, count: number][] {
  if (key === 'connectsRefused' || key === 'disconnectsSent') {
    // Below 0x80 is success [MQTT-2.4]; only what was given is shown, most of the table never is.
    return Object.entries(reason).flatMap(([word, code]) => {
      const count = values[code] ?? 0
      return count === 0 ? [] : [[snakeCase(word), count]]
    })
  }
  if (key === 'messagesReceived' || key === 'messagesDelivered') {
    return Object.entries(values).map(([qos, count]) => [qos.slice('qos'.length), count])
  }
  return Object.entries(values)
}

function snakeCase(word: string): string {
  return word.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

function publishGauge(registry: Registry, key: GaugeName, read: () => Reading): void {
  const { name, help, label }: { readonly name: string; readonly help: string; readonly label?: string } = gauges[key]
  const gauge: Gauge = new Gauge({
    name,
    help,
    labelNames: label === undefined ? [] : [label],
    registers: [registry],
    collect: () => {
      const value = read()
      if (typeof value === 'number') {
        gauge.set(value)
        return
      }
      // Of nodes that are gone nothing is left.
      gauge.reset()
      for (const [labelValue, number] of value) gauge.set({ [label ?? 'name']: labelValue }, number)
    },
  })
}

function publishLoopDelay(registry: Registry, loopDelay: LoopDelay): void {
  const gauge: Gauge = new Gauge({
    name: 'oriole_loop_delay_seconds',
    help: 'How late the event loop was in the last ten seconds; quantile 1 is the maximum.',
    labelNames: ['quantile'],
    registers: [registry],
    collect: () => {
      const { p50, p99, max } = loopDelay.seconds
      gauge.set({ quantile: '0.5' }, p50)
      gauge.set({ quantile: '0.99' }, p99)
      gauge.set({ quantile: '1' }, max)
    },
  })
}
