// Random bytes, changed copies of real frames, and foreign entries, on every channel and stream of a cluster: nothing of it
// gets in, all of it is counted, and the traffic goes on.
import assert from 'node:assert/strict'
import { setTimeout as wait } from 'node:timers/promises'
import { Redis } from 'ioredis'
import type { Cleanup } from '../helpers/broker.ts'
import { type ClusterNode, startCluster, type TestCluster } from '../helpers/cluster.ts'
import type { Random } from '../helpers/random.ts'
import { acrossNodes, CrossLoad, type LoadReport } from './cross-load.ts'
import { until } from './crowd.ts'
import { RoamingClient } from './roaming-client.ts'

export interface ClusterHostileOptions {
  readonly frames: number
  readonly perS: number
}

export interface ClusterHostileReport extends LoadReport {
  readonly channels: readonly string[]
  readonly streams: readonly string[]
  /** By all nodes. */
  readonly counted: number
}

/** Of everything that a node refused to take from Redis. */
const countedName = /^oriole_cluster_frames_refused_total/

export async function clusterHostileRun(
  t: Cleanup,
  random: Random,
  options: ClusterHostileOptions,
): Promise<ClusterHostileReport> {
  const cluster = await startCluster(t, { nodes: ['one', 'two'] })
  return cluster.during(attack(t, cluster, random, options))
}

async function attack(
  t: Cleanup,
  { redis, nodes }: TestCluster,
  random: Random,
  { frames, perS }: ClusterHostileOptions,
): Promise<ClusterHostileReport> {
  const load = await CrossLoad.start(t, [...acrossNodes(nodes, 4, 1), ...acrossNodes(nodes, 4, 0)], perS)
  const spies = await Promise.all(nodes.map((node) => spyOnEverything(t, node)))
  const attacker = await Attacker.open(t, redis.url, random)
  const before = await countedBy(nodes)
  for (let frame = 0; frame < frames; frame += 1) {
    await attacker.strike()
    if (frame % 100 === 0) await wait(5)
  }
  const report = await load.finish(60_000)
  const isCounted = async (): Promise<boolean> => (await countedBy(nodes)) - before >= attacker.foreign
  await until('all of it is counted', isCounted, 10_000).catch(() => {})
  const counted = (await countedBy(nodes)) - before
  assert.ok(counted >= attacker.foreign, `${counted} counted, ${attacker.foreign} sent`)
  const strange = spies.flatMap(({ topics }) => [...topics]).filter((topic) => !topic.startsWith('lane/'))
  assert.deepEqual(strange, [], 'topics that nobody published to')
  for (const lane of load.lanes) if (lane.options.qos === 0) assert.equal(lane.again, 0, `${lane}: a replay got in`)
  const { channels, streams } = attacker
  return { ...report, channels, streams, counted }
}

/** What Redis holds and says of the cluster is all that it knows. */
class Attacker {
  /** Frames that no node can have meant: each is to be counted by at least one. */
  foreign = 0
  readonly channels: readonly string[]
  readonly streams: readonly string[]
  readonly #redis: Redis
  readonly #random: Random
  readonly #captured: readonly Buffer[]
  readonly #entries: readonly (readonly Buffer[])[]

  private constructor(redis: Redis, random: Random, loot: Loot) {
    this.#redis = redis
    this.#random = random
    this.channels = loot.channels
    this.streams = loot.streams
    this.#captured = loot.frames
    this.#entries = loot.entries
  }

  static async open(t: Cleanup, url: string, random: Random): Promise<Attacker> {
    const redis = new Redis(url)
    t.after(() => redis.disconnect())
    const loot = await spyOnRedis(t, redis, url)
    assert.ok(loot.channels.length > 0 && loot.frames.length > 0, 'no frame was seen')
    assert.ok(loot.streams.length > 0 && loot.entries.length > 0, 'no stream was seen')
    return new Attacker(redis, random, loot)
  }

