// The way of a message from its publisher to the sessions: retained, log, commit, and only then the receivers.

import type { Cluster, SharedGroupName } from '../cluster/cluster.ts'
import { type Delivery, deliver, lower, mergeTerms, type Terms, termsOf } from '../delivery/delivery.ts'
import type { DeliveryHouse } from '../delivery/house.ts'
import { Outgoing } from '../delivery/outgoing.ts'
import type { Session } from '../delivery/session.ts'
import type { Subscription } from '../delivery/subscription.ts'
import { OrioleError } from '../errors.ts'
import type { Message } from '../message.ts'
import type { Origin } from '../protocol/host.ts'
import { parseShare } from '../protocol/topics.ts'
import type { Route, Router } from '../router/router.ts'
import { privateStream } from '../store/store.ts'
import { afterHeld } from './after-held.ts'
import { type Departure, Departures, outboundStreams, type Plan } from './departures.ts'
import { pickShared } from './pick-shared.ts'
import { PrivateCopies } from './private-copies.ts'

/** One for all that are refused: nobody is to blame, and its stack says nothing. */
const diskIsFull = new OrioleError(
  'ORI_STORE_FULL',
  'store.diskMaxBytes is reached; raise it, or have clients read what waits for them',
)

export type Published = (error: Error | undefined, matched: boolean) => void

/** One message on its way through the commit. */
interface Publication {
  readonly outgoing: Outgoing
  readonly routes: readonly Route<Subscription>[]
  /** The members of shared groups that get it. */
  readonly picked: readonly Picked[] | undefined
  /** Subscriptions with a higher number were made after it came. */
  readonly newest: number
}

interface Picked {
  readonly subscription: Subscription
  /** Its own place in the log, because the session may get the message by another subscription too. */
  readonly outgoing: Outgoing
}

export class Dispatcher {
  /** Every message with a sequence number up to here is durable and was offered to all connected sessions. */
  fedSequence = 0
  readonly #router: Router<Subscription>
  /** Set right after construction: the house and the dispatcher know each other. */
  #house!: DeliveryHouse
  /** Undefined: the broker is alone. */
  readonly #departures: Departures | undefined
  readonly #copies: PrivateCopies
  readonly #internal: Origin = { waiting: 0 }

  constructor(router: Router<Subscription>, cluster: Pick<Cluster, 'routing' | 'replicas'> | undefined) {
    this.#router = router
    this.#departures = cluster && new Departures(cluster.routing)
    this.#copies = new PrivateCopies(cluster?.replicas)
  }

  enter(house: DeliveryHouse): void {
    this.#house = house
    this.fedSequence = house.store.lastSequence
  }

  /**
   * Appends what somebody wants and is not here, feeds those who are. `published` is called at once when nothing has to
   * be stored, else after the commit; after an error nobody gets the message.
   */
  publish(given: Message, origin: Origin = this.#internal, published: Published): void {
    const message = given.retain && this.#departures !== undefined ? afterHeld(given, this.#house.store) : given
    const routes = this.#router.match(message.topic)
    const plan = this.#departures?.plan(message, routes)
    const picked = plan === undefined ? pickShared(routes, message) : plan.picked
    this.#dispatch(message, routes, picked, plan, origin, published)
  }

  /** The same for a message of another node: for the receivers here alone, and retained messages are not looked at. */
  deliver(message: Message, origin: Origin, published: Published): void {
    const { via, ...own } = message
    if (via === undefined) {
      this.#dispatch(message, this.#router.match(own.topic), undefined, undefined, origin, published)
      return
    }
    const group = parseShare(via)
    const here = group && this.#router.find(group.filter)?.groups?.get(group.share)
    const member = here?.pick(own)
    // They left while it was on its way here. Where they may not have it, two nodes would send it to and fro for ever.
    const isDeserted = here === undefined || here.online.length + here.queueingAway === 0
    if (group !== undefined && isDeserted && this.#passOnElsewhere(group, own, false)) {
      this.#house.store.commit((error) => published(error, true))
      return
    }
    this.#dispatch(own, [], member && [member], undefined, origin, published)
  }

