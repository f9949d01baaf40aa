// What a subscriber gets does not depend on how many nodes there are: random pairs on one node and on two, compared.
import assert from 'node:assert/strict'
import type { Cleanup } from '../helpers/broker.ts'
import { type ClusterNode, startCluster, type TestCluster } from '../helpers/cluster.ts'
import type { Random } from '../helpers/random.ts'
import { until } from './crowd.ts'
import { type Pair, randomPair, type Step } from './random-pairs.ts'
import { type Delivery, RoamingClient } from './roaming-client.ts'

export interface ClusterMatrixReport {
  readonly pairs: number
  readonly deliveries: number
}

/** Pairs at the same time; each hears only of its own topics. */
const lanes = 12
const stepMaxMs = 20_000
const differencesShown = 10

export async function clusterMatrixRun(t: Cleanup, random: Random, pairs: number): Promise<ClusterMatrixReport> {
  const alone = await startCluster(t, { nodes: ['alone'], isAlone: true, durability: 'os' })
  const cluster = await startCluster(t, { nodes: ['one', 'two'], durability: 'os' })
  const stages = await Promise.all([Stage.open(t, alone), Stage.open(t, cluster)])
  const compare = async (): Promise<ClusterMatrixReport> => {
    const differences: string[] = []
    let deliveries = 0
    let next = 0
    const lane = async (): Promise<void> => {
      while (next < pairs && differences.length < differencesShown) {
        const pair = randomPair(random, next)
        next += 1
        const [wanted, got] = await Promise.all(stages.map((stage) => stage.play(pair)))
        deliveries += wanted!.length
        const isShared = pair.filters.some(({ topic }) => topic.startsWith('$share/'))
        const difference = differenceOf(wanted!, got!, isShared)
        if (difference !== undefined) differences.push(`${difference}\n${JSON.stringify(pair)}`)
      }
    }
    await Promise.all(Array.from({ length: lanes }, lane))
    assert.equal(differences.length, 0, differences.join('\n\n'))
    return { pairs, deliveries }
  }
  return alone.during(cluster.during(compare()))
}

/** The nodes on which pairs are played, and a client on each that hears the end of each step. */
class Stage {
  readonly #t: Cleanup
  readonly #nodes: readonly ClusterNode[]
  readonly #monitors: readonly Monitor[]

  private constructor(t: Cleanup, nodes: readonly ClusterNode[], monitors: readonly Monitor[]) {
    this.#t = t
    this.#nodes = nodes
    this.#monitors = monitors
  }

  static async open(t: Cleanup, { nodes }: TestCluster): Promise<Stage> {
    return new Stage(t, nodes, await Promise.all(nodes.map((node) => Monitor.open(t, node))))
  }

  /** The deliveries of its own topics, as text. */
  async play(pair: Pair): Promise<string[]> {
    const performance = new Performance(pair, (index) => this.#nodes[index % this.#nodes.length]!.port, this.#monitors)
    this.#t.after(() => performance.destroy())
    try {
      return await performance.run()
    } finally {
      performance.destroy()
    }
  }
}

/** Hears both ends of every step: of QoS 0, which takes the bus, and of QoS 1, which takes the streams. */
class Monitor {
  readonly #heard = new Set<string>()

  static async open(t: Cleanup, node: ClusterNode): Promise<Monitor> {
    const monitor = new Monitor()
    const client = new RoamingClient({ clientId: `monitor ${node.name}`, clean: true })
    t.after(() => client.destroy())
    client.onMessage = ({ topic, payload, qos }) => monitor.#heard.add(`${topic} ${payload} ${qos}`)
    await client.connect(node.port)
    await client.subscribe([{ topic: 'end/+', qos: 1 }])
    return monitor
  }

  hasHeard(end: string): boolean {
    return [0, 1].every((qos) => this.#heard.has(`${end} ${qos}`))
  }
}

class Performance {
  readonly #pair: Pair
  readonly #portOf: (node: number) => number
  readonly #monitors: readonly Monitor[]
  readonly #publisher: RoamingClient
  #subscriber: RoamingClient | undefined
  readonly #received: Delivery[] = []
  readonly #ends = new Set<string>()
  readonly #endTopic: string

  constructor(pair: Pair, portOf: (node: number) => number, monitors: readonly Monitor[]) {
    this.#pair = pair
    this.#portOf = portOf
    this.#monitors = monitors
    this.#endTopic = `end/${pair.mark}`
    this.#publisher = new RoamingClient({ clientId: `publisher ${pair.mark}`, clean: true })
  }