  async strike(): Promise<void> {
    if (this.#random.chance(3)) await this.#strikeStream()
    else await this.#strikeChannel()
  }

  async #strikeChannel(): Promise<void> {
    const channel = this.#random.pick(this.channels)
    const frame = this.#random.pick(this.#captured)
    // Known to everyone already: dropped by its number, and that is no crime of whoever sent it.
    if (this.#random.chance(10)) await this.#redis.publish(channel, frame)
    else {
      this.foreign += 1
      await this.#redis.publish(channel, this.#random.chance() ? this.#junk() : this.#changed(frame))
    }
  }

  async #strikeStream(): Promise<void> {
    const stream = this.#random.pick(this.streams)
    const entry = this.#random.pick(this.#entries)
    if (this.#random.chance(10)) {
      await this.#redis.xadd(stream, '*', ...entry)
      return
    }
    this.foreign += 1
    const which = this.#random.below(entry.length)
    const fields = this.#random.chance()
      ? Array.from({ length: 2 * (1 + this.#random.below(4)) }, () => this.#junk())
      : entry.map((field, index) => (index === which ? this.#changed(field) : field))
    await this.#redis.xadd(stream, '*', ...fields)
  }

  #junk(): Buffer {
    const make = this.#random.pick(junk)
    return make(this.#random)
  }

  /** One byte is another, the end is missing, or there is more of it. */
  #changed(frame: Buffer): Buffer {
    const changed = Buffer.from(frame)
    const at = this.#random.below(Math.max(1, frame.length))
    const way = this.#random.below(3)
    if (way === 0 && frame.length > 0) {
      changed[at]! ^= 1 + this.#random.below(255)
      return changed
    }
    if (way === 1 && frame.length > 0) return changed.subarray(0, at)
    return Buffer.concat([changed, Buffer.from([this.#random.below(256)])])
  }
}

/** Bytes, texts, and MessagePack that means harm: depth, lengths that are not there, names of JavaScript. */
const junk: readonly ((random: Random) => Buffer)[] = [
  (random) => random.bytes(64),
  (random) => random.bytes(4_096),
  () => Buffer.alloc(0),
  () => Buffer.from('{"topic":"#","payload":"x","qos":1,"cmd":"publish"}'),
  () => Buffer.from('{"__proto__":{"isAdmin":true}}'),
  () => Buffer.alloc(200_000, 0x91),
  () => Buffer.alloc(1_000_000, 0xc1),
  () => Buffer.from([0xdf, 0xff, 0xff, 0xff, 0xff, 0xa1, 0x61]),
  () => Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff]),
  () => Buffer.from([0xc6, 0xff, 0xff, 0xff, 0xff, 0x00]),
  () => Buffer.from([0xc0]),
  (random) =>
    Buffer.concat([Buffer.from([0x82, 0xa2]), Buffer.from('id'), Buffer.from([0x01, 0xa3]), random.bytes(50)]),
  // { id: "x", msg: null } and { id: "x", msg: { topic: 7 } }
  () => Buffer.from('82a26964a178a36d7367c0', 'hex'),
  () => Buffer.from('82a26964a178a36d736781a5746f70696307', 'hex'),
  // { id: "x", msg: { topic: "__proto__", payload: "x" } }
  () => Buffer.from('82a26964a178a36d736782a5746f706963a95f5f70726f746f5f5fa77061796c6f6164a178', 'hex'),
]

interface Loot {
  readonly channels: readonly string[]
  readonly streams: readonly string[]
  readonly frames: readonly Buffer[]
  /** Fields and values, one after the other. */
  readonly entries: readonly (readonly Buffer[])[]
}

const lootMax = 200

/** For some seconds of traffic. */
async function spyOnRedis(t: Cleanup, redis: Redis, url: string): Promise<Loot> {
  const listener = new Redis(url)
  t.after(() => listener.disconnect())
  const frames: Buffer[] = []
  listener.on('pmessageBuffer', (_pattern: Buffer, _channel: Buffer, frame: Buffer) => {
    if (frames.length < lootMax) frames.push(frame)
  })
  await listener.psubscribe('*')
  const streams = new Set<string>()
  const entries: Buffer[][] = []
  const looked = performance.now()
  while (performance.now() - looked < 3_000 || (entries.length === 0 && performance.now() - looked < 10_000)) {
    for (const key of await redis.keys('*')) {
      if ((await redis.type(key)) !== 'stream') continue
      streams.add(key)
      const found = await redis.xrevrangeBuffer(key, '+', '-', 'COUNT', 10)
      for (const [, fields] of found) if (entries.length < lootMax) entries.push(fields)
    }
  }
  const channels = ((await redis.pubsub('CHANNELS', '*')) as string[]).filter((channel) => channel !== '')
  return { channels, streams: [...streams], frames, entries }
}

interface Spy {
  readonly topics: Set<string>
}

async function spyOnEverything(t: Cleanup, node: ClusterNode): Promise<Spy> {
  const client = new RoamingClient({ clientId: `spy ${node.name}`, clean: true })
  t.after(() => client.destroy())
  const topics = new Set<string>()
  client.onMessage = ({ topic }) => topics.add(topic)
  await client.connect(node.port)
  await client.subscribe([{ topic: '#', qos: 1 }])
  return { topics }
}

async function countedBy(nodes: readonly ClusterNode[]): Promise<number> {
  let sum = 0
  for (const node of nodes) {
    for (const [name, value] of await node.metrics()) if (countedName.test(name)) sum += value
  }
  return sum
}
