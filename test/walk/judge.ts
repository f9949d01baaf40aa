// Judges what clients receive by what the model owes them: in this way, in this order, not too early and not twice.
import type { Model } from './model.ts'
import {
  type Got,
  hasRoom,
  isInFlight,
  isMessage,
  isOnce,
  isWay,
  type ModelSession,
  mustComeAgain,
  newOwed,
  type Option,
  type Owed,
  qosOf,
  type SharedOwed,
  show,
  showMessage,
  showOwed,
} from './owed.ts'
import { sharedWays } from './ways.ts'

interface Taken {
  readonly session: ModelSession
  readonly owed: Owed
  options: Option[]
  readonly got: Got
}

export class Judge {
  readonly #model: Model
  #sent = 0
  /** What was delivered since all was quiet, and what it was taken for. */
  #taken: Taken[] = []

  constructor(model: Model) {
    this.#model = model
  }

  received(id: string, got: Got): void {
    const session = this.#model.session(id)
    const connection = session?.connection
    if (session === undefined || connection === undefined)
      return this.#model.differ(`${id} received ${show(got)} while away`)
    const same =
      got.qos === 0 ? undefined : session.owed.find((owed) => isInFlight(owed) && owed.packetId === got.packetId)
    if (same !== undefined) {
      if (isMessage(same, got)) return this.#redelivered(session, same, got)
      if (same.connection === connection.number && same.state !== 'ending') {
        return this.#model.differ(`${id} received ${show(got)} under a packet identifier in use for ${showOwed(same)}`)
      }
      if (same.required) return this.#model.differ(`${id} received ${show(got)} instead of ${showOwed(same)} again`)
      // The broker had read the acknowledgement: this identifier was free.
      this.#finish(session, same)
    }
    const own = this.#find(session, got) ?? this.#findSwapped(session, got)
    // One that would come too early may be another: empty messages are all alike.
    const isOwn = own?.required === true && this.#earlier(session, own, got) === undefined
    const owed = isOwn ? own : (this.#findShared(session, got, own !== undefined) ?? own)
    if (owed === undefined) return this.#unexpected(session, got)
    this.#delivered(session, owed, got)
  }

  /** The client sent PUBACK, PUBREC or PUBCOMP. */
  acknowledged(id: string, packetId: number, type: 'puback' | 'pubrec' | 'pubcomp'): void {
    const owed = this.#model.session(id)?.owed.find((other) => isInFlight(other) && other.packetId === packetId)
    if (owed === undefined) return
    owed.state = type === 'pubrec' ? 'received' : 'ending'
    owed.confirmed = false
  }

  /** Nothing is under way any more. */
  quiet(): void {
    this.#taken = []
  }

  /** PUBREL came. */
  released(id: string, packetId: number): void {
    const session = this.#model.session(id)
    const owed =
      session?.owed.find((other) => isInFlight(other) && other.packetId === packetId) ??
      (session && this.#endsAgain(session, packetId))
    if (owed === undefined || session?.connection === undefined) {
      this.#model.differ(`${id} received PUBREL ${packetId} for nothing`)
      return
    }
    if (owed.state === 'sent') this.#model.differ(`${id} received PUBREL ${packetId} before it sent PUBREC`)
    owed.state = 'released'
    owed.connection = session.connection.number
  }

  /** After a crash the end of a delivery may come again. */
  #endsAgain(session: ModelSession, packetId: number): Owed | undefined {
    const ended = session.done.findLast((done) => done.packetId === packetId && qosOf(done) === 2)
    if (ended === undefined) return undefined
    session.done = session.done.filter((done) => done !== ended)
    session.owed.push(ended)
    return Object.assign(ended, { required: false })
  }

  /** What the broker has certainly read when it answers to a ping that is sent now. */
  unconfirmed(id: string): () => void {
    const session = this.#model.session(id)
    const here = session?.owed.filter(({ connection }) => connection === session.connection?.number) ?? []
    const ending = here.filter(({ state }) => state === 'ending')
    const received = here.filter(({ state }) => state === 'received')
    return () => {
      for (const owed of received) if (owed.state === 'received') owed.confirmed = true
      for (const owed of ending) if (session !== undefined && owed.state === 'ending') this.#finish(session, owed)
    }
  }

  /** What connected clients must still get before all is quiet. */
  lacking(): string[] {
    const lacking: string[] = []
    for (const { id, connection, owed } of this.#model.sessions) {
      if (connection === undefined) continue
      for (const one of owed) {
        if (one.required && this.#isDue(connection, owed, one)) lacking.push(`${id} lacks ${showOwed(one)}`)
      }
    }
    for (const owed of this.#model.shared) {
      if (!owed.required || owed.candidates.size === 0) continue
      const ready = [...owed.candidates].every((id) => {
        const session = this.#model.session(id)
        return session?.connection !== undefined && hasRoom(session.connection.window, session.owed)
      })
      if (ready) lacking.push(`${owed.group} lacks ${showMessage(owed.message)} for one of ${[...owed.candidates]}`)
    }
    return lacking
  }

  #isDue(connection: { readonly number: number; readonly window: number }, all: readonly Owed[], owed: Owed): boolean {
    if (owed.state === 'waiting') return (isOnce(owed) && owed.kind !== 'retained') || hasRoom(connection.window, all)
    if (owed.state === 'released') return owed.connection < connection.number
    const again = all.filter((other) => isInFlight(other) && other.connection === connection.number)
    // A PUBREC that a crash kept from the broker has to come again, and its PUBLISH before it waits for the window.
    if (owed.state === 'received')
      return owed.confirmed || owed.connection === connection.number || again.length < connection.window
    return owed.state === 'sent' && owed.connection < connection.number && again.length < connection.window
  }

  #redelivered(session: ModelSession, owed: Owed, got: Got): void {
    const { id, connection } = session
    const number = connection!.number
    if (owed.connection === number) this.#model.differ(`${id} received ${show(got)} twice on one connection`)
    if (owed.state === 'released' || (owed.state === 'received' && owed.confirmed)) {
      this.#model.differ(`${id} received ${show(got)} again after its PUBREC`)
    }
    if (!got.dup && !owed.loose) this.#model.differ(`${id} received ${show(got)} again without DUP`)
    const alike = session.owed.filter((other) => isInFlight(other) && isMessage(other, got))
    if (!alike.some(({ options }) => hasWay(options, got, connection!.version))) {
      this.#model.differ(`${id} received ${show(got)} again in another way: ${showOwed(owed)}`)
    }
    const before = session.owed.find((other) => mustComeAgain(other, number) && other.sentIndex < owed.sentIndex)
    if (before !== undefined) this.#model.differ(`${id} received ${show(got)} again before ${showOwed(before)}`)
    owed.connection = number
    owed.state = 'sent'
    this.#checkWindow(session, got)
  }

