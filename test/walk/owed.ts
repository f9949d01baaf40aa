// What sessions are owed in the model of a walk, and how it is said in words.
import type { FilterRequest, WalkQoS } from './steps.ts'

export interface WalkMessage {
  readonly topic: string
  /** Unlike that of any other message, but for empty ones. */
  readonly text: string
  readonly qos: WalkQoS
  readonly retain: boolean
  readonly from: string
  /** Earlier messages have lower numbers. */
  readonly order: number
}

/** How a message may arrive. Identifiers of subscriptions are sorted. */
export interface Way {
  readonly qos: WalkQoS
  readonly retain: boolean
  readonly ids: readonly number[]
}

/** A PUBLISH that a client received. */
export interface Got extends Way {
  readonly topic: string
  readonly text: string
  readonly dup: boolean
  readonly packetId: number
}

export interface WalkSubscription extends FilterRequest {
  readonly id: number | undefined
}

/** A message as it may come: retained ones may be replaced while they wait. */
export interface Option {
  readonly message: WalkMessage
  readonly ways: Way[]
}

/** What a session is owed. */
export interface Owed {
  readonly kind: 'live' | 'retained' | 'shared'
  /** Of a retained or shared message: the filter that it comes by. */
  readonly filter: string
  /** Of a live message: the filters of the session when it was published. */
  readonly filters: readonly string[]
  options: Option[]
  /** Of a shared message: what the group owed. */
  shared: SharedOwed | undefined
  /** False: it may come, and it may not. */
  required: boolean
  /** No Local kept it back; it may come when the subscription is replaced by one without that. */
  withheld: boolean
  /** The client unsubscribed, or wants none of its own any more: not required again, in flight not after a crash. */
  abandoned: boolean
  /** It may have been sent on a connection before. */
  mayBeDup: boolean
  /**
   * `received`: PUBREC was sent. `released`: PUBREL came. `ending`: the last acknowledgement was sent; it is gone when
   * the broker has certainly read that.
   */
  state: 'waiting' | 'sent' | 'received' | 'released' | 'ending'
  /** The broker has certainly read PUBREC. */
  confirmed: boolean
  packetId: number
  /** The connection on which it, or its PUBREL, was sent last. */
  connection: number
  sentIndex: number
  /** The broker crashed: it may have forgotten that it sent this. */
  loose: boolean
}

export interface ModelSession {
  readonly id: string
  subscriptions: WalkSubscription[]
  owed: Owed[]
  /** Acknowledged: a crash may bring QoS 1, or the PUBREL of QoS 2, again. */
  done: Owed[]
  expiryS: number
  /** Undefined while nobody is connected. */
  connection: { readonly number: number; readonly version: 4 | 5; readonly window: number } | undefined
  /** Filters whose retained messages may not all have been sent. */
  walking: string[]
  /** Filters whose retained messages may start again after a crash. */
  walked: Set<string>
}

/** A message for one member of a shared group. */
export interface SharedOwed {
  readonly group: string
  readonly message: WalkMessage
  candidates: Set<string>
  /** By client: how its subscription let the message through when it was published. */
  readonly ways: ReadonlyMap<string, Way>
  required: boolean
  mayBeDup: boolean
}

export function newOwed(kind: Owed['kind'], filter: string, options: Option[]): Owed {
  return {
    ...{
      kind,
      filter,
      filters: [],
      options,
      shared: undefined,
      required: true,
      withheld: false,
      abandoned: false,
      mayBeDup: false,
      state: 'waiting',
    },
    ...{ confirmed: false, packetId: 0, connection: 0, sentIndex: 0, loose: false },
  }
}

export function isOnce({ options }: Owed): boolean {
  return options.every(({ ways }) => ways.every(({ qos }) => qos === 0))
}

export function mayBeOnce({ options }: Owed): boolean {
  return options.some(({ ways }) => ways.some(({ qos }) => qos === 0))
}

export function qosOf({ options }: Owed): WalkQoS {
  return options[0]!.ways[0]!.qos
}

export function isInFlight({ state }: Owed): boolean {
  return state !== 'waiting'
}

export function hasRoom(window: number, owed: readonly Owed[]): boolean {
  return owed.filter(isInFlight).length < window
}

export function mustComeAgain(owed: Owed, connection: number): boolean {
  return owed.state === 'sent' && owed.required && !owed.loose && owed.connection < connection
}

export function isMessage({ options }: Owed, got: Got): boolean {
  return options.some(({ message }) => message.topic === got.topic && message.text === got.text)
}

export function isWay(way: Way, got: Got, version: 4 | 5): boolean {
  if (way.qos !== got.qos || way.retain !== got.retain) return false
  return version === 4 || way.ids.join() === got.ids.join()
}

export function show({ topic, text, qos, retain, dup, packetId, ids }: Got): string {
  const flags = `${retain ? ' retain' : ''}${dup ? ' dup' : ''}${ids.length > 0 ? ` ids ${ids}` : ''}`
  return `"${text}" on ${topic} (QoS ${qos}${flags}${packetId > 0 ? ` packet ${packetId}` : ''})`
}

export function showMessage({ topic, text, qos, from }: WalkMessage): string {
  return `"${text}" on ${topic} (published with QoS ${qos} by ${from})`
}

export function showOwed({ kind, filter, options, state, packetId, required }: Owed): string {
  const ways = options.flatMap((option) =>
    option.ways.map(
      ({ qos, retain, ids }) => `QoS ${qos}${retain ? ' retain' : ''}${ids.length > 0 ? ` ids ${ids}` : ''}`,
    ),
  )
  const texts = options.map(({ message }) => `"${message.text}"`).join(' or ')
  const by = filter === '' ? '' : ` by ${filter}`
  const where = state === 'waiting' ? state : `${state} as packet ${packetId}`
  return `${required ? '' : 'perhaps '}${kind}${by} ${texts} on ${options[0]!.message.topic} [${ways.join(', ')}; ${where}]`
}