  /** `picked`: the members of groups that get it. `plan`: undefined: nobody on another node. */
  #dispatch(
    message: Message,
    routes: readonly Route<Subscription>[],
    picked: readonly Subscription[] | undefined,
    plan: Plan | undefined,
    origin: Origin,
    published: Published,
  ): void {
    const { store, counts } = this.#house
    const streams = message.qos === 0 ? undefined : streamsOf(routes)
    if (store.isFull && mustBeStored(message, streams, picked, plan)) {
      counts.messagesDropped.disk_cap += 1
      published(diskIsFull, routes.length > 0)
      return
    }
    // What it sends with QoS 0 nobody is told of: it is delivered, and not kept.
    const unkept = store.isFull && isRetained(message)
    if (unkept) counts.messagesDropped.disk_cap += 1
    else if (message.retain && message.origin === undefined) {
      store.putRetained(message)
      counts.retainedSet += 1
    }
    const outbound = plan === undefined || unkept ? undefined : outboundStreams(plan)
    const everywhere = outbound === undefined ? streams : streams === undefined ? outbound : [...streams, ...outbound]
    const appended = everywhere === undefined ? 0 : store.append(message, everywhere)
    const inHistory = everywhere === undefined && message.qos > 0 && store.keepsHistory(message.topic)
    // No session waits for it, so its number is of no use to any.
    if (inHistory) store.append(message, [])
    if (appended > 0 || inHistory) counts.messagesStored += 1
    const publication = {
      // A number that no stream of a session has is of no use to them either.
      outgoing: new Outgoing(message, streams === undefined ? 0 : appended),
      routes,
      picked: picked?.map((subscription) => this.#keepPicked(subscription, message)),
      newest: this.#router.newest,
    }
    const copies = this.#copies.take()
    const departure =
      plan && this.#departures?.append(message, plan, outbound === undefined ? 0 : appended, this.#house.store)
    const kept = publication.picked?.some(({ outgoing }) => outgoing.sequence > 0) === true
    const leaves = departure !== undefined && message.qos > 0
    const stored = streams !== undefined || inHistory || kept || leaves || (message.retain && message.qos > 0)
    const matched = routes.length > 0 || plan !== undefined
    if (!stored && origin.waiting === 0) {
      this.#feed(publication)
      if (plan !== undefined) this.#departures?.sendLive(message, plan)
      if (departure !== undefined) this.#sendWhenStored(departure)
      published(undefined, matched)
      return
    }
    origin.waiting += 1
    store.commit((error) => {
      origin.waiting -= 1
      if (error !== undefined) {
        counts.messagesDropped.not_stored += 1
        published(error, matched)
        return
      }
      this.#feed(publication)
      if (plan !== undefined) this.#departures?.sendLive(message, plan)
      this.#sendAll(departure === undefined ? copies : [departure, ...copies], () => published(undefined, matched))
    })
  }

  #sendAll(departures: readonly Departure[], done: () => void): void {
    let left = departures.length
    if (left === 0) done()
    for (const departure of departures) {
      this.#departures?.send(departure, () => {
        left -= 1
        if (left === 0) done()
      })
    }
  }

  /** A retained message with QoS 0: nobody waits for it. */
  #sendWhenStored(departure: Departure): void {
    this.#house.store.commit((error) => {
      if (error === undefined) this.#departures?.send(departure, ignore)
    })
  }

  /** For one session alone: a retained message that it must not lose. Returns the sequence number. */
  keepForOne(message: Message, session: Session, via: string): number {
    const sequence = this.#append(message, session, via)
    const copies = this.#copies.take()
    this.#house.store.commit((error) => {
      if (error !== undefined) return
      this.#raise(sequence)
      this.#sendAll(copies, ignore)
    })
    return sequence
  }

  /**
   * A shared message that `from` did not acknowledge goes to another member, by the way of every message: the log,
   * the commit, and then the receiver. False: nobody else is there.
   */
  passOn(delivery: Delivery, from: Session): boolean {
    const { share: left, outgoing } = delivery
    if (left?.share === undefined) return false
    const group = { share: left.share, filter: left.filter }
    return this.#passOnTo(group, outgoing.message, from, from.subscriptions.get(left.record.filter), left)
  }

  /** The same for a turn that `from` finds in the log, by `$share/NAME/filter`, and may not take. */
  passOnTurn(message: Message, via: string, from: Session): boolean {
    const group = parseShare(via)
    if (group === undefined) return false
    const { via: _, ...own } = message
    const held = from.subscriptions.get(via)
    return this.#passOnTo(group, own, from, held, held)
  }

  /** `held`: what `from` has of the group now. */
  #passOnTo(
    { share, filter }: SharedGroupName,
    message: Message,
    from: Session,
    held: Subscription | undefined,
    except: Subscription | undefined,
  ): boolean {
    const member = this.#router.find(filter)?.groups?.get(share)?.pick(message, except)
    const isOwed = isOwedWhenBack(from, held, message)
    const isBetter =
      member !== undefined && (member.slot >= 0 || (!isOwed && !(member.barred && held?.barred === true)))
    if (!isBetter) return !isOwed && this.#passOnElsewhere({ share, filter }, message, held?.barred === true)
    const picked = [this.#keepPicked(member, message)]
    const copies = this.#copies.take()
    const publication = { outgoing: new Outgoing(message, 0), routes: [], picked, newest: this.#router.newest }
    this.#house.store.commit((error) => {
      if (error !== undefined) {
        this.#house.counts.messagesDropped.not_stored += 1
        return
      }
      this.#feed(publication)
      this.#sendAll(copies, ignore)
    })
    return true
  }

  /** To a member on another node, as a message of this one. */
  #passOnElsewhere(group: SharedGroupName, given: Message, onlineAlone: boolean): boolean {
    const departures = this.#departures
    const plan = departures?.planForOne(group, given, onlineAlone)
    if (departures === undefined || plan === undefined) return false
    const { origin: _, ...message } = given
    const departure = departures.append(message, plan, 0, this.#house.store)
    this.#house.store.commit((error) => {
      if (error !== undefined) {
        this.#house.counts.messagesDropped.not_stored += 1
        return
      }
      departures.sendLive(message, plan)
      if (departure !== undefined) departures.send(departure, ignore)
    })
    return true
  }

  #keepPicked(subscription: Subscription, message: Message): Picked {
    const { queueing, session, record } = subscription
    const kept = queueing && message.qos > 0
    return { subscription, outgoing: new Outgoing(message, kept ? this.#append(message, session, record.filter) : 0) }
  }

  #append(message: Message, session: Session, via: string): number {
    const { store } = this.#house
    const own = { ...message, via }
    const sequence = store.append(own, [privateStream(session.clientId)])
    this.#copies.append(own, session, sequence, store)
    return sequence
  }

  #feed({ outgoing, routes, picked, newest }: Publication): void {
    this.#raise(outgoing.sequence)
    for (const { outgoing: own } of picked ?? []) this.#raise(own.sequence)
    if (routes.length === 1) {
      // Backwards, because a receiver that is cut leaves the array, and the last one takes its place.
      const { online } = routes[0]!
      for (let index = online.length - 1; index >= 0; index -= 1) {
        const subscription = online[index]
        if (subscription !== undefined && subscription.number <= newest) this.#offerOne(subscription, outgoing)
      }
    } else if (routes.length > 1) this.#feedOverlapping(outgoing, routes, newest)
    for (const { subscription, outgoing: own } of picked ?? []) this.#offerPicked(subscription, own)
  }

  #raise(sequence: number): void {
    if (sequence > this.fedSequence) this.fedSequence = sequence
  }

  /** A session with several matching filters gets one delivery (MQTT-3.3.4-2). */
  #feedOverlapping(outgoing: Outgoing, routes: readonly Route<Subscription>[], newest: number): void {
    const found = new Map<Session, Terms | undefined>()
    for (const route of routes) {
      for (const subscription of route.online) {
        if (subscription.number > newest) continue
        const terms = mergeTerms(found.get(subscription.session), termsOf(subscription, outgoing.message))
        if (terms !== undefined || outgoing.sequence > 0) found.set(subscription.session, terms)
      }
    }
    for (const [session, terms] of found) {
      if (terms === undefined) session.outbox.pass(outgoing.sequence)
      else this.#offer(session, outgoing, terms, undefined)
    }
  }

  #offerOne(subscription: Subscription, outgoing: Outgoing): void {
    if (subscription.isPlain && this.#house.hooks.onDeliver === undefined) {
      this.#offerPlain(subscription, outgoing)
      return
    }
    const terms = termsOf(subscription, outgoing.message)
    if (terms === undefined) {
      if (subscription.withhold !== undefined) this.#house.counts.messagesDropped.withheld += 1
      subscription.session.outbox.pass(outgoing.sequence)
      return
    }
    this.#offer(subscription.session, outgoing, terms, subscription.share === undefined ? undefined : subscription)
  }

  /** Most subscriptions in most rooms: nothing is made for each receiver. */
  #offerPlain({ session, record }: Subscription, outgoing: Outgoing): void {
    const { qos, retain } = outgoing.message
    const granted = isUnkept(session, outgoing) ? 0 : lower(qos, record.qos)
    session.outbox.offer(outgoing.plainDelivery(granted, retain && record.retainAsPublished))
  }

  /** The member that was picked may have left, or subscribed anew, while the message was being stored. */
  #offerPicked(picked: Subscription, outgoing: Outgoing): void {
    const { session, record } = picked
    const now = session.subscriptions.get(record.filter)
    if (now !== undefined && now.slot >= 0) this.#offerOne(now, outgoing)
    else if (now?.queueing !== true) {
      const terms = termsOf(picked, outgoing.message)
      if (terms !== undefined && terms.qos > 0) this.passOn({ outgoing, ...terms, share: picked }, session)
    }
  }

  #offer(session: Session, outgoing: Outgoing, terms: Terms, share: Subscription | undefined): void {
    const given: Terms = isUnkept(session, outgoing) ? { ...terms, qos: 0 } : terms
    const delivery = deliver(this.#house, session, outgoing, given, share)
    if (delivery !== undefined) session.outbox.offer(delivery)
  }
}

