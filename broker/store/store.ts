// The store contract: one log, many cursors. Every store passes test/contracts/store.ts.
import type { Message, QoS } from '../message.ts'
import type { Identity } from '../plugin.ts'

/**
 * Writes are calls without an answer: each takes its place in the batch that collects now, in the order of the calls.
 * `commit` tells when everything written before it is as safe as the durability setting promises. Reads see every
 * write that was made before them, committed or not.
 */
export interface Store {
  /** Opens or makes the data and returns the sessions and wills that were there. Throws OrioleError on damage. */
  open(): Promise<Recovered>
  /** Commits what is pending and closes. */
  close(): Promise<void>

  /** The highest sequence number given so far; 0 in a new store. Never restarts. */
  readonly lastSequence: number
  /** Undefined while all is well; else why nothing can be stored now (`/ready` shows it). */
  readonly failure: Error | undefined
  /** The cap on the disk is reached: what would have to be stored is to be refused. Nothing that is stored is touched. */
  readonly isFull: boolean

  /**
   * Appends a message to the log once and indexes it under each stream. A stream is a topic filter that at least one
   * persistent session holds, or a private stream of one reader. A message with `via` is a copy for one session, which
   * no history keeps. Returns the sequence number.
   */
  append(message: Message, streams: readonly string[]): number

  /**
   * Calls back once everything written before is durable, or with an error when it is not and will not be: then
   * nothing of that batch may be acknowledged. Calls back in the order of the calls, never synchronously.
   */
  commit(done: (error: Error | undefined) => void): void

  /**
   * Reads what these positions have not seen, in the order of the sequence numbers, each message once however many of
   * the streams hold it. Resolves with at most `limit` entries; `end` tells that there was nothing more. What the
   * reader `has` above its positions is read all the same, and is not skipped when it is gone.
   */
  read(positions: readonly StreamPosition[], limit: number, has?: ReadonlySet<number>): Promise<ReadResult>
  /** The messages with these sequence numbers, for redelivery; undefined for one that is gone. */
  readExact(sequences: readonly number[]): Promise<(Message | undefined)[]>

  /** A retention rule keeps what is published to this topic with QoS 1 or 2: `append` it, also without streams. */
  keepsHistory(topic: string): boolean
  /**
   * Messages that a retention rule keeps: those of one conversation, which is a topic, or of all that match a filter.
   * Survives the end of sessions and queues, and a restart. Every `limit` messages cost one walk over the topics when
   * there is a wildcard in the filter.
   */
  readHistory(filter: string, range: HistoryRange): Promise<HistoryPage>

  /** The streams that hold at least one message, or remember that they dropped some. */
  streams(): Iterable<string>
  /** What a stream holds now. */
  held(stream: string): Held
  /** Everyone who reads this stream has passed `upTo`: give back the space. Not counted as a loss. */
  trim(stream: string, upTo: number): void

  putSession(session: SessionRecord): void
  /** Deletes the session with its subscriptions, cursor, inbound packet identifiers and the streams that are its own. */
  deleteSession(clientId: string): void
  putSubscription(clientId: string, subscription: SubscriptionRecord): void
  deleteSubscription(clientId: string, filter: string): void
  /**
   * Replaces the cursor. `soon` is a checkpoint at most every 200 ms: one that is older after a crash only means that
   * something is delivered again. `now`, and any that has QoS 2 in flight, is on disk with the next commit.
   */
  putCursor(clientId: string, cursor: Cursor, when?: 'soon' | 'now'): void
  /** A QoS 2 message was received under this packet identifier and not yet released (MQTT-4.3.3-10). */
  putInbound(clientId: string, packetId: number): void
  deleteInbound(clientId: string, packetId: number): void

  /**
   * A number under a name, in the same batch as what was appended before it since the last commit: with a batch that
   * fails it is gone, as the messages are. At most 65,535 bytes of name.
   */
  putMark(name: string, value: number): void

  putWill(clientId: string, will: WillRecord): void
  deleteWill(clientId: string): void

