// Publishers and subscribers on the nodes of a cluster, in pairs: what was acknowledged is compared with what arrived.
import assert from 'node:assert/strict'
import type { Cleanup } from '../helpers/broker.ts'
import type { ClusterNode } from '../helpers/cluster.ts'
import { until } from './crowd.ts'
import { type Latencies, numberOf, stamped } from './latencies.ts'
import { RoamingClient } from './roaming-client.ts'

export interface LaneOptions {
  readonly from: ClusterNode
  readonly to: ClusterNode
  readonly qos: 0 | 1 | 2
  /** Where the two connect again; their own node when left out. */
  readonly nextPort?: (client: RoamingClient, home: ClusterNode) => number
  /** A will on this topic, and MQTT 5. */
  readonly willTopic?: string
  readonly latencies?: Latencies
}

/** Unacknowledged messages of one publisher; over it, it waits. */
const window = 200

export class Lane {
  readonly options: LaneOptions
  readonly publisher: RoamingClient
  readonly subscriber: RoamingClient
  readonly #topic: string
  readonly #acknowledged = new Set<number>()
  readonly #received = new Map<number, number>()
  #sent = 0
  /** When one of the two lost its connection, and the longest that it took to come back. */
  longestAwayMs = 0

  constructor(name: string, options: LaneOptions) {
    this.options = options
    this.#topic = `lane/${name}`
    const { willTopic } = options
    const more = (clientId: string) =>
      willTopic === undefined ? {} : { version: 5 as const, will: { topic: willTopic, payload: clientId } }
    this.publisher = new RoamingClient({ clientId: `publisher ${name}`, ...more(`publisher ${name}`) })
    this.subscriber = new RoamingClient({ clientId: `subscriber ${name}`, ...more(`subscriber ${name}`) })
    this.subscriber.onMessage = ({ payload }) => {
      options.latencies?.note(payload)
      const number = numberOf(payload)
      this.#received.set(number, (this.#received.get(number) ?? 0) + 1)
    }
  }

  async connect(): Promise<void> {
    const { from, to, nextPort = (_client, home) => home.port } = this.options
    await Promise.all([this.publisher.connect(from.port), this.subscriber.connect(to.port)])
    await this.#subscribe()
    this.#comeBack(this.publisher, () => nextPort(this.publisher, from))
    this.#comeBack(this.subscriber, () => nextPort(this.subscriber, to))
  }

  send(): void {
    const { qos } = this.options
    if (this.publisher.unacknowledged >= window || (qos === 0 && !this.publisher.isConnected)) return
    const number = this.#sent
    this.#sent += 1
    void this.publisher.publish(this.#topic, stamped(number), qos).then(() => this.#acknowledged.add(number))
  }

  get acknowledged(): number {
    return this.#acknowledged.size
  }

  /** Acknowledged and not here. With QoS 0, sent. */
  get lost(): readonly number[] {
    return [...this.#acknowledged].filter((number) => !this.#received.has(number))
  }

  /** Deliveries beyond the first. */
  get again(): number {
    let again = 0
    for (const count of this.#received.values()) again += count - 1
    return again
  }

  /** Which came more than once. */
  get twice(): readonly number[] {
    return [...this.#received].filter(([, count]) => count > 1).map(([number]) => number)
  }

  destroy(): void {
    this.publisher.destroy()
    this.subscriber.destroy()
  }

  toString(): string {
    return `${this.#topic} (QoS ${this.options.qos}, ${this.options.from.name} to ${this.options.to.name})`
  }

  #subscribe(): Promise<void> {
    return this.subscriber.subscribe([{ topic: this.#topic, qos: this.options.qos }])
  }

  /** A client whose session is gone subscribes again, as any client does. */
  #comeBack(client: RoamingClient, nextPort: () => number): void {
    client.onClosed = () => {
      const closedAt = performance.now()
      void client.connectSomewhere(nextPort).then(async () => {
        this.longestAwayMs = Math.max(this.longestAwayMs, performance.now() - closedAt)
        if (client === this.subscriber && !client.sessionPresent) await this.#subscribe()
      })
    }
  }
}

export class CrossLoad {
  readonly lanes: readonly Lane[]
  #timer: NodeJS.Timeout | undefined

  private constructor(lanes: readonly Lane[]) {
    this.lanes = lanes
  }

  static async start(t: Cleanup, lanes: readonly LaneOptions[], perS: number): Promise<CrossLoad> {
    const load = new CrossLoad(lanes.map((options, index) => new Lane(`${index}`, options)))
    t.after(() => load.destroy())
    await Promise.all(load.lanes.map((lane) => lane.connect()))
    load.#run(perS)
    return load
  }

  /** No more is sent; what was sent goes on. */
  stop(): void {
    clearInterval(this.#timer)
  }

  /** Stops, and resolves when all that was sent is acknowledged and all of it has arrived. Throws when some is lost. */
  async finish(timeoutMs: number): Promise<LoadReport> {
    this.stop()
    const isDone = (lane: Lane): boolean => lane.publisher.unacknowledged === 0 && lane.lost.length === 0
    await until('everything acknowledged is here', () => this.lanes.every(isDone), timeoutMs).catch(() => {})
    const problems = this.lanes.filter((lane) => !isDone(lane)).map(problemOf)
    assert.deepEqual(problems, [])
    return {
      acknowledged: this.lanes.reduce((sum, lane) => sum + lane.acknowledged, 0),
      again: this.lanes.reduce((sum, lane) => sum + lane.again, 0),
      againQos2: this.lanes.reduce((sum, lane) => sum + (lane.options.qos === 2 ? lane.again : 0), 0),
      longestAwayMs: Math.round(Math.max(...this.lanes.map((lane) => lane.longestAwayMs))),
    }
  }

  destroy(): void {
    this.stop()
    for (const lane of this.lanes) lane.destroy()
  }

  /** Each lane in its turn, not all in one tick. */
  #run(perS: number): void {
    let turn = 0
    let owed = 0
    let lastAt = performance.now()
    this.#timer = setInterval(() => {
      const now = performance.now()
      owed += ((now - lastAt) / 1000) * perS
      lastAt = now
      for (; owed >= 1; owed -= 1) {
        this.lanes[turn % this.lanes.length]!.send()
        turn += 1
      }
    }, 2)
  }
}

export interface LoadReport {
  readonly acknowledged: number
  /** Deliveries beyond the first of each message; with QoS 1 they are allowed. */
  readonly again: number
  /** Of QoS 2: none may be. */
  readonly againQos2: number
  /** The longest that a client was without a connection. */
  readonly longestAwayMs: number
}

function problemOf(lane: Lane): string {
  const { publisher, subscriber, lost, acknowledged } = lane
  const states = [publisher, subscriber].map(({ isConnected }) => (isConnected ? 'connected' : 'away')).join(', ')
  const first = lost.slice(0, 5).join(' ')
  return `${lane}: ${lost.length} of ${acknowledged} lost (${first}), ${publisher.unacknowledged} unacknowledged, ${states}`
}

/** `count` lanes, each from one node to another. */
export function acrossNodes(nodes: readonly ClusterNode[], count: number, qos: 0 | 1 | 2 = 1): LaneOptions[] {
  return Array.from({ length: count }, (_, index) => {
    const from = index % nodes.length
    const hop = 1 + (Math.floor(index / nodes.length) % (nodes.length - 1))
    return { from: nodes[from]!, to: nodes[(from + hop) % nodes.length]!, qos }
  })
}
