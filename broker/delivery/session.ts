// A session: who owns it, what it subscribed to, what it still has to get. It outlives its connections (MQTT 4.1).
import type { ClientInfo } from '../plugin.ts'
import type { FormerClient, SessionRecord } from '../store/store.ts'
import type { Cuts } from './handed-over.ts'
import type { DeliveryHouse } from './house.ts'
import { Outbox } from './outbox.ts'
import type { Subscription } from './subscription.ts'

export class Session {
  readonly clientId: string
  /** The owner. Another user who comes with this client id is refused. */
  readonly username: string
  readonly createdAt: number
  /** What it holds is stored and outlives the connection; a later expiry of 0 only ends it with its connection. */
  readonly persistent: boolean
  readonly subscriptions = new Map<string, Subscription>()
  readonly outbox: Outbox
  /** QoS 2 packet identifiers received and not yet released (MQTT-4.3.3-10). */
  inbound: Set<number> | undefined
  /** Session Expiry Interval in seconds. */
  expiryS: number
  /** When the connection ended, in milliseconds since 1970; undefined while connected. */
  disconnectedAt: number | undefined
  /** Who left it, for a member of shared groups; undefined while it is connected. */
  lastClient: ClientInfo | undefined
  /** Who uses it, when it is a member of shared groups. */
  member: FormerClient | undefined
  /** How far the node that it came from is responsible; undefined: it did not come from another one. */
  cuts: Cuts | undefined
  /** Another node owns it, and this one still collects for it. */
  isLeaving = false
  /** Its shadow has become the session: of what is here only what was published here above this number is owed. */
  coveredUpTo: number | undefined
  /** Up to here messages were queued for a subscription that was lowered to QoS 0 since. */
  loweredAt = 0
  /** Raised when rights were taken away: what was looked at before is looked at again. */
  rightsVersion = 0
  /** It ended: expired, replaced by a clean start, or removed. */
  ended = false

  constructor(house: DeliveryHouse, record: SessionRecord) {
    this.clientId = record.clientId
    this.username = record.username
    this.createdAt = record.createdAt
    this.expiryS = record.expiryS
    this.persistent = record.expiryS > 0
    this.disconnectedAt = record.disconnectedAt
    this.member = record.member
    this.outbox = new Outbox(house, this)
  }

  hold(subscription: Subscription): void {
    const { filter, keptUntil } = subscription.record
    this.subscriptions.set(filter, subscription)
    this.loweredAt = Math.max(this.loweredAt, keptUntil)
  }

  get record(): SessionRecord {
    return {
      clientId: this.clientId,
      username: this.username,
      expiryS: this.expiryS,
      disconnectedAt: this.disconnectedAt,
      createdAt: this.createdAt,
      ...(this.member !== undefined && { member: this.member }),
    }
  }

  /** When it will have expired, in milliseconds since 1970; undefined while connected. */
  get expiresAt(): number | undefined {
    return this.disconnectedAt === undefined ? undefined : this.disconnectedAt + this.expiryS * 1000
  }
}