  /** Sets, or with an empty payload removes, the retained message of its topic (MQTT-3.3.1-5, -6). */
  putRetained(message: Message): void
  getRetained(topic: string): Retained | undefined
  /**
   * Walks the retained messages that match a filter, lazily: take a few, yield to the loop, go on. `undefined` stands
   * where much was walked without a match, too: yield to the loop there. What is read is current when it is read.
   * Expired messages are left out. `$` topics do not match a leading wildcard (MQTT-4.7.2-1).
   */
  matchRetained(filter: string): IterableIterator<Retained | undefined>
  /** With its payload, as it is now; undefined: it is gone or has expired. Rejects when it cannot be read. */
  loadRetained(topic: string): Promise<Message | undefined>
  /** When the retained message of this topic was set or removed last, as far as it is remembered; also an expired one. */
  retainedStamp(topic: string): RetainedStamp | undefined
  /** Of every topic, also below `$`, lazily as `matchRetained`. */
  allRetained(): IterableIterator<RetainedWord | undefined>
  readonly retainedCount: number
  /** How many retained messages this user set. */
  retainedCountOf(username: string): number
}

/** Without a payload it is a large one whose payload is on disk: `loadRetained` reads it. */
export type Retained = Message | (Omit<Message, 'payload'> & { readonly payload: undefined })

/** Of two of one topic the higher `publishedAt` counts, then the higher store id, on every node of a cluster. */
export interface RetainedStamp {
  readonly publishedAt: number
  /** Where it was published; undefined: here. */
  readonly storeId: number | undefined
}

/** The last word on a topic: a message, or, without one, its removal. */
export interface RetainedWord {
  readonly topic: string
  readonly stamp: RetainedStamp
  readonly message: Retained | undefined
}

export interface StreamPosition {
  readonly stream: string
  /** Everything up to and including this sequence number has been seen. */
  readonly after: number
  /** What lies above is not read, and is not skipped either. */
  readonly upTo?: number | undefined
}

export interface Entry {
  readonly sequence: number
  readonly message: Message
}

export interface ReadResult {
  readonly entries: readonly Entry[]
  /** True: no further entry was in these streams when the read was made. */
  readonly end: boolean
  /**
   * Messages that fell off a bounded stream before these positions could read them, each once; one that another of the
   * streams still holds is not skipped. Of every message up to `through`, so the reads of a reader add up.
   */
  readonly skipped: number
  /** The same for each stream. A message that fell off several of them counts in each. */
  readonly gaps: readonly Gap[]
  /** Everything up to here has been looked at: the `after` of the next read, also when expired messages were left out. */
  readonly through: number
}

export interface Held {
  readonly messages: number
  /** Their places in memory among them. */
  readonly bytes: number
  /** In milliseconds since 1970. */
  readonly oldestPublishedAt: number | undefined
}

export interface Gap {
  readonly stream: string
  readonly messages: number
}

/** A line of `history:` in the config. The first rule whose filter matches a topic is the one for it. */
export interface HistoryRule {
  readonly filter: string
  /** Each bound is for each topic; at least one is set. */
  readonly days?: number | undefined
  readonly messages?: number | undefined
  readonly bytes?: number | undefined
}

/** With `after`: the oldest that are newer than it. Without: the newest, that are older than `before` if it is given. */
export interface HistoryRange {
  /** Sequence numbers; neither is in the range. */
  readonly after?: number | undefined
  readonly before?: number | undefined
  /** At least 1. */
  readonly limit: number
}

export interface HistoryPage {
  /** In the order of the sequence numbers, whatever the direction. Expired messages are left out. */
  readonly entries: readonly Entry[]
  /** True: nothing further was there in this direction. */
  readonly end: boolean
}

export interface SessionRecord {
  readonly clientId: string
  /** The owner: another user with this client id is refused. */
  readonly username: string
  /** Session Expiry Interval in seconds (MQTT-3.1.2-23). */
  readonly expiryS: number
  /** When the connection ended, in milliseconds since 1970; undefined while connected. */
  readonly disconnectedAt: number | undefined
  readonly createdAt: number
  /** Of a member of shared groups: its turns are another's when its rights end while it is away. */
  readonly member?: FormerClient
}

/** Whose rights are asked for while it is away, perhaps after a restart. */
export interface FormerClient {
  /** Before `identify`: made anew whenever it is asked for. */
  readonly identity: Identity
  /** The plugin that answered so; "": not known. */
  readonly provenBy: string
  /** Where the client came from, for rules that ask for it. */
  readonly address: string
  readonly listener: string
}

