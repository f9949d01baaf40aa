// What sessions need of the house around them.
import type { LimitsConfig } from '../config/schema.ts'
import type { HookRunner } from '../hooks.ts'
import type { Message } from '../message.ts'
import type { Counts, DropReason } from '../metrics/counts.ts'
import type { PluginLog } from '../plugin.ts'
import type { Store } from '../store/store.ts'
import type { Delivery } from './delivery.ts'
import type { Link } from './link.ts'
import type { Session } from './session.ts'

export interface DeliveryHouse {
  readonly limits: LimitsConfig
  readonly store: Store
  readonly hooks: HookRunner
  readonly counts: Counts
  readonly log: PluginLog
  /** Every message with a sequence number up to here is durable and was offered to all connected sessions. */
  readonly fedSequence: number
  /** Other nodes may hand over messages for sessions of this one. */
  readonly mayArrive: boolean
  /** Appends a message to the private stream of one session, for its subscription `via`; the sequence number. */
  keepForOne(message: Message, session: Session, via: string): number
  /**
   * Calls back once the cursor that was written is durable, or with an error; where the session has a shadow on another
   * node, that has been told which packet identifiers of QoS 2 are in use.
   */
  commitSent(session: Session, done: (error: Error | undefined) => void): void
  /** The session's cursor moved: it is written within 200 ms. */
  markMoved(session: Session): void
  /** A message of a shared subscription that its receiver did not acknowledge. True: another member will get it. */
  passOn(delivery: Delivery, from: Session): boolean
  /** The same for one that lies in the log by `via`; false also when that is no shared group. */
  passOnTurn(message: Message, via: string, from: Session): boolean
  /** Messages fell off a bounded queue before the session could read them. */
  tellSkipped(session: Session, messages: number): void
  countDrop(reason: DropReason, delivery: Delivery, session: Session): void
  /** QoS 0 left, or the client acknowledged it. */
  countDelivered(delivery: Delivery, link: Link | undefined): void
}
