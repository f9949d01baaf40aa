// A session's hold on one filter, as the router and the delivery use it.
import type { QoS } from '../message.ts'
import type { Member } from '../router/router.ts'
import type { SubscriptionRecord } from '../store/store.ts'
import type { Session } from './session.ts'

export class Subscription implements Member {
  slot = -1
  /** Subscriptions made later have higher numbers; one that replaces another has its number. */
  number = 0
  readonly session: Session
  record: SubscriptionRecord
  /** The filter that messages are matched with: without `$share/NAME/`. */
  readonly filter: string
  readonly share: string | undefined
  readonly queueing: boolean
  /** A deny overlaps the filter: true withholds messages of this topic. */
  withhold: ((topic: string) => boolean) | undefined
  /** Its client is away and may not hold it any more: when that is back it ends. */
  barred = false

  constructor(
    session: Session,
    record: SubscriptionRecord,
    split: { readonly filter: string; readonly share: string | undefined },
    withhold: ((topic: string) => boolean) | undefined,
  ) {
    this.session = session
    this.record = record
    this.filter = split.filter
    this.share = split.share
    this.queueing = session.persistent && record.qos > 0
    this.withhold = withhold
  }

  /** Its stream holds messages for this session above this place in the log. */
  readsAfter(position: number): boolean {
    return this.share === undefined && (this.queueing || this.record.keptUntil > position)
  }

  /** It changes nothing of a message but its QoS, so that all such receivers may share what is made for one. */
  get isPlain(): boolean {
    const { record } = this
    return (
      !record.noLocal && record.subscriptionId === undefined && this.share === undefined && this.withhold === undefined
    )
  }

  get load(): number {
    return this.session.outbox.window.size
  }

  get qos(): QoS {
    return this.record.qos
  }
}