  async run(): Promise<string[]> {
    await this.#publisher.connect(this.#portOf(this.#pair.publisherNode))
    for (const [index, step] of this.#pair.steps.entries()) await this.#play(step, index)
    await this.#tidy()
    // Only its own topics: other pairs may match its filters, too.
    return this.#received.filter(({ topic }) => topic.includes(this.#pair.mark) && topic !== this.#endTopic).map(textOf)
  }

  destroy(): void {
    this.#publisher.destroy()
    this.#subscriber?.destroy()
  }

  async #play({ action, messages }: Step, index: number): Promise<void> {
    if (action.kind === 'connect') await this.#connect(action.node)
    if (action.kind === 'move') await this.#move(action.node)
    if (action.kind === 'subscribe') await this.#subscribe()
    if (action.kind === 'leave') await this.#leave()
    for (const { topic, payload, qos, retain } of messages) await this.#publisher.publish(topic, payload, qos, retain)
    const end = `${index}`
    await this.#publisher.publish(this.#endTopic, end, 0)
    await this.#publisher.publish(this.#endTopic, end, 1)
    const isHeard = (): boolean => {
      if (!this.#monitors.every((monitor) => monitor.hasHeard(`${this.#endTopic} ${end}`))) return false
      return this.#subscriber === undefined || [0, 1].every((qos) => this.#ends.has(`${end} ${qos}`))
    }
    await until(`${this.#pair.mark}: the end of step ${index} (${action.kind})`, isHeard, stepMaxMs)
    await this.#subscriber?.ping()
  }

  async #connect(node: number): Promise<void> {
    const { mark, clean, version } = this.#pair
    const subscriber = new RoamingClient({ clientId: `subscriber ${mark}`, clean, version })
    this.#subscriber = subscriber
    subscriber.onMessage = (delivery) => {
      if (delivery.topic === this.#endTopic) this.#ends.add(`${delivery.payload} ${delivery.qos}`)
      this.#received.push(delivery)
    }
    await subscriber.connect(this.#portOf(node))
    await subscriber.subscribe([{ topic: this.#endTopic, qos: 1 }])
  }

  /** The old connection is still there when the new one comes. */
  async #move(node: number): Promise<void> {
    const before = this.#subscriber!
    await this.#connect(node)
    before.destroy()
  }

  async #subscribe(): Promise<void> {
    await this.#subscriber!.subscribe(this.#pair.filters)
    // Its retained messages are those of now, not of the next publish.
    await this.#subscriber!.ping()
  }

  async #leave(): Promise<void> {
    await this.#subscriber!.disconnect()
    this.#subscriber = undefined
  }

  /** Its retained messages and its session are nobody's business later. */
  async #tidy(): Promise<void> {
    const topics = new Set(this.#pair.steps.flatMap(({ messages }) => messages.map(({ topic }) => topic)))
    const { mark } = this.#pair
    await this.#subscriber?.disconnect()
    const last = new RoamingClient({ clientId: `subscriber ${mark}`, clean: true })
    await last.connect(this.#portOf(this.#pair.publisherNode))
    await last.disconnect()
    for (const topic of topics) await this.#publisher.publish(topic, '', 1, true)
    await this.#publisher.disconnect()
  }
}

function textOf({ topic, payload, qos, retain, dup }: Delivery): string {
  return JSON.stringify([topic, payload.toString(), qos, retain, ...(dup ? ['dup'] : [])])
}

/**
 * The same deliveries, and those of QoS 1 and 2 of one topic in the same order. QoS 0 takes another way between nodes, and
 * may overtake them. A copy by a shared subscription is a turn, which may come before or after what the client gets by
 * itself: then the first copies are in order, and the last ones.
 */
function differenceOf(wanted: readonly string[], got: readonly string[], isShared: boolean): string | undefined {
  const missing = without(wanted, got)
  const surplus = without(got, wanted)
  if (missing.length > 0 || surplus.length > 0) return `missing: ${missing}\nmore: ${surplus}`
  const [orderWanted, orderGot] = [wanted, got].map((all) => ordered(all, isShared))
  return orderWanted === orderGot ? undefined : `order: ${orderGot}\nwanted: ${orderWanted}`
}

function without(all: readonly string[], others: readonly string[]): string[] {
  const left = [...others]
  return all.filter((one) => {
    const at = left.indexOf(one)
    if (at >= 0) left.splice(at, 1)
    return at < 0
  })
}

function ordered(all: readonly string[], isShared: boolean): string {
  const parsed = all.map((text) => JSON.parse(text) as [string, string, number, boolean])
  const stored = parsed.filter(([, , qos]) => qos > 0).map(([topic, payload]) => [topic, payload] as const)
  const compared = isShared ? firstAndLast(stored) : stored
  return JSON.stringify(compared.sort(([a], [b]) => (a < b ? -1 : Number(a > b))))
}

type Stored = readonly [topic: string, payload: string]

/** The first copies of all messages, behind them the last ones. */
function firstAndLast(stored: readonly Stored[]): Stored[] {
  const payloads = stored.map(([, payload]) => payload)
  const first = stored.filter(([, payload], index) => payloads.indexOf(payload) === index)
  return [...first, ...stored.filter(([, payload], index) => payloads.lastIndexOf(payload) === index)]
}
