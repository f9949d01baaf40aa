// A naive model of MQTT, written only for the walk: lists, linear scans, and nothing shared with the broker.
//
// It does not say what happens next. It keeps what each session is owed; judge.ts compares that with what comes.
import {
  hasRoom,
  isOnce,
  type ModelSession,
  mayBeOnce,
  newOwed,
  type Owed,
  qosOf,
  type SharedOwed,
  type WalkMessage,
  type WalkSubscription,
} from './owed.ts'
import type { FilterRequest } from './steps.ts'
import {
  filterMatches,
  filtersOf,
  plain,
  retainedWay,
  sharedWay,
  shareOf,
  wayOf,
  waysFromLog,
  waysNow,
} from './ways.ts'

const defaultWindow = 100

export class Model {
  sessions: ModelSession[] = []
  shared: SharedOwed[] = []
  retained: WalkMessage[] = []
  readonly differences: string[] = []
  /** Clients that come or go at this moment, and the shared groups of those who go. */
  #racing: readonly string[] = []
  #racingGroups: readonly string[] = []
  #connections = 0

  session(id: string): ModelSession | undefined {
    return this.sessions.find((session) => session.id === id)
  }

  differ(text: string): void {
    this.differences.push(text)
  }

  /** From now on these clients come or go while others publish. */
  race(ids: readonly string[]): void {
    this.#racing = ids
    this.#racingGroups = this.#groups().filter((group) => this.#members(group).some(({ id }) => ids.includes(id)))
  }