  #delivered(session: ModelSession, owed: Owed, got: Got): void {
    const { id, connection } = session
    const number = connection!.number
    if (got.dup && !owed.mayBeDup) this.#model.differ(`${id} received ${show(got)} for the first time with DUP`)
    const earlier = this.#earlier(session, owed, got)
    if (earlier !== undefined) this.#model.differ(`${id} received ${show(got)} before ${showOwed(earlier)}`)
    this.#taken.push({ session, owed, options: owed.options, got })
    owed.options = owed.options.filter(({ message }) => message.text === got.text)
    if (got.qos === 0) {
      session.owed = session.owed.filter((other) => other !== owed)
      // What was kept from before a subscription was lowered may come again after a crash, by QoS 0 as well.
      if (owed.kind === 'live' && owed.options[0]!.message.qos > 0) session.done.push(owed)
      return
    }
    const before = session.owed.find((other) => mustComeAgain(other, number))
    if (before !== undefined && !owed.loose)
      this.#model.differ(`${id} received ${show(got)} before ${showOwed(before)} again`)
    if (owed.sentIndex === 0) this.#sent += 1
    owed.options = owed.options.map(({ message, ways }) => ({
      message,
      ways: ways.filter((way) => isWay(way, got, connection!.version)),
    }))
    Object.assign(owed, {
      state: 'sent',
      packetId: got.packetId,
      connection: number,
      sentIndex: owed.sentIndex || this.#sent,
    })
    owed.loose = false
    this.#checkWindow(session, got)
  }

  /** Messages of one publisher on one topic keep their order (MQTT-4.6.0-6): one that must come before this one. */
  #earlier(session: ModelSession, owed: Owed, got: Got): Owed | undefined {
    if (owed.kind !== 'live') return undefined
    const { message } = owed.options[0]!
    return session.owed.find((other) => {
      const { message: before, ways } = other.options[0]!
      if (other.kind !== 'live' || other.state !== 'waiting' || !other.required) return false
      if (before.topic !== message.topic || before.from !== message.from) return false
      return before.order < message.order && ways.every(({ qos }) => qos === got.qos)
    })
  }

  /** Receive Maximum (MQTT-3.3.4-9). */
  #checkWindow(session: ModelSession, got: Got): void {
    const { number, window } = session.connection!
    const open = session.owed.filter(
      (owed) => isInFlight(owed) && owed.connection === number && owed.state !== 'ending',
    ).length
    if (open > window) this.#model.differ(`${session.id} received ${show(got)} above its Receive Maximum of ${window}`)
  }

  #find(session: ModelSession, got: Got): Owed | undefined {
    const version = session.connection!.version
    const waiting = session.owed.filter((owed) => owed.state === 'waiting' && !owed.withheld && isMessage(owed, got))
    const fits = waiting.filter(({ options }) => hasWay(options, got, version))
    const inOrder = fits.filter((owed) => this.#earlier(session, owed, got) === undefined)
    const required = inOrder.filter((owed) => owed.required)
    // A retained copy may wait for the window where the live message does not.
    return required.find(({ kind }) => kind === 'live') ?? required[0] ?? inOrder[0] ?? fits[0]
  }

  /**
   * One message may be owed several times: by a subscription, as a retained message, in a shared group. If what came
   * before was taken for what comes now, that was the other one.
   */
  #findSwapped(session: ModelSession, got: Got): Owed | undefined {
    const version = session.connection!.version
    for (const before of this.#taken) {
      if (before.session !== session || before.got.text !== got.text || before.got.topic !== got.topic) continue
      if (!hasWay(before.options, got, version)) continue
      const other = session.owed.find(
        (owed) => owed.state === 'waiting' && !owed.withheld && hasWay(owed.options, before.got, version),
      )
      if (other === undefined) continue
      const [taken, waiting] = [claimOf(before.owed, before.options), claimOf(other, other.options)]
      before.options = other.options
      Object.assign(before.owed, waiting)
      Object.assign(other, taken)
      return other
    }
    return undefined
  }

  #findShared(session: ModelSession, got: Got, required: boolean): Owed | undefined {
    const fits = this.#model.shared.filter((owed) => (owed.required || !required) && mayBeFor(session, owed, got))
    // Several groups may owe the same: the one whose message nobody else can have got comes first.
    const [first] = fits.sort(
      (a, b) => Number(b.required) - Number(a.required) || a.candidates.size - b.candidates.size,
    )
    const found = first ?? (required ? undefined : this.#findSwappedGroup(session, got))
    if (found === undefined) return undefined
    this.#take(found)
    const ways = sharedWays(session, found)
    const owed = newOwed('shared', found.group, [{ message: found.message, ways }])
    owed.mayBeDup = found.mayBeDup
    owed.shared = found
    session.owed.push(owed)
    return owed
  }

  /** What another client, or this one, got before may have come by another group, or otherwise, if that owed the same. */
  #findSwappedGroup(session: ModelSession, got: Got): SharedOwed | undefined {
    for (const { session: before, owed, got: gotBefore } of this.#taken) {
      const { shared } = owed
      if (shared === undefined || before.connection === undefined || !mayBeFor(session, shared, got)) continue
      const other = this.#model.shared.find((waiting) => mayBeFor(before, waiting, gotBefore))
      if (other !== undefined) {
        this.#take(other)
        Object.assign(owed, { shared: other, filter: other.group })
        return shared
      }
      const own = this.#find(before, gotBefore)
      if (own === undefined) continue
      before.owed = before.owed.filter((waiting) => waiting !== own)
      Object.assign(owed, claimOf(own, owed.options))
      return shared
    }
    return undefined
  }

  #take(shared: SharedOwed): void {
    this.#model.shared = this.#model.shared.filter((owed) => owed !== shared)
  }

  #unexpected(session: ModelSession, got: Got): void {
    const near = session.owed.filter((owed) => isMessage(owed, got))
    const hint = near.length === 0 ? 'not owed' : `owed as ${near.map(showOwed).join(' and ')}`
    this.#model.differ(`${session.id} received ${show(got)}, ${hint}`)
  }

  #finish(session: ModelSession, owed: Owed): void {
    session.owed = session.owed.filter((other) => other !== owed)
    session.done.push(owed)
  }
}

/** By what it is owed, apart from how far its delivery is. */
function claimOf({ kind, filter, filters, shared, required }: Owed, options: Option[]): Partial<Owed> {
  return { kind, filter, filters, shared, required, options }
}

/** May the client, which is connected, have got it as a member of this group? */
function mayBeFor(session: ModelSession, owed: SharedOwed, got: Got): boolean {
  if (!owed.candidates.has(session.id)) return false
  if (owed.message.text !== got.text || owed.message.topic !== got.topic) return false
  return sharedWays(session, owed).some((way) => isWay(way, got, session.connection!.version))
}

function hasWay(options: readonly Option[], got: Got, version: 4 | 5): boolean {
  return options.some(
    ({ message, ways }) =>
      message.text === got.text && message.topic === got.topic && ways.some((way) => isWay(way, got, version)),
  )
}