export interface SubscriptionRecord {
  /** As the client wrote it, `$share/NAME/` included. */
  readonly filter: string
  readonly qos: QoS
  readonly noLocal: boolean
  readonly retainAsPublished: boolean
  readonly retainHandling: 0 | 1 | 2
  readonly subscriptionId: number | undefined
  /** Messages of this stream with a higher sequence number belong to the subscription. */
  readonly since: number
  /** Retained messages of this filter were not all delivered yet: start again after a crash. */
  readonly retainedPending: boolean
  /**
   * For QoS 0 now, it replaced one for QoS 1 or 2, whose messages up to this sequence number may still wait in the log:
   * they are not lost (MQTT-3.8.4-4). 0: it did not.
   */
  readonly keptUntil: number
  /** The house made it, `too`: and the client asked for it by itself. Undefined: the client alone did. */
  readonly automatic?: 'only' | 'too' | undefined
}

/** How far a session has come in the log. */
export interface Cursor {
  /** Everything up to here is delivered and acknowledged, or does not concern the session. */
  readonly position: number
  /** Acknowledged out of order, above `position`. */
  readonly done: readonly number[]
  /** Sent and not acknowledged, in the order of sending. */
  readonly inflight: readonly InflightRecord[]
}

export interface InflightRecord {
  readonly packetId: number
  readonly sequence: number
  readonly qos: 1 | 2
  /** True: PUBREC came, PUBREL was or will be sent, PUBCOMP is awaited. */
  readonly released: boolean
}

/** With who left it: asked again when it fires. */
export interface WillRecord extends FormerClient {
  readonly message: Message
  /** Will Delay Interval in seconds (MQTT-3.1.3-9). */
  readonly delayS: number
  /** Fires at this time, in milliseconds since 1970; undefined while the client is connected. */
  readonly firesAt: number | undefined
}

export interface RecoveredSession {
  readonly session: SessionRecord
  readonly subscriptions: readonly SubscriptionRecord[]
  readonly cursor: Cursor | undefined
  readonly inbound: readonly number[]
}

/** As they were at the start. In the level store they stay packed: each is decoded anew when it is asked for. */
export interface RecoveredSessions extends Iterable<RecoveredSession> {
  readonly length: number
  /** In the order of the walk; undefined past the end. */
  at(index: number): RecoveredSession | undefined
}

export interface Recovered {
  readonly sessions: RecoveredSessions
  readonly wills: ReadonlyMap<string, WillRecord>
  readonly marks: ReadonlyMap<string, number>
}

/** Resolves when everything that was put until now is as durable as it is to be; rejects when it could not be written. */
export function committed(store: Pick<Store, 'commit'>): Promise<void> {
  return new Promise((resolve, reject) => {
    store.commit((error) => (error === undefined ? resolve() : reject(error)))
  })
}

/** The private stream of one session: messages that belong to it alone. */
export function privateStream(clientId: string): string {
  return `\u0000${clientId}`
}

/**
 * What another node handed over for one session: it is read before all else. The bounds of queues are not for it, because
 * it was within them where it came from. No client id has a control character.
 */
export function arrivalStream(clientId: string): string {
  return `\u0000\u0001${clientId}`
}

export function isArrival(stream: string): boolean {
  return stream.charCodeAt(1) === 1 && stream.charCodeAt(0) === 0
}

/** The mark that tells one data folder from all others, also from copies of it. */
export const storeIdMark = 'store-id'

/**
 * Streams of the cluster begin with U+0000 twice, which is in no filter and no client id: what another node still has
 * to get. The bounds of queues are not for them, but `outboxMaxBytes` is.
 */
export function isOutbox(stream: string): boolean {
  return stream.charCodeAt(1) === 0 && stream.charCodeAt(0) === 0
}

/** What a store must know of the limits. */
export interface StoreLimits {
  /** Removals of retained messages are remembered for a week, at most 100,000, because other nodes may be late. */
  readonly remembersRemovals?: boolean | undefined
  /** For each stream. */
  readonly queueMessages: number
  readonly queueBytes: number
  readonly queueAgeS: number
  /** For each stream of the cluster; none: no bound. */
  readonly outboxMaxBytes?: number | undefined
  /** That bound dropped messages. */
  readonly onOutboxFull?: ((stream: string, messages: number) => void) | undefined
}
