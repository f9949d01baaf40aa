// Issue 4: a million sessions and a million retained messages, filled in through the store.
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { startOriole } from '../brokers/oriole.ts'
import { fillStore } from '../fill-store.ts'
import { username } from '../generator.ts'
import { scratchFolder } from '../places.ts'
import { cpuTimeUs, resident } from '../resident.ts'
import type { Bench, Row } from '../row.ts'
import type { Scope } from '../scope.ts'
import { Watcher } from '../watcher.ts'

const million = 1_000_000
const exactSubscribes = 300
/** One in ten of the retained messages matches `+/x/#`. */
const matching = million / 10
const kinds = 'xabcdefghi'

export const scaleRows: readonly Row[] = [
  {
    name: 'start',
    issue: 4,
    work: 'start with 1,000,000 sessions of 2 filters and 1,000,000 retained',
    figure: 'startS',
    alsoShown: ['peakMB', 'residentMB'],
    sides: [{ name: 'Oriole', measure: start }],
    targets: [
      { kind: 'atMost', of: 'Oriole', value: 20 },
      { kind: 'atMost', of: 'Oriole', value: 1_500, figure: 'peakMB' },
    ],
    roundsMax: 1,
  },
  {
    name: 'retained',
    issue: 4,
    work: 'SUBSCRIBE to one exact topic with 1,000,000 retained; `+/x/#` over them, latency of others meanwhile',
    figure: 'exactUs',
    alsoShown: ['maxMs', 'p99Us'],
    sides: [{ name: 'Oriole', measure: retained }],
    targets: [
      { kind: 'atMost', of: 'Oriole', value: 1_000 },
      { kind: 'atMost', of: 'Oriole', value: 20, figure: 'maxMs' },
    ],
    roundsMax: 1,
  },
]

/** Filled once for both rows. */
function filledFolder(bench: Bench): Promise<string> {
  return bench.once('a million', async (scope) => {
    const folder = join(await scratchFolder(scope), 'data')
    await fillStore(folder, { sessions: million, retained: million, retainedTopicOf: topicOf })
    return folder
  })
}

/** All of one length, so that received messages can be counted by their bytes. */
function topicOf(n: number): string {
  const site = String(n % 1_000).padStart(4, '0')
  const kind = kinds[Math.floor(n / 1_000) % kinds.length]
  return `${site}/${kind}/${String(n).padStart(7, '0')}`
}

async function start(bench: Bench, scope: Scope) {
  const dataFolder = await filledFolder(bench)
  const broker = await startOriole(bench, scope, { dataFolder })
  const { nowBytes, peakBytes } = await resident(broker.pid)
  await broker.stop()
  return { figures: { startS: broker.startedInS!, peakMB: peakBytes / 1e6, residentMB: nowBytes / 1e6 } }
}

async function retained(bench: Bench, scope: Scope) {
  const dataFolder = await filledFolder(bench)
  const broker = await startOriole(bench, scope, { dataFolder })
  const exactUs = await exact(scope, broker.port, broker.pid)
  // Others meanwhile: one pair, a message every millisecond.
  const seconds = 8
  const steady = ['--mode', 'pair', '--rate', '1000', '--window', '10000', '--seconds', String(seconds)]
  const meanwhile = bench.generator.load(scope, broker, steady)
  await wait(2_000)
  const watcher = await Watcher.connect(scope, broker.port, 'walk')
  watcher.subscribe('+/x/#')
  await watcher.receivedBytes(matching * publishBytes(topicOf(0)))
  const { figures } = await meanwhile
  await broker.stop()
  return { figures: { exactUs, maxMs: figures.maxMs!, p99Us: figures.p99Us! } }
}

/** CPU time of the broker for one SUBSCRIBE, its SUBACK and its retained message. */
async function exact(scope: Scope, port: number, pid: number): Promise<number> {
  const watcher = await Watcher.connect(scope, port, username)
  const matchingTopics = Array.from({ length: 2 * exactSubscribes }, (_, n) => topicOf(n % 1_000))
  const subscribeEach = async (from: number): Promise<void> => {
    for (const topic of matchingTopics.slice(from, from + exactSubscribes)) {
      watcher.subscribe(topic)
      await watcher.receivedBytes(subackBytes + publishBytes(topic))
    }
  }
  await subscribeEach(0)
  const before = await cpuTimeUs(pid)
  await subscribeEach(exactSubscribes)
  return ((await cpuTimeUs(pid)) - before) / exactSubscribes
}

const subackBytes = 5

/** With QoS 0, a payload of 64 bytes and a length below 128. */
function publishBytes(topic: string): number {
  return 2 + 2 + topic.length + 64
}