  /** Returns session present. */
  connect(
    id: string,
    version: 4 | 5,
    how: { readonly clean: boolean; readonly expiryS: number; readonly receiveMaximum: number | undefined },
  ): boolean {
    this.dropped(id)
    if (how.clean) this.end(id)
    const known = this.session(id)
    const session: ModelSession = known ?? {
      ...{ id, subscriptions: [], owed: [], done: [], expiryS: 0 },
      ...{ connection: undefined, walking: [], walked: new Set<string>() },
    }
    if (known === undefined) this.sessions.push(session)
    session.expiryS = how.expiryS
    this.#connections += 1
    session.connection = { number: this.#connections, version, window: how.receiveMaximum ?? defaultWindow }
    return known !== undefined
  }

  /** The connection is gone, in whatever way. */
  dropped(id: string): void {
    const session = this.session(id)
    if (session?.connection === undefined) return
    session.connection = undefined
    // QoS 0 ends with the connection, but the retained messages of a new subscription go on.
    session.owed = session.owed.filter((owed) => owed.kind === 'retained' || owed.state !== 'waiting' || !isOnce(owed))
    for (const owed of session.owed) {
      owed.mayBeDup = true
      if (owed.state === 'waiting' && mayBeOnce(owed)) owed.required = false
      if (owed.state === 'ending') owed.required = false
      if (owed.kind === 'shared' && owed.state === 'sent') this.#passOn(owed)
    }
    for (const owed of this.shared) {
      if (!owed.candidates.has(id)) continue
      owed.mayBeDup = true
      for (const member of this.#members(owed.group)) owed.candidates.add(member.id)
      const way = sharedWay(session, owed)
      if (way?.qos === 0) owed.required = false
    }
    if (session.expiryS === 0) this.end(id)
  }

  end(id: string): void {
    this.sessions = this.sessions.filter((session) => session.id !== id)
    for (const owed of this.shared) if (owed.candidates.delete(id)) owed.required = false
  }

  restart(crash: boolean): void {
    for (const session of [...this.sessions]) this.dropped(session.id)
    for (const session of this.sessions) {
      for (const owed of session.owed) {
        // Without its subscription the broker does not know any more how it came.
        const bare = { qos: qosOf(owed), retain: owed.kind === 'retained', ids: [] }
        if (owed.state === 'waiting' && (owed.abandoned || isSecond(session, owed))) owed.required = false
        if (owed.abandoned) for (const { ways } of owed.options) ways.push(bare)
        // The cursor of QoS 2 is on disk before the message leaves; that of QoS 1 follows later.
        if (!crash || owed.state === 'waiting' || owed.state === 'received' || owed.state === 'released') continue
        owed.loose = true
        if (owed.abandoned) owed.required = false
        if (qosOf(owed) !== 1) continue
        owed.state = 'waiting'
        // It is read from the log again, and comes by the subscriptions of now.
        for (const { message, ways } of owed.options) ways.push(...waysFromLog(session, owed, message))
      }
      if (crash) {
        for (const owed of session.done.filter((done) => qosOf(done) < 2)) {
          for (const { message, ways } of owed.options) ways.push(...waysFromLog(session, owed, message))
          session.owed.push({ ...owed, required: false, state: 'waiting', mayBeDup: true, loose: true })
        }
      } else session.done = session.done.filter((done) => qosOf(done) === 2)
      for (const filter of crash ? session.walked : session.walking) this.#walkAgain(session, filter)
    }
  }

  /** Returns the codes of SUBACK. */
  subscribe(id: string, filters: readonly FilterRequest[], subscriptionId: number | undefined): number[] {
    const session = this.session(id)
    if (session === undefined) return []
    return filters.map((request) => {
      const before = session.subscriptions.find(({ filter }) => filter === request.filter)
      session.subscriptions = session.subscriptions.filter(({ filter }) => filter !== request.filter)
      const subscription = { ...request, id: subscriptionId }
      for (const owed of this.shared) {
        if (owed.group === request.filter && owed.ways.get(id)?.qos === 0) owed.required = false
      }
      if (before !== undefined && before.noLocal !== request.noLocal) this.#noLocalChanged(session)
      session.subscriptions.push(subscription)
      this.#subscriptionsChanged(session)
      // Those that are still being sent for the subscription before may come by the new one.
      for (const filter of [...session.walking]) {
        if (filter === request.filter) this.#oweRetained(session, subscription, false)
      }
      const { retainHandling } = request
      const wanted = retainHandling === 0 || (retainHandling === 1 && before === undefined)
      if (wanted && shareOf(request.filter) === undefined) {
        session.walking.push(request.filter)
        session.walked.add(request.filter)
        this.#oweRetained(session, subscription, true)
      }
      return request.qos
    })
  }

  /** Returns the codes of UNSUBACK. */
  unsubscribe(id: string, filters: readonly string[]): number[] {
    const session = this.session(id)
    if (session === undefined) return []
    return filters.map((gone) => {
      const known = session.subscriptions.some(({ filter }) => filter === gone)
      if (!known) return 0x11
      session.subscriptions = session.subscriptions.filter(({ filter }) => filter !== gone)
      session.walking = session.walking.filter((filter) => filter !== gone)
      for (const owed of session.owed) {
        // A subscription made after the message does not take over what the one before it was owed.
        const { topic } = owed.options[0]!.message
        const stays = session.subscriptions.some(
          ({ filter }) =>
            owed.filters.includes(filter) && !filter.startsWith('$share/') && filterMatches(plain(filter), topic),
        )
        if (owed.kind === 'live' ? stays : owed.filter !== gone) continue
        if (owed.state === 'waiting') owed.required = false
        owed.abandoned = true
      }
      for (const owed of this.shared) {
        if (owed.group === gone && owed.candidates.has(id)) owed.required = false
      }
      this.#subscriptionsChanged(session)
      return 0
    })
  }

  /** `certain` false: the broker may not have got it. */
  publish(message: WalkMessage, certain: boolean): void {
    if (message.retain) this.#retain(message)
    for (const session of this.sessions) {
      const way = wayOf(session, message)
      const racing = this.#racing.includes(session.id)
      if (way === undefined) {
        this.#withhold(session, message)
        continue
      }
      if (way.qos === 0 && session.connection === undefined && !racing) continue
      session.owed.push({
        ...newOwed('live', '', [{ message, ways: [way] }]),
        filters: filtersOf(session),
        required: certain && !(racing && way.qos === 0),
        mayBeDup: racing,
      })
    }
    for (const group of this.#groups()) this.#publishShared(group, message, certain)
  }

  /** QoS 2 that may have been lost is sent again: those who subscribed meanwhile get it, if it was lost. */
  publishedAgain(message: WalkMessage, got: (id: string) => boolean): void {
    for (const session of this.sessions) {
      const way = wayOf(session, message)
      const owed = session.owed.find(({ options }) => options[0]!.message === message)
      if (way === undefined || got(session.id)) continue
      if (owed !== undefined) {
        owed.options[0]!.ways.push(way)
        continue
      }
      const perhaps = { filters: filtersOf(session), required: false, abandoned: true }
      session.owed.push({ ...newOwed('live', '', [{ message, ways: [way] }]), ...perhaps })
    }
    for (const group of this.#groups()) {
      const known = this.shared.find((owed) => owed.group === group && owed.message === message)
      if (known === undefined) this.#publishShared(group, message, false)
      else for (const { id } of this.#members(group)) known.candidates.add(id)
    }
  }

  /** What may have been lost was acknowledged. */
  arrived(message: WalkMessage, got: (id: string) => boolean): void {
    for (const session of this.sessions) {
      const owed = session.owed.find(({ options }) => options[0]!.message === message)
      if (owed === undefined || owed.abandoned || got(session.id)) continue
      if (owed.kind === 'live' && !owed.withheld && !mayBeOnce(owed)) owed.required = true
    }
  }

  /** Is anybody subscribed to this topic? */
  hasSubscribers(topic: string): boolean {
    return this.sessions.some((session) =>
      session.subscriptions.some(({ filter }) => filterMatches(plain(filter), topic)),
    )
  }

  /** Nothing is under way any more. */
  quiet(): void {
    for (const session of this.sessions) {
      if (session.connection === undefined) continue
      if (!hasRoom(session.connection.window, session.owed)) continue
      session.walking = []
      // A crash may let the broker look at them again.
      session.done.push(...session.owed.filter(({ withheld }) => withheld))
      session.owed = session.owed.filter(({ withheld }) => !withheld)
    }
  }

  #withhold(session: ModelSession, message: WalkMessage): void {
    const open = { ...session, subscriptions: session.subscriptions.map((one) => ({ ...one, noLocal: false })) }
    const way = wayOf(open, message)
    if (way === undefined) return
    session.owed.push({
      ...newOwed('live', '', [{ message, ways: [way] }]),
      ...{ filters: filtersOf(session), required: false, withheld: true },
    })
  }

  #noLocalChanged(session: ModelSession): void {
    for (const owed of [...session.owed, ...session.done]) {
      if (!owed.options.some(({ message }) => message.from === session.id)) continue
      owed.withheld = false
      owed.abandoned = true
      if (owed.state === 'waiting') owed.required = false
    }
  }

  #retain(message: WalkMessage): void {
    this.retained = this.retained.filter(({ topic }) => topic !== message.topic)
    if (message.text !== '') this.retained.push(message)
    for (const session of this.sessions) {
      const replaced = session.owed.filter(
        (owed) =>
          owed.kind === 'retained' && owed.state === 'waiting' && owed.options[0]!.message.topic === message.topic,
      )
      for (const owed of replaced) {
        const subscription = session.subscriptions.find(({ filter }) => filter === owed.filter)
        const way = subscription && retainedWay(session, subscription, message)
        if (message.text === '' || way === undefined) owed.required = false
        else owed.options.push({ message, ways: [way] })
      }
      if (message.text === '') continue
      const known = replaced.map(({ filter }) => filter)
      for (const filter of session.walking) {
        const subscription = session.subscriptions.find((other) => other.filter === filter)
        const way = subscription && retainedWay(session, subscription, message)
        const index = known.indexOf(filter)
        if (index >= 0) known.splice(index, 1)
        if (index >= 0 || way === undefined || !filterMatches(filter, message.topic)) continue
        session.owed.push({ ...newOwed('retained', filter, [{ message, ways: [way] }]), required: false })
      }
    }
  }

  #oweRetained(session: ModelSession, subscription: WalkSubscription, required: boolean): void {
    for (const message of this.retained) {
      const way = retainedWay(session, subscription, message)
      if (way === undefined || !filterMatches(subscription.filter, message.topic)) continue
      session.owed.push({ ...newOwed('retained', subscription.filter, [{ message, ways: [way] }]), required })
    }
  }

