// Random pairs of a publisher and a subscriber: filters of all shapes, sessions kept or not, online, away or moved.
import type { ISubscription } from 'mqtt-packet'
import type { Random } from '../helpers/random.ts'

export interface PlannedMessage {
  readonly topic: string
  readonly payload: string
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
}

/** What the subscriber does before the messages of a step are published. */
export type Action =
  | { readonly kind: 'connect'; readonly node: number }
  /** Without a goodbye to the node that it is on. */
  | { readonly kind: 'move'; readonly node: number }
  | { readonly kind: 'leave' }
  | { readonly kind: 'subscribe' }
  | { readonly kind: 'nothing' }

export interface Step {
  readonly action: Action
  readonly messages: readonly PlannedMessage[]
}

export interface Pair {
  /** Stands in each of its topics, as a level or in one. */
  readonly mark: string
  readonly version: 4 | 5
  readonly clean: boolean
  readonly filters: readonly ISubscription[]
  /** The node that its publisher is on. */
  readonly publisherNode: number
  readonly steps: readonly Step[]
}

/** Everything that means something to Redis, to MQTT or to nobody. */
const levels = [
  'a',
  'b',
  '',
  '*',
  '?',
  '[ab]',
  '[',
  ']',
  '\\',
  '^',
  '-',
  '[^a]',
  '[a-z]',
  ' ',
  'a b',
  '😀',
  'é',
  '"',
  '{1}',
  '%s',
  'a*',
]

export function randomPair(random: Random, number: number): Pair {
  const mark = `m${number}m`
  const topics = Array.from({ length: 1 + random.below(2) }, () => randomTopic(random, mark))
  const version = random.chance() ? 4 : 5
  const filters = Array.from({ length: 1 + random.below(2) }, () =>
    randomFilter(random, version, random.pick(topics), mark),
  )
  const messages = new Messages(random, topics, mark)
  return {
    mark,
    version,
    clean: random.chance(3),
    filters: filters.filter(({ topic }, index) => filters.findIndex((other) => other.topic === topic) === index),
    publisherNode: random.below(2),
    steps: stepsOf(random, messages),
  }
}

function stepsOf(random: Random, messages: Messages): Step[] {
  const home = random.below(2)
  const other = 1 - home
  const steps: Step[] = [
    { action: { kind: 'nothing' }, messages: random.chance() ? messages.some(2) : [] },
    { action: { kind: 'connect', node: home }, messages: [] },
    { action: { kind: 'subscribe' }, messages: messages.some(3) },
  ]
  const leave: Step = { action: { kind: 'leave' }, messages: messages.some(3) }
  switch (random.below(4)) {
    case 0: // Online all the time.
      break
    case 1:
      steps.push(leave, { action: { kind: 'connect', node: home }, messages: messages.some(2) })
      break
    case 2:
      steps.push(leave, { action: { kind: 'connect', node: other }, messages: messages.some(2) })
      break
    case 3:
      steps.push({ action: { kind: 'move', node: other }, messages: messages.some(3) })
      if (random.chance()) steps.push({ action: { kind: 'move', node: home }, messages: messages.some(2) })
  }
  if (random.chance(4)) steps.push({ action: { kind: 'subscribe' }, messages: messages.some(1) })
  return steps
}

class Messages {
  readonly #random: Random
  readonly #topics: readonly string[]
  readonly #mark: string
  #count = 0

  constructor(random: Random, topics: readonly string[], mark: string) {
    this.#random = random
    this.#topics = topics
    this.#mark = mark
  }

  some(most: number): PlannedMessage[] {
    return Array.from({ length: 1 + this.#random.below(most) }, () => {
      this.#count += 1
      return {
        topic: this.#random.pick(this.#topics),
        payload: `${this.#mark} ${this.#count}`,
        qos: this.#random.below(3) as 0 | 1 | 2,
        retain: this.#random.chance(3),
      }
    })
  }
}

function randomTopic(random: Random, mark: string): string {
  const parts = Array.from({ length: 1 + random.below(4) }, () => random.pick(levels))
  const at = random.below(parts.length + 1)
  parts.splice(at, 0, random.chance() ? mark : `${random.pick(levels)}${mark}`)
  if (random.chance(20)) parts[0] = `$${parts[0]}`
  return parts.join('/')
}

/** Mostly one that matches; some that look as if. */
function randomFilter(random: Random, version: 4 | 5, topic: string, mark: string): ISubscription {
  let parts = topic.split('/')
  parts = parts.map((part) => (random.chance(4) ? '+' : part))
  if (random.chance(4)) parts = [...parts.slice(0, random.below(parts.length + 1)), '#']
  if (random.chance(12)) parts[random.below(parts.length - 1)] = random.pick(levels)
  const filter = parts.join('/') || '+'
  const qos = random.below(3) as 0 | 1 | 2
  if (random.chance(8)) return { topic: `$share/${mark}/${filter}`, qos }
  if (version === 4) return { topic: filter, qos }
  return { topic: filter, qos, rh: random.below(3), rap: random.chance() }
}
