// Issue 4: what is stored for members who are away, and how fast an acknowledgement that means "stored" can be.
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { RunningBroker } from '../brokers/broker.ts'
import { startOriole } from '../brokers/oriole.ts'
import { scratchFolder } from '../places.ts'
import { cores, startPinned } from '../programs.ts'
import type { Bench, Row } from '../row.ts'
import type { Scope } from '../scope.ts'
import { aedesLevel, type LoadOptions, mosquitto, oriole, orioleAs } from './sides.ts'

/** Nothing is dropped: neither side may be fast by forgetting. */
const roomy = { limits: { queueMessages: 10_000_000, queueBytes: 4_000_000_000 } }

const group = ['--mode', 'fanout', '--publishers', '10', '--qos', '1', '--publish-only', '--payload', '100']
/** With a full window a broker that stores 30 a second would answer nothing in the time of a measurement. */
const groupForSlow = [...group, '--window', '1', '--warmup', '3']
const persistentPairs = ['--mode', 'pair', '--publishers', '50', '--qos', '1', '--persistent']
const oneByOne = ['--mode', 'fanout', '--publishers', '1', '--window', '1', '--qos', '1', '--publish-only']

const queued = 100_000

export const storageRows: readonly Row[] = [
  {
    name: 'members',
    issue: 4,
    work: 'QoS 1 to a topic with 1,000 offline persistent members, PUBACKs/s, `durability: disk`',
    figure: 'acknowledgedPerS',
    sides: [oriole(group, members(1_000)), mosquitto(group, members(1_000)), aedesLevel(groupForSlow, members(1_000))],
    targets: [
      { kind: 'ratio', of: 'Oriole', to: 'mosquitto', atLeast: 15 },
      { kind: 'ratio', of: 'Oriole', to: 'aedes with level', atLeast: 300 },
    ],
  },
  {
    name: 'members-10000',
    issue: 4,
    work: 'the same with 10,000 members against 100 members',
    figure: 'acknowledgedPerS',
    sides: [orioleAs('100 members')(group, members(100)), orioleAs('10,000 members')(group, members(10_000))],
    // 1 / 1.3
    targets: [{ kind: 'ratio', of: '10,000 members', to: '100 members', atLeast: 0.77 }],
  },
  {
    name: 'bytes',
    issue: 4,
    work: 'bytes on disk for each queued message and member, 1,000 members, 100-byte payload',
    figure: 'bytesEach',
    sides: [{ name: 'Oriole', measure: bytesOnDisk }],
    targets: [{ kind: 'atMost', of: 'Oriole', value: 2 }],
    roundsMax: 1,
  },
  {
    name: 'pairs-persistent',
    issue: 4,
    work: 'QoS 1, 50 pairs, persistent sessions online, PUBACK after fsync, delivered/s',
    figure: 'deliveredPerS',
    sides: [oriole(persistentPairs), mosquitto(persistentPairs)],
    targets: [{ kind: 'ratio', of: 'Oriole', to: 'mosquitto', atLeast: 0.9 }],
  },
  {
    name: 'window-1',
    issue: 4,
    work: 'one publisher, window 1, `durability: disk`',
    figure: 'acknowledgedPerS',
    sides: [
      oriole(oneByOne, members(1)),
      { name: 'level, put with sync', peer: true, measure: levelPuts },
      // What the way there and back costs when nothing is stored: no broker can be faster than this and a put together.
      mosquitto(oneByOne, members(1)),
    ],
    targets: [{ kind: 'ratio', of: 'Oriole', to: 'level, put with sync', atLeast: 0.7 }],
  },
  {
    name: 'read-queue',
    issue: 4,
    work: 'a session reads 100,000 queued messages, window 100',
    figure: 'deliveredPerS',
    sides: [{ name: 'Oriole', measure: readQueue }],
    targets: [{ kind: 'atLeast', of: 'Oriole', value: 40_000 }],
  },
]

/** Persistent sessions subscribe to the one topic, and leave. */
function members(count: number): LoadOptions {
  return { broker: roomy, before: (bench, scope, broker) => makeMembers(bench, scope, broker, count) }
}

function makeMembers(bench: Bench, scope: Scope, broker: RunningBroker, count: number): Promise<void> {
  return bench.generator.prepare(scope, broker, ['--mode', 'members', '--subscribers', String(count), '--qos', '1'])
}

async function bytesOnDisk(bench: Bench, scope: Scope) {
  const count = 1_000
  const broker = await startOriole(bench, scope, roomy)
  await makeMembers(bench, scope, broker, count)
  const before = await sizeOf(broker.dataFolder!)
  const sample = await bench.generator.load(scope, broker, [...group, '--count', '20000'])
  await broker.stop()
  const messages = sample.figures.publishedInAll!
  return { figures: { bytesEach: ((await sizeOf(broker.dataFolder!)) - before) / messages / count } }
}

/** The same work without a broker around it. */
async function levelPuts(bench: Bench, scope: Scope) {
  const peer = fileURLToPath(new URL('../peers/level-put.js', import.meta.url))
  const args = [peer, await scratchFolder(scope), String(bench.seconds)]
  const output = await startPinned(scope, bench.node, args, { core: cores.broker }).finished()
  return { figures: { acknowledgedPerS: Number(output) } }
}

/** After a restart, so that it is read from the disk and not from what was just written. */
async function readQueue(bench: Bench, scope: Scope) {
  const dataFolder = join(await scratchFolder(scope), 'data')
  const first = await startOriole(bench, scope, { ...roomy, dataFolder })
  await makeMembers(bench, scope, first, 1)
  await bench.generator.prepare(scope, first, [...group, '--payload', '64', '--count', String(queued)])
  await first.stop()
  const second = await startOriole(bench, scope, { ...roomy, dataFolder })
  const sample = await bench.generator.load(scope, second, ['--mode', 'read', '--qos', '1', '--count', String(queued)])
  await second.stop()
  return sample
}

async function sizeOf(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  const sizes = await Promise.all(
    files.map(async ({ parentPath, path, name }) => sizeOfFile(join(parentPath ?? path, name))),
  )
  return sizes.reduce((sum, size) => sum + size, 0)
}

/** LevelDB may delete a file while we look. */
async function sizeOfFile(path: string): Promise<number> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0
    throw error
  }
}
