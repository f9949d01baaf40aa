// What a walk may do, as plain data, so that a walk can be printed, repeated and made shorter; and random walks.
import type { Random } from '../helpers/random.ts'

export type WalkQoS = 0 | 1 | 2

export interface FilterRequest {
  readonly filter: string
  readonly qos: WalkQoS
  readonly noLocal: boolean
  readonly retainAsPublished: boolean
  readonly retainHandling: 0 | 1 | 2
}

/** One packet of a client. */
export type Action =
  | { readonly send: 'subscribe'; readonly filters: readonly FilterRequest[]; readonly id: number | undefined }
  | { readonly send: 'unsubscribe'; readonly filters: readonly string[] }
  | {
      readonly send: 'publish'
      readonly topic: string
      readonly qos: WalkQoS
      readonly retain: boolean
      readonly empty: boolean
    }

export interface ConnectStep {
  readonly do: 'connect'
  readonly client: number
  readonly version: 4 | 5
  readonly clean: boolean
  /** Session Expiry Interval in seconds; before MQTT 5 only whether it is 0, by the clean session. */
  readonly expiryS: number
  readonly receiveMaximum: number | undefined
  /** Keep acknowledgements back from the beginning. */
  readonly hold: boolean
}

export interface BurstStep {
  readonly do: 'burst'
  readonly client: number
  readonly actions: readonly Action[]
}

export type Step =
  | ConnectStep
  /** Several packets in one write. */
  | BurstStep
  /** The same, and the connection is cut at once: what arrived is not known. QoS 2 is sent again later. */
  | { readonly do: 'burst-and-cut'; readonly client: number; readonly actions: readonly Action[] }
  /** QoS 2 up to PUBREC, then the connection is cut. */
  | { readonly do: 'half-publish'; readonly client: number; readonly topic: string }
  | { readonly do: 'cut'; readonly client: number }
  | { readonly do: 'disconnect'; readonly client: number; readonly expiryS: number | undefined }
  /** Keep acknowledgements back from now on. */
  | { readonly do: 'hold'; readonly client: number }
  /** Send `count` of those kept back; and no longer keep any back when that was all. */
  | { readonly do: 'release'; readonly client: number; readonly count: number }
  /** At the same time: bursts of several clients, while others come or go. */
  | { readonly do: 'together'; readonly steps: readonly Step[] }
  /** The broker stops and starts again on the same data. */
  | { readonly do: 'restart' }
  /** It ends without a warning `turns` turns of the loop after these bursts left. */
  | { readonly do: 'crash'; readonly bursts: readonly BurstStep[]; readonly turns: number }

export const clientCount = 4

const topics = ['a', 'a/b', 'a/b/c', 'a/', '/a', 'b', '/', 'a//c', 'b/b', '$x', '$x/a'] as const
const filters = [
  ...['a', 'a/b', 'a/b/c', 'a/', '/a', 'b', '/', 'a//c', '$x', '$x/a'],
  ...['#', '+', 'a/#', 'a/+', '+/b', '+/+', '/+', '+/', 'a/+/c', '+/b/#', 'a/b/c/#', '$x/#', '$x/+', 'b/#', '#', 'a/#'],
]
const shared = ['$share/g/a/b', '$share/g/a/#', '$share/h/a/#', '$share/g/#', '$share/h/b', '$share/g/$x/+']
const longS = 5_000

/** Only walks with a store on disk restart. */
export function randomSteps(random: Random, count: number, restarts: boolean): Step[] {
  const steps: Step[] = []
  // Most have somebody with a session to begin with.
  for (let client = 0; client < clientCount; client += 1)
    if (!random.chance(4)) steps.push(randomConnect(random, client))
  while (steps.length < count) steps.push(randomStep(random, restarts))
  return steps
}

