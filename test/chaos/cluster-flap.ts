// One client identifier connects to two nodes in turn, far faster than a session moves: one connection is left, what waits
// for it comes once, and nothing leaks.
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { generate } from 'mqtt-packet'
import type { Cleanup } from '../helpers/broker.ts'
import { type ClusterNode, startCluster, type TestCluster } from '../helpers/cluster.ts'
import type { Random } from '../helpers/random.ts'
import { memoryMb, until } from './crowd.ts'
import { RoamingClient } from './roaming-client.ts'

export interface ClusterFlapOptions {
  readonly forS: number
  readonly perS: number
  /** That a node may grow by, after the first third: until then its heap is still growing to its size. */
  readonly growthMaxMb: number
}

export interface ClusterFlapReport {
  readonly connects: number
  readonly accepted: number
  readonly messages: number
  /** Until one was left. */
  readonly settledMs: number
  readonly growthMb: readonly number[]
}

const clientId = 'flapping'
const topic = 'flap/queue'

export async function clusterFlapRun(
  t: Cleanup,
  random: Random,
  options: ClusterFlapOptions,
): Promise<ClusterFlapReport> {
  const cluster = await startCluster(t, { nodes: ['one', 'two'] })
  return cluster.during(flap(t, cluster, random, options))
}

async function flap(
  t: Cleanup,
  { nodes }: TestCluster,
  random: Random,
  { forS, perS, growthMaxMb }: ClusterFlapOptions,
): Promise<ClusterFlapReport> {
  await subscribeOnce(t, nodes[0]!)
  const queue = await Queue.open(t, nodes)
  await queue.write(100)

  const flapper = new Flapper(t, nodes)
  const startedAt = performance.now()
  let before: number[] | undefined
  for (let turn = 0; performance.now() - startedAt < forS * 1000; turn += 1) {
    flapper.connect()
    if (turn % 10 === 0) await queue.write(1)
    if (before === undefined && performance.now() - startedAt > (forS * 1000) / 3) before = await memoryOf(nodes)
    const dueAt = startedAt + ((turn + 1) * 1000) / perS
    await wait(Math.max(0, dueAt - performance.now()))
  }
  const stoppedAt = performance.now()
  await until('one connection is left', () => flapper.isSettled, 10_000).catch((error: unknown) => {
    throw new Error(`${flapper.alive} alive, ${flapper.undecided} undecided`, { cause: error })
  })
  const settledMs = Math.round(performance.now() - stoppedAt)
  await wait(1_000)
  assert.equal(flapper.alive, 1, 'connections a second later')

  const after = await memoryOf(nodes)
  const growthMb = after.map((mb, index) => mb - before![index]!)
  assert.ok(Math.max(...growthMb) < growthMaxMb, `grown by ${growthMb} MB`)
  await checkGauges(nodes, queue.writers)
  flapper.destroy()
  await queue.checkDelivered(t, random)
  return { connects: flapper.connects, accepted: flapper.accepted, messages: queue.written, settledMs, growthMb }
}

/** Writes CONNECT and acknowledges nothing. */
class Flapper {
  connects = 0
  accepted = 0
  alive = 0
  /** Neither accepted nor closed yet. */
  undecided = 0
  readonly #nodes: readonly ClusterNode[]
  readonly #ends = new Set<() => void>()

  constructor(t: Cleanup, nodes: readonly ClusterNode[]) {
    this.#nodes = nodes
    t.after(() => this.destroy())
  }

  get isSettled(): boolean {
    return this.alive === 1 && this.undecided === 0
  }

