// Issue 6: what messages between nodes cost Redis, whatever the number of filters, and what those cost that nobody wants.

import { readFile } from 'node:fs/promises'
import { setTimeout as wait } from 'node:timers/promises'
import { connectAsync, type MqttClient } from 'mqtt'
import { startOriole } from '../brokers/oriole.ts'
import { type RunningRedis, startRedis } from '../brokers/redis.ts'
import { password, username } from '../generator.ts'
import { cpuTimeUs } from '../resident.ts'
import type { Bench, Row, Sample, Side } from '../row.ts'
import type { Scope } from '../scope.ts'

const perS = 1_000
/** The default limit of one client. */
const filtersOfEach = 1_000
const filtersOfPacket = 100
/** A large window, written by halves: what the load takes of the two cores the workers miss. */
const qos0 = ['--qos', '0', '--window', '200']

export const clusterRows: readonly Row[] = [
  {
    name: 'redis-cost',
    issue: 6,
    work: 'cost for Redis of one QoS 1 publish that another node wants, 1,000 a second; that node holds 10 or 100,000 filters',
    figure: 'redisUsEach',
    alsoShown: ['redisCommandsEach'],
    sides: [costSide('10 filters', 10), costSide('100,000 filters', 100_000)],
    targets: [{ kind: 'ratio', of: '10 filters', to: '100,000 filters', atLeast: 1 / 1.2 }],
  },
  {
    name: 'redis-nobody',
    issue: 6,
    work: 'commands of Redis for one QoS 1 publish that nobody on another node wants, with 100,000 filters there',
    figure: 'redisCommandsEach',
    sides: [costSide('nobody wants it', 100_000, false)],
    targets: [{ kind: 'atMost', of: 'nobody wants it', value: 0 }],
  },
  workersRow(
    'workers',
    '50 pairs, QoS 0, window 200, both ends on the same worker',
    [...qos0, '--publishers', '50'],
    1.6,
  ),
  workersRow(
    'workers-qos1',
    '50 pairs, QoS 1, both ends on the same worker',
    ['--publishers', '50', '--qos', '1'],
    1.6,
  ),
  // An odd number: whoever connects as the 52nd has its publisher on the other worker.
  workersRow('workers-across', '51 pairs, QoS 0, window 200, the ends on two workers', [...qos0, '--publishers', '51']),
]

/**
 * Brokers, Redis and load share two cores: what the load takes, two workers miss, and its share is shown. The CPU time is
 * that of all workers together, from their first connection on.
 */
function workersRow(name: string, work: string, load: readonly string[], atLeast?: number): Row {
  const side = (sideName: string, count: number): Side => ({
    name: sideName,
    async measure(bench, scope) {
      const redis = await startRedis(scope)
      const broker = await startOriole(bench, scope, { workers: { count, redisPort: redis.port } })
      const args = ['--mode', 'pair', '--one-by-one', '--by-halves', ...load, '--seconds', String(bench.seconds)]
      await redis.cost()
      const before = await cpuTimeOfAllUs(broker.pid)
      const { figures, generatorShare } = await bench.generator.load(scope, broker, args)
      const cpuUsEach = ((await cpuTimeOfAllUs(broker.pid)) - before) / (figures.publishedInAll ?? Number.NaN)
      const { commands } = await redis.cost()
      await broker.stop()
      const redisCommandsEach = commands / (figures.publishedInAll ?? Number.NaN)
      const loadShare = generatorShare === undefined ? {} : { loadShare: generatorShare * 100 }
      return { figures: { ...figures, redisCommandsEach, ...loadShare }, cpuUsEach }
    },
  })
  return {
    name,
    issue: 6,
    work: `${work}, windows filled by halves: one worker and two, on two cores with the load and Redis`,
    figure: 'deliveredPerS',
    alsoShown: ['loadShare', 'redisCommandsEach'],
    sides: [side('one worker', 1), side('two workers', 2)],
    targets: atLeast === undefined ? [] : [{ kind: 'ratio', of: 'two workers', to: 'one worker', atLeast }],
  }
}

function costSide(name: string, filters: number, isWanted = true): Side {
  return { name, measure: (bench, scope) => measure(bench, scope, filters, isWanted) }
}

async function measure(bench: Bench, scope: Scope, filters: number, isWanted: boolean): Promise<Sample> {
  const redis = await startRedis(scope)
  const here = await startOriole(bench, scope, { cluster: { node: 'here', redisPort: redis.port } })
  const there = await startOriole(bench, scope, { cluster: { node: 'there', redisPort: redis.port } })
  await holdFilters(scope, there.port, filters)
  const subscriber = await client(scope, there.port)
  if (isWanted) await subscriber.subscribeAsync('bench/wanted', { qos: 1 })
  const publisher = await client(scope, here.port)
  // Once before: connections and code that were never used cost more.
  await publish(publisher, perS)
  await quiet(redis)
  // What nodes tell each other without any message, for as long as the messages take.
  await wait(bench.seconds * 1_000)
  const idle = await redis.cost()
  const messages = perS * bench.seconds
  await publish(publisher, messages)
  await wait(200)
  const cost = await redis.cost()
  await Promise.all([here.stop(), there.stop()])
  return {
    figures: {
      redisUsEach: Math.max(0, cost.us - idle.us) / messages,
      // Frames that tell nothing but "I am here" come once a second, not quite evenly.
      redisCommandsEach: Math.round((Math.max(0, cost.commands - idle.commands) / messages) * 100) / 100,
    },
  }
}

async function quiet(redis: RunningRedis): Promise<void> {
  await wait(2_000)
  await redis.cost()
}

/** At an even pace; resolves when all are acknowledged. */
async function publish(publisher: MqttClient, messages: number): Promise<void> {
  const payload = Buffer.alloc(64, 'x')
  const acknowledged: Promise<unknown>[] = []
  const startedAt = performance.now()
  while (acknowledged.length < messages) {
    const due = Math.min(messages, ((performance.now() - startedAt) / 1_000) * perS)
    while (acknowledged.length < due) acknowledged.push(publisher.publishAsync('bench/wanted', payload, { qos: 1 }))
    await wait(1)
  }
  await Promise.all(acknowledged)
}

async function holdFilters(scope: Scope, port: number, filters: number): Promise<void> {
  for (let held = 0; held < filters; held += filtersOfEach) {
    const holder = await client(scope, port)
    const own = Array.from({ length: Math.min(filtersOfEach, filters - held) }, (_, n) => `bench/f${held + n}/+`)
    for (let at = 0; at < own.length; at += filtersOfPacket) {
      await holder.subscribeAsync(own.slice(at, at + filtersOfPacket), { qos: 1 })
    }
  }
}

async function client(scope: Scope, port: number): Promise<MqttClient> {
  const options = { username, password, reconnectPeriod: 0, clean: true }
  const connected = await connectAsync(`mqtt://127.0.0.1:${port}`, options)
  scope.after(() => connected.end(true))
  return connected
}

/** Of a process and of those that it started. */
async function cpuTimeOfAllUs(pid: number): Promise<number> {
  const children = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8'))
    .split(' ')
    .filter((text) => text !== '')
  const times = await Promise.all([pid, ...children.map(Number)].map((one) => cpuTimeUs(one)))
  return times.reduce((sum, us) => sum + us, 0)
}