  #walkAgain(session: ModelSession, filter: string): void {
    const subscription = session.subscriptions.find((other) => other.filter === filter)
    if (subscription !== undefined) this.#oweRetained(session, subscription, false)
  }

  /** What waits may come by the old subscriptions or by the new ones, and is not lost (MQTT-3.8.4-4). */
  #subscriptionsChanged(session: ModelSession): void {
    for (const owed of [...session.owed, ...session.done]) {
      for (const option of owed.options) {
        for (const way of waysNow(session, owed, option.message)) {
          option.ways.push(owed.state === 'waiting' ? way : { ...way, qos: qosOf(owed) })
          // What was not kept, because it was for QoS 0, may stay at QoS 0.
          if (option.ways.some(({ qos }) => qos === 0)) option.ways.push({ ...way, qos: 0 })
        }
      }
    }
  }

  #groups(): string[] {
    const all = this.sessions.flatMap(({ subscriptions }) => subscriptions.map(({ filter }) => filter))
    return [...new Set(all.filter((filter) => shareOf(filter) !== undefined))]
  }

  #members(group: string): ModelSession[] {
    return this.sessions.filter(({ subscriptions }) => subscriptions.some(({ filter }) => filter === group))
  }

  /** One member gets it: one that is connected, else one whose session keeps it. */
  #publishShared(group: string, message: WalkMessage, certain: boolean): void {
    if (!filterMatches(plain(group), message.topic)) return
    const members = this.#members(group)
    const racing = this.#racingGroups.includes(group) || members.some(({ id }) => this.#racing.includes(id))
    const keeps = members.filter((session) => session.connection === undefined && this.#keeps(session, group, message))
    const online = members.filter(({ connection }) => connection !== undefined)
    const candidates = racing ? [...keeps, ...online] : online.length > 0 ? online : keeps
    if (candidates.length === 0) return
    const ids = new Set(candidates.map(({ id }) => id))
    const ways = new Map(candidates.map((one) => [one.id, sharedWay(one, { group, message })!]))
    this.shared.push({ group, message, ways, candidates: ids, required: certain && !racing, mayBeDup: racing })
  }

  #keeps(session: ModelSession, group: string, message: WalkMessage): boolean {
    return (sharedWay(session, { group, message })?.qos ?? 0) > 0
  }

  /** Not acknowledged, and its receiver left: it comes to the same one again, or goes to another (MQTT-4.8.2-5). */
  #passOn(owed: Owed): void {
    if (qosOf(owed) !== 1) return
    owed.required = false
    const candidates = new Set(this.#members(owed.filter).map(({ id }) => id))
    const { message } = owed.options[0]!
    this.shared.push({ group: owed.filter, message, ways: new Map(), candidates, required: false, mayBeDup: true })
  }
}

/** A retained message of a subscription that was made twice: one copy of it is enough over a restart. */
function isSecond({ owed, done }: ModelSession, one: Owed): boolean {
  const isAlike = (other: Owed): boolean =>
    other.filter === one.filter && other.options[0]!.message.topic === one.options[0]!.message.topic
  return one.kind === 'retained' && [...owed, ...done].some((other) => other !== one && isAlike(other))
}