  connect(): void {
    const { port } = this.#nodes[this.connects % this.#nodes.length]!
    this.connects += 1
    this.undecided += 1
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    const end = (): void => void socket.destroy()
    this.#ends.add(end)
    let isAccepted = false
    socket.on('error', () => socket.destroy())
    socket.once('data', (chunk: Buffer) => {
      // CONNACK comes first; its second last byte but one says how it went.
      isAccepted = chunk[0] === 0x20 && chunk[3] === 0
      if (!isAccepted) return end()
      this.accepted += 1
      this.alive += 1
      this.undecided -= 1
    })
    socket.on('data', () => {})
    socket.on('close', () => {
      this.#ends.delete(end)
      if (isAccepted) this.alive -= 1
      else this.undecided -= 1
    })
    socket.write(
      generate({ cmd: 'connect', clientId, clean: false, keepalive: 0, protocolId: 'MQTT', protocolVersion: 4 }),
    )
  }

  destroy(): void {
    for (const end of this.#ends) end()
  }
}

/** Numbers, published on both nodes in turn. */
class Queue {
  written = 0
  readonly writers: readonly RoamingClient[]
  readonly #nodes: readonly ClusterNode[]

  private constructor(nodes: readonly ClusterNode[], writers: readonly RoamingClient[]) {
    this.#nodes = nodes
    this.writers = writers
  }

  static async open(t: Cleanup, nodes: readonly ClusterNode[]): Promise<Queue> {
    const writers = nodes.map(({ name }) => new RoamingClient({ clientId: `writer ${name}` }))
    t.after(() => {
      for (const writer of writers) writer.destroy()
    })
    await Promise.all(writers.map((writer, index) => writer.connect(nodes[index]!.port)))
    return new Queue(nodes, writers)
  }

  async write(count: number): Promise<void> {
    const publishes: Promise<void>[] = []
    for (let index = 0; index < count; index += 1) {
      const writer = this.writers[this.written % this.writers.length]!
      publishes.push(writer.publish(topic, `${this.written}`, 1))
      this.written += 1
    }
    await Promise.all(publishes)
  }

  /** To a client that acknowledges, each number once; to the same client on the other node, nothing more. */
  async checkDelivered(t: Cleanup, random: Random): Promise<void> {
    const client = new RoamingClient({ clientId })
    t.after(() => client.destroy())
    const times = new Map<string, number>()
    client.onMessage = ({ payload }) => {
      const text = payload.toString()
      times.set(text, (times.get(text) ?? 0) + 1)
    }
    const first = random.below(this.#nodes.length)
    await client.connect(this.#nodes[first]!.port)
    assert.equal(client.sessionPresent, true, 'the session is gone')
    await until('its queue', () => times.size >= this.written, 30_000).catch(() => {
      assert.fail(`${times.size} of ${this.written} messages came`)
    })
    await client.ping()
    await client.disconnect()
    await client.connect(this.#nodes[(first + 1) % this.#nodes.length]!.port)
    await wait(1_000)
    await client.ping()
    const twice = [...times].filter(([, count]) => count > 1)
    assert.deepEqual(twice, [], 'messages that came more than once')
    assert.equal(times.size, this.written)
  }
}

async function subscribeOnce(t: Cleanup, node: ClusterNode): Promise<void> {
  const client = new RoamingClient({ clientId })
  t.after(() => client.destroy())
  await client.connect(node.port)
  await client.subscribe([{ topic, qos: 1 }])
  await client.disconnect()
}

function memoryOf(nodes: readonly ClusterNode[]): Promise<number[]> {
  return Promise.all(nodes.map((node) => memoryMb(node.processId)))
}

/** The flapping session is on one node, and so is its connection. */
async function checkGauges(nodes: readonly ClusterNode[], writers: readonly RoamingClient[]): Promise<void> {
  const sum = async (name: string): Promise<number> => {
    const values = await Promise.all(nodes.map((node) => node.metric(name)))
    return values.reduce((total, value) => total + value, 0)
  }
  assert.equal(await sum('oriole_connections'), writers.length + 1, 'connections')
  assert.equal(await sum('oriole_sessions'), writers.length + 1, 'sessions')
  assert.equal(await sum('oriole_subscriptions'), 1, 'subscriptions')
}