/** Its messages are kept, and it may have them: others who are away are no better. */
function isOwedWhenBack(session: Session, held: Subscription | undefined, { topic }: Message): boolean {
  if (!session.persistent || session.ended) return false
  return held !== undefined && !held.barred && held.withhold?.(topic) !== true
}

/** The subscription was raised from QoS 0 while the message was on its way: it is not in the log to be sent again. */
function isUnkept(session: Session, outgoing: Outgoing): boolean {
  return session.persistent && outgoing.sequence === 0
}

function mustBeStored(
  message: Message,
  streams: unknown,
  picked: readonly Subscription[] | undefined,
  plan: Plan | undefined,
): boolean {
  if (message.qos === 0) return false
  if (plan !== undefined && (plan.elsewhere.length > 0 || outboundStreams(plan) !== undefined)) return true
  return streams !== undefined || isRetained(message) || picked?.some(({ queueing }) => queueing) === true
}

/** An empty payload gives space back. */
function isRetained({ retain, payload }: Message): boolean {
  return retain && payload.length > 0
}

/** The streams under which somebody will look for the message later; undefined: nobody will. */
function streamsOf(routes: readonly Route<Subscription>[]): string[] | undefined {
  let streams: string[] | undefined
  for (const route of routes) {
    if (route.queueing === 0) continue
    streams ??= []
    streams.push(route.filter)
  }
  return streams
}

function ignore(): void {}