function randomStep(random: Random, restarts: boolean): Step {
  const client = random.below(clientCount)
  const dice = random.below(100)
  if (dice < 18) return randomConnect(random, client)
  if (dice < 34) return { do: 'burst', client, actions: [randomSubscribe(random)] }
  if (dice < 38) return { do: 'burst', client, actions: [randomUnsubscribe(random)] }
  if (dice < 60) return { do: 'burst', client, actions: [randomPublish(random)] }
  if (dice < 68) return { do: 'burst', client, actions: randomActions(random, 2 + random.below(6)) }
  if (dice < 72) return { do: 'cut', client }
  if (dice < 75) return { do: 'disconnect', client, expiryS: random.pick([undefined, undefined, 0, longS]) }
  if (dice < 80) return { do: 'hold', client }
  if (dice < 87) return { do: 'release', client, count: random.pick([1, 2, 1_000, 1_000]) }
  if (dice < 89) return { do: 'burst-and-cut', client, actions: randomPublishes(random, 1 + random.below(4)) }
  if (dice < 91) return { do: 'half-publish', client, topic: random.pick(topics) }
  if (dice < 96 || !restarts) return randomTogether(random)
  if (dice < 98) return { do: 'restart' }
  const bursts = Array.from({ length: random.below(3) }, (_, index) => randomBurst(random, index))
  return { do: 'crash', bursts, turns: random.below(8) }
}

function randomConnect(random: Random, client: number): ConnectStep {
  const version = random.pick([4, 5, 5] as const)
  const clean = random.chance(4)
  const expiryS = version === 4 ? (clean ? 0 : longS) : random.chance(4) ? 0 : longS
  const receiveMaximum = version === 5 && random.chance() ? 1 + random.below(4) : undefined
  return { do: 'connect', client, version, clean, expiryS, receiveMaximum, hold: random.chance(5) }
}

/** Two or three publish at once; perhaps somebody else leaves, comes back or takes over meanwhile. */
function randomTogether(random: Random): Step {
  const steps: Step[] = []
  const other = random.below(clientCount)
  for (let client = 0; client < clientCount; client += 1) {
    if (client !== other && random.chance()) steps.push(randomBurst(random, client))
  }
  const dice = random.below(4)
  if (dice < 2) steps.push({ do: 'cut', client: other })
  if (dice === 2) steps.push({ ...randomConnect(random, other), hold: false })
  return { do: 'together', steps }
}

function randomBurst(random: Random, client: number): BurstStep {
  return { do: 'burst', client, actions: randomPublishes(random, 1 + random.below(5)) }
}

/** None is retained: the model would not know which of two clients came last. */
function randomPublishes(random: Random, count: number): Action[] {
  return Array.from({ length: count }, () => ({ ...randomPublish(random), retain: false, empty: false }))
}

/** A burst unsubscribes from nothing: whether what was published just before still comes is left to the broker. */
function randomActions(random: Random, count: number): Action[] {
  return Array.from({ length: count }, () => (random.chance(4) ? randomSubscribe(random) : randomPublish(random)))
}

function randomSubscribe(random: Random): Action {
  const count = random.chance(3) ? 1 + random.below(4) : 1
  return {
    send: 'subscribe',
    filters: Array.from({ length: count }, () => {
      const filter = randomFilter(random)
      return {
        filter,
        qos: random.below(3) as WalkQoS,
        // With a shared subscription it would be a protocol error (MQTT-3.8.3-4).
        noLocal: !filter.startsWith('$share/') && random.chance(5),
        retainAsPublished: random.chance(3),
        retainHandling: random.pick([0, 0, 1, 2] as const),
      }
    }),
    id: random.chance() ? 1 + random.below(5) : undefined,
  }
}

function randomUnsubscribe(random: Random): Action {
  return { send: 'unsubscribe', filters: Array.from({ length: 1 + random.below(3) }, () => randomFilter(random)) }
}

function randomFilter(random: Random): string {
  return random.chance(6) ? random.pick(shared) : random.pick(filters)
}

function randomPublish(random: Random): Action & { readonly send: 'publish' } {
  const retain = random.chance(3)
  return {
    send: 'publish',
    topic: random.pick(topics),
    qos: random.below(3) as WalkQoS,
    retain,
    empty: retain && random.chance(4),
  }
}
