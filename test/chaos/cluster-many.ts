// A node of three with very many sessions, all of them on a second node too: it is killed and comes back, and later it is lost.
import assert from 'node:assert/strict'
import type { Cleanup } from '../helpers/broker.ts'
import { type ClusterNode, startCluster } from '../helpers/cluster.ts'
import type { Random } from '../helpers/random.ts'
import { names } from './cluster-node.ts'
import { acrossNodes, CrossLoad } from './cross-load.ts'
import { connectAll, until } from './crowd.ts'
import { Latencies } from './latencies.ts'
import { LightClient } from './light-client.ts'

export interface ClusterManyOptions {
  readonly sessions: number
  /** Clients that come back to another node when theirs is lost. */
  readonly asked: number
  /** Between the two other nodes, meanwhile. */
  readonly perS: number
}

export interface ClusterManyReport {
  readonly sessions: number
  /** From the last session until each of them lay on a second node. */
  readonly replicatedS: number
  /** From the start of the killed node until it listened, and until each of its sessions lay on a second node again. */
  readonly listensS: number
  readonly rebuiltS: number
  /** From the loss of the node until so many of its clients, who all came at once, had their messages elsewhere. */
  readonly backS: number
  readonly asked: number
  /** Between the other two nodes, QoS 1: before, while the killed one came back, and after the other loss. */
  readonly p99Ms: readonly [before: number, rebuilding: number, lost: number]
}

const atOnce = 200
const longMs = 600_000

export async function clusterManyRun(
  t: Cleanup,
  random: Random,
  { sessions, asked, perS }: ClusterManyOptions,
): Promise<ClusterManyReport> {
  const cluster = await startCluster(t, { nodes: names, settings: 'replicas: 1', isDirect: true })
  const run = async (): Promise<ClusterManyReport> => {
    const [lost, ...others] = cluster.nodes as [ClusterNode, ...ClusterNode[]]
    const clientIds = Array.from({ length: sessions }, (_, n) => `phone ${n}`)
    const before = performance.now()
    await leaveSessions(t, lost, clientIds)
    await untilReplicated(lost, sessions)
    const replicatedS = since(before)
    await publishToEach(t, others[0]!, clientIds)

    const latencies = new Latencies()
    const lanes = acrossNodes(others, 4, 1).map((lane) => ({ ...lane, latencies }))
    const load = await CrossLoad.start(t, lanes, perS)
    const p99Now = (): number => {
      const ms = latencies.percentile(0.99)
      latencies.clear()
      return ms
    }
    await until('the load has run', () => latencies.count > 5 * perS, longMs)
    const quiet = p99Now()

    await lost.kill('SIGKILL')
    const startedAt = performance.now()
    await lost.start()
    const listensS = since(startedAt)
    await untilReplicated(lost, sessions)
    const rebuiltS = since(startedAt)
    const rebuilding = p99Now()

    const lostAt = performance.now()
    await lost.destroy()
    const some = clientIds.filter((_, index) => index % Math.floor(sessions / asked) === 0)
    await Promise.all(some.map((clientId) => hasItsMessage(t, random.pick(others), clientId)))
    const backS = since(lostAt)
    const p99Ms = [quiet, rebuilding, p99Now()] as const
    await load.finish(60_000)
    return { sessions, replicatedS, listensS, rebuiltS, backS, asked: some.length, p99Ms }
  }
  return cluster.during(run())
}

function since(start: number): number {
  return Math.round((performance.now() - start) / 100) / 10
}

const inboxOf = (clientId: string): string => `in/${clientId}`

/** Each with an inbox and a room of a hundred, and nobody connected. */
async function leaveSessions(t: Cleanup, node: ClusterNode, clientIds: readonly string[]): Promise<void> {
  for (let at = 0; at < clientIds.length; at += atOnce) {
    const some = clientIds.slice(at, at + atOnce)
    const clients = await connectAll(
      t,
      some.map((clientId) => ({ port: node.port, clientId, clean: false })),
    )
    await Promise.all(
      clients.map(async (client, index) => {
        await client.subscribe(inboxOf(client.clientId), 1)
        await client.subscribe(`room/${Math.floor((at + index) / 100)}`, 1)
        await client.disconnect()
      }),
    )
  }
}

/** Each of its sessions lies on a second node. */
function untilReplicated(node: ClusterNode, sessions: number): Promise<void> {
  return until(
    'all replicas are complete',
    async () => (await node.metric('oriole_cluster_replicas{state="complete"}')) === sessions,
    longMs,
  )
}

async function publishToEach(t: Cleanup, node: ClusterNode, clientIds: readonly string[]): Promise<void> {
  const [sender] = await connectAll(t, [{ port: node.port, clientId: 'sender' }])
  for (let at = 0; at < clientIds.length; at += atOnce) {
    const some = clientIds.slice(at, at + atOnce)
    await Promise.all(some.map((clientId) => sender!.publishAcknowledged(inboxOf(clientId), Buffer.from(clientId))))
  }
  await sender!.disconnect()
}

/** As long as nobody knows that its node is lost, it is refused, and tries again. */
async function hasItsMessage(t: Cleanup, node: ClusterNode, clientId: string): Promise<void> {
  const client = new LightClient({ port: node.port, clientId, clean: false })
  t.after(() => client.destroy())
  const texts: string[] = []
  client.onMessage = (_topic, payload) => texts.push(payload.toString())
  await until(
    `${clientId} is let in`,
    () =>
      client.connect().then(
        () => true,
        () => false,
      ),
    longMs,
  )
  assert.equal(client.sessionPresent, true, `${clientId} has no session`)
  await until(`${clientId} has its message`, () => texts.includes(clientId), longMs)
  await client.disconnect()
}
