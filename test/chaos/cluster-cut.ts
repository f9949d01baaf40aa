// One node is cut off from Redis for longer than its lease, and healed: nothing is lost, each client has one connection,
// and each will is published once.
import assert from 'node:assert/strict'
import { setTimeout as wait } from 'node:timers/promises'
import type { Cleanup } from '../helpers/broker.ts'
import { type ClusterNode, startCluster, type TestCluster } from '../helpers/cluster.ts'
import type { Random } from '../helpers/random.ts'
import { acrossNodes, CrossLoad, type LoadReport } from './cross-load.ts'
import { until } from './crowd.ts'
import { RoamingClient } from './roaming-client.ts'

export interface ClusterCutOptions {
  readonly cutS: number
  readonly perS: number
  readonly rivals: number
}

export interface ClusterCutReport extends LoadReport {
  /** `cut`: nothing passes; `reset`: connections are refused. */
  readonly kind: 'cut' | 'reset'
  /** Until each client identifier had one connection. */
  readonly oneConnectionMs: number
}

export async function clusterCutRun(t: Cleanup, random: Random, options: ClusterCutOptions): Promise<ClusterCutReport> {
  const cluster = await startCluster(t, { nodes: ['one', 'two'] })
  return cluster.during(cutAndHeal(t, cluster, random, options))
}

async function cutAndHeal(
  t: Cleanup,
  { nodes }: TestCluster,
  random: Random,
  { cutS, perS, rivals: rivalCount }: ClusterCutOptions,
): Promise<ClusterCutReport> {
  const [one, two] = nodes as [ClusterNode, ClusterNode]
  const kind = random.pick(['cut', 'reset'] as const)
  const load = await CrossLoad.start(t, acrossNodes(nodes, 6), perS)
  const rivals = Array.from({ length: rivalCount }, (_, index) => new Rival(t, index))
  await Promise.all(rivals.map((rival) => rival.connectFirst(two)))
  const watchers = await Promise.all(nodes.map((node) => watchWills(t, node)))
  const mourned = await Promise.all(mournedNames.map((name) => connectMourned(t, name, two)))
  const writers = await Promise.all(nodes.map((node) => connected(t, `writer ${node.name}`, node)))
  const write = async (): Promise<void> => {
    await Promise.all(writers.flatMap((writer) => rivals.map((rival) => rival.write(writer))))
  }
  await write()

  two.redisProxy[kind]()
  await wait(1_000)
  die(mourned, 'early')
  await Promise.all(rivals.map((rival) => rival.connectSecond(one)))
  await write()
  await wait((cutS - 1) * 1000)
  die(mourned, 'late')
  await write()

  two.redisProxy.heal()
  const healedAt = performance.now()
  const isSettled = (): boolean => rivals.every(({ connections }) => connections === 1)
  await until('one connection for each client', isSettled, 5_000).catch((error: unknown) => {
    throw new Error(`after 5 s: ${rivals.map(({ connections }) => connections)} connections`, { cause: error })
  })
  const oneConnectionMs = Math.round(performance.now() - healedAt)
  die(mourned, 'after')
  await write()

  const report = await load.finish(60_000)
  await until('the rivals have everything', () => rivals.every(({ missing }) => missing.length === 0), 30_000).catch(
    () => {
      assert.fail(rivals.map((rival) => `${rival.clientId} misses ${rival.missing}`).join('; '))
    },
  )
  await checkWills(watchers)
  assert.ok(isSettled(), `at the end: ${rivals.map(({ connections }) => connections)} connections`)
  return { ...report, kind, oneConnectionMs }
}

/** One client identifier, and two connections that both believe to be the one. */
class Rival {
  readonly clientId: string
  readonly #first: RoamingClient
  readonly #second: RoamingClient
  readonly #acknowledged = new Set<string>()
  readonly #received = new Set<string>()
  #written = 0

  constructor(t: Cleanup, index: number) {
    this.clientId = `rival ${index}`
    this.#first = new RoamingClient({ clientId: this.clientId })
    this.#second = new RoamingClient({ clientId: this.clientId })
    for (const half of [this.#first, this.#second]) {
      t.after(() => half.destroy())
      half.onMessage = ({ payload }) => this.#received.add(payload.toString())
    }
  }

  get connections(): number {
    return [this.#first, this.#second].filter(({ isConnected }) => isConnected).length
  }

  get missing(): readonly string[] {
    return [...this.#acknowledged].filter((text) => !this.#received.has(text))
  }

  async connectFirst(node: ClusterNode): Promise<void> {
    await this.#first.connect(node.port)
    await this.#first.subscribe([{ topic: this.clientId, qos: 1 }])
  }

  async connectSecond(node: ClusterNode): Promise<void> {
    await this.#second.connect(node.port)
    if (!this.#second.sessionPresent) await this.#second.subscribe([{ topic: this.clientId, qos: 1 }])
  }

  async write(writer: RoamingClient): Promise<void> {
    this.#written += 1
    const text = `${this.#written} from ${writer.clientId}`
    await writer.publish(this.clientId, text, 1)
    this.#acknowledged.add(text)
  }
}

const moments = ['early', 'late', 'after'] as const
const mournedNames = moments.flatMap((moment) => Array.from({ length: 4 }, (_, index) => `${moment} ${index}`))

function die(mourned: readonly RoamingClient[], moment: (typeof moments)[number]): void {
  for (const client of mourned) if (client.clientId.startsWith(moment)) client.cut()
}

async function connectMourned(t: Cleanup, clientId: string, node: ClusterNode): Promise<RoamingClient> {
  const client = new RoamingClient({ clientId, will: { topic: `wills/${clientId}`, payload: clientId } })
  t.after(() => client.destroy())
  await client.connect(node.port)
  return client
}

async function connected(t: Cleanup, clientId: string, node: ClusterNode): Promise<RoamingClient> {
  const client = new RoamingClient({ clientId })
  t.after(() => client.destroy())
  await client.connect(node.port)
  return client
}

interface Watcher {
  readonly node: string
  readonly wills: string[]
}

async function watchWills(t: Cleanup, node: ClusterNode): Promise<Watcher> {
  const client = await connected(t, `watcher ${node.name}`, node)
  const wills: string[] = []
  client.onMessage = ({ payload }) => wills.push(payload.toString())
  await client.subscribe([{ topic: 'wills/#', qos: 2 }])
  return { node: node.name, wills }
}

/** A second one would come soon after the first. */
const secondWillMs = 3_000

async function checkWills(watchers: readonly Watcher[]): Promise<void> {
  const haveAll = (): boolean => watchers.every(({ wills }) => new Set(wills).size === mournedNames.length)
  await until('every will', haveAll, 30_000).catch(() => {})
  await wait(secondWillMs)
  for (const { node, wills } of watchers) {
    assert.deepEqual([...wills].sort(), [...mournedNames].sort(), `wills seen at ${node}`)
  }
}
