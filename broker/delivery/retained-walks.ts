// Retained messages for new subscriptions: walked a few at a time, as the client's window and the loop allow.
import { errorText } from '../errors.ts'
import type { Message } from '../message.ts'
import type { Retained } from '../store/store.ts'
import { type Delivery, deliver, type Terms, termsOf } from './delivery.ts'
import type { DeliveryHouse } from './house.ts'
import type { Link } from './link.ts'
import { Outgoing } from './outgoing.ts'
import type { Session } from './session.ts'
import type { Subscription } from './subscription.ts'

/** After this many messages other clients have their turn. */
const turnMessages = 100

/** In the place of a payload that is on disk: who gets the message does not depend on it. */
const unread = Buffer.alloc(0)

interface Walk {
  /** As the client wrote it. */
  readonly filter: string
  readonly messages: Iterator<Retained | undefined>
  /** The topic whose message the window had no room for; read again when it has, because it may have changed. */
  waiting: string | undefined
  /** A large one, just read from the disk. */
  loaded: Message | undefined
}

export class RetainedWalks {
  readonly #house: DeliveryHouse
  readonly #session: Session
  #walks: Walk[] = []
  #resting = false
  /** Messages since the others had their turn. */
  #turn = 0

  constructor(house: DeliveryHouse, session: Session) {
    this.#house = house
    this.#session = session
  }

  get isIdle(): boolean {
    return this.#walks.length === 0
  }

  add(filter: string): void {
    this.#walks.push({
      filter,
      messages: this.#house.store.matchRetained(filter),
      waiting: undefined,
      loaded: undefined,
    })
  }

  clear(): void {
    this.#walks = []
  }

  /** The next retained message that may be sent now; QoS 0 is only given while the output has room. */
  take(link: Link, mayAdd: () => boolean, resume: () => void): Delivery | undefined {
    while (this.#walks.length > 0 && !this.#resting && link.hasRoom) {
      if (this.#turn >= turnMessages) {
        this.#rest(resume)
        return undefined
      }
      const walk = this.#walks[0]!
      const subscription = this.#session.subscriptions.get(walk.filter)
      const step = this.#next(walk)
      if (subscription === undefined || step.done === true) {
        this.#walks.shift()
        if (subscription !== undefined) this.#ended(subscription)
        continue
      }
      const message = step.value
      if (message === undefined) {
        this.#rest(resume)
        return undefined
      }
      this.#turn += 1
      const terms = termsOf(subscription, message.payload === undefined ? { ...message, payload: unread } : message)
      if (terms !== undefined) {
        if (terms.qos > 0 && !mayAdd()) {
          walk.waiting = message.topic
          return undefined
        }
        if (message.payload === undefined) {
          this.#load(walk, message.topic, resume)
          return undefined
        }
        const delivery = this.#deliver(message, { ...terms, retain: true }, walk.filter)
        if (delivery !== undefined) return delivery
      }
    }
    return undefined
  }

  /** Its value is undefined where the walk has come far without a match: other clients have their turn. */
  #next(walk: Walk): IteratorResult<Retained | undefined> {
    const { loaded } = walk
    walk.loaded = undefined
    if (loaded !== undefined) return { done: false, value: loaded }
    if (walk.waiting !== undefined) {
      const again = this.#house.store.getRetained(walk.waiting)
      walk.waiting = undefined
      if (again !== undefined) return { done: false, value: again }
    }
    return walk.messages.next()
  }

  /** A persistent session may be cut off before it acknowledges: the log keeps the message for it alone. */
  #deliver(message: Message, terms: Terms, filter: string): Delivery | undefined {
    const session = this.#session
    const sequence = terms.qos > 0 && session.persistent ? this.#house.keepForOne(message, session, filter) : 0
    return deliver(this.#house, session, new Outgoing(message, sequence), terms, undefined)
  }

  /** All were sent, and those that are not acknowledged are in the log: a crash need not start again. */
  #ended(subscription: Subscription): void {
    if (!subscription.record.retainedPending) return
    subscription.record = { ...subscription.record, retainedPending: false }
    this.#house.store.putSubscription(this.#session.clientId, subscription.record)
  }

  /** Nothing else of the walk is sent meanwhile. One that cannot be read is left out: the others are as good as before. */
  #load(walk: Walk, topic: string, resume: () => void): void {
    this.#resting = true
    this.#house.store
      .loadRetained(topic)
      .then((message) => {
        walk.loaded = message
      })
      .catch((error: unknown) => {
        this.#house.log.error({ topic, error: errorText(error) }, 'a retained message could not be read')
      })
      .finally(() => {
        this.#resting = false
        resume()
      })
  }

  #rest(resume: () => void): void {
    this.#resting = true
    this.#turn = 0
    setImmediate(() => {
      this.#resting = false
      resume()
    })
  }
}
