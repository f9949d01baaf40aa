// Several nodes on one machine behind one port: they serve as one broker, and who dies is replaced.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { ClusterStatus } from '../../broker/cluster/cluster-status.ts'
import { until } from '../chaos/crowd.ts'
import { RoamingClient } from '../chaos/roaming-client.ts'
import { type Cleanup, temporaryFolder } from '../helpers/broker.ts'
import { type CommandResult, runCommand } from '../helpers/command.ts'
import { freePort } from '../helpers/free-port.ts'
import { startRedis } from '../helpers/redis.ts'

const timeout = 60_000
const cli = fileURLToPath(new URL('../../broker/cli.js', import.meta.url))
const names = ['test-1', 'test-2']

interface Workers {
  readonly folder: string
  readonly port: number
  readonly child: ChildProcess
  output(): string
  /** With the data of this worker, counted from 1. */
  ask(worker: number, ...words: string[]): Promise<CommandResult>
  status(): Promise<ClusterStatus>
}

function configText(port: number, adminPort: number, redisPath: string): string {
  return `node: test
workers: 2
listeners: [{ name: tcp, type: tcp, port: ${port} }]
store: { type: level, path: data, durability: os }
log: { format: json }
admin: { port: ${adminPort} }
plugins: [auth-anonymous, acl-open]
cluster: { key: a key for tests only, redis: { path: "${redisPath}" } }
`
}

async function startWorkers(t: Cleanup, redisPath: string): Promise<Workers> {
  const folder = await temporaryFolder(t)
  const [port, adminPort] = [await freePort(), await freePort()]
  await writeFile(join(folder, 'oriole.yaml'), configText(port, adminPort, redisPath))
  const child = spawn(process.execPath, [cli, 'start', '--config', 'oriole.yaml'], { cwd: folder })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
  }
  // A supervisor that is killed takes its workers with it.
  t.after(() => child.kill('SIGKILL'))
  await until('workers are ready', () => output.includes('A first message') || child.exitCode !== null, 20_000)
  assert.equal(child.exitCode, null, output)
  const ask = (worker: number, ...words: string[]) =>
    runCommand(t, [...words, '--data', `data/worker-${worker}`], { cwd: folder })
  return {
    folder,
    port,
    child,
    output: () => output,
    ask,
    status: async () => JSON.parse((await ask(1, 'cluster', 'status', '--json')).stdout) as ClusterStatus,
  }
}

/** Each connection goes to the worker whose turn it is. */
async function connectMany(t: Cleanup, port: number, count: number): Promise<RoamingClient[]> {
  const clients: RoamingClient[] = []
  for (let n = 0; n < count; n += 1) {
    const client = new RoamingClient({ clientId: `client ${n}` })
    t.after(() => client.destroy())
    await client.connect(port)
    clients.push(client)
  }
  return clients
}

function clientsOf({ nodes }: ClusterStatus): (number | undefined)[] {
  return nodes.map(({ report }) => report?.connections)
}

test('workers: connections are spread evenly, and all of them hear each other', { timeout }, async (t) => {
  const { port, child, output, status, folder } = await startWorkers(t, (await startRedis(t)).path)
  assert.match(output(), /nodes test-1 to test-2, each with its own data and admin port/)
  const clients = await connectMany(t, port, 10)
  const found = await status()
  assert.deepEqual(
    found.nodes.map(({ node }) => node),
    names,
  )
  assert.deepEqual(clientsOf(found), [5, 5])
  let received = 0
  for (const client of clients) {
    client.onMessage = () => {
      received += 1
    }
    await client.subscribe([{ topic: 'all', qos: 1 }])
  }
  await clients[0]!.publish('all', 'x', 1)
  await until('all have it', () => received === 10, 10_000)
  // Any worker can tell; a command that is for one of them asks which.
  const inFolder = (...words: string[]) => runCommand(t, [...words, '--config', 'oriole.yaml'], { cwd: folder })
  assert.equal((await inFolder('cluster', 'status')).exitCode, 0)
  assert.match((await inFolder('drain')).stderr, /has workers, each with its own data; name one: --data data\/worker-1/)
  child.kill('SIGTERM')
  assert.deepEqual(await once(child, 'exit'), [0, null])
})

test('workers: one that is killed comes back with its data, and the other serves meanwhile', { timeout }, async (t) => {
  const { port, child, output, status } = await startWorkers(t, (await startRedis(t)).path)
  const clients = await connectMany(t, port, 4)
  const [pid] = await pidsBelow(child.pid!)
  process.kill(pid!, 'SIGKILL')
  await until('its clients know', () => clients.filter(({ isConnected }) => isConnected).length === 2, 10_000)
  const [again] = await connectMany(t, port, 1)
  assert.equal(again!.isConnected, true)
  await until('it is started again', () => output().includes('worker ended: it is started again'), 10_000)
  const isBack = async (): Promise<boolean> => (await status()).nodes.every(({ report }) => report !== undefined)
  await until('both are there', () => isBack().catch(() => false), 20_000)
  child.kill('SIGINT')
  assert.deepEqual(await once(child, 'exit'), [0, null])
})

test('workers: one that is drained is not started again; the last one ends all', { timeout }, async (t) => {
  const { port, child, ask, output } = await startWorkers(t, (await startRedis(t)).path)
  await connectMany(t, port, 4)
  const { stdout, exitCode, stderr } = await ask(2, 'drain')
  assert.equal(exitCode, 0, stderr)
  assert.match(stdout, /^2 clients were sent away/)
  await until('it is not started again', () => output().includes('worker drained'), 10_000)
  const more = await connectMany(t, port, 4)
  assert.ok(more.every(({ isConnected }) => isConnected))
  assert.match((await ask(1, 'drain')).stderr, /ORI_DRAIN_NOWHERE: no other node is alive/)
  child.kill('SIGTERM')
  assert.deepEqual(await once(child, 'exit'), [0, null])
})

test('workers: without a cluster, or over the data of another number of them, nothing starts', {
  timeout,
}, async (t) => {
  const folder = await temporaryFolder(t)
  const start = async (text: string): Promise<CommandResult> => {
    await writeFile(join(folder, 'oriole.yaml'), text)
    return runCommand(t, ['start', '--config', 'oriole.yaml'], { cwd: folder })
  }
  for (const workers of ['2', 'auto']) {
    const { stderr, exitCode } = await start(`node: a\nworkers: ${workers}\n`)
    assert.match(stderr, new RegExp(`oriole.yaml:2:10: workers: ${workers} needs a section cluster: with a Redis`, 'm'))
    assert.equal(exitCode, 1)
  }
  await mkdir(join(folder, 'data/level'), { recursive: true })
  const two = await start('workers: 2\ncluster: { key: a key for tests only }\n')
  assert.match(
    two.stderr,
    /ORI_STORE_OPEN: .*data has the data of a broker without workers; move all that is in it into/,
  )
  await mkdir(join(folder, 'other/worker-1'), { recursive: true })
  const one = await start('store: { type: level, path: other }\n')
  assert.match(one.stderr, /ORI_STORE_OPEN: .*other has the data of workers, and workers is 1; set store.path to/)
})

test('workers: when one cannot start, none does, and the command ends', { timeout }, async (t) => {
  const redis = await startRedis(t)
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.after(() => other.close())
  const folder = await temporaryFolder(t)
  await writeFile(
    join(folder, 'oriole.yaml'),
    configText((other.address() as AddressInfo).port, await freePort(), redis.path),
  )
  const { exitCode, stderr } = await runCommand(t, ['start'], { cwd: folder })
  assert.equal(exitCode, 1)
  assert.match(stderr, /ORI_PORT_TAKEN/)
})

test('workers: one that cannot start again is tried until it can', { timeout }, async (t) => {
  const { child, output, folder, status } = await startWorkers(t, (await startRedis(t)).path)
  const path = join(folder, 'oriole.yaml')
  const good = await readFile(path, 'utf8')
  await writeFile(path, `${good}nonsense: 1\n`)
  const [pid] = await pidsBelow(child.pid!)
  process.kill(pid!, 'SIGKILL')
  const restarts = (): number => output().split('worker ended: it is started again').length - 1
  await until('it was tried again', () => restarts() >= 2, 20_000)
  await writeFile(path, good)
  const isBack = async (): Promise<boolean> => (await status()).nodes.every(({ report }) => report !== undefined)
  await until('both are there', () => isBack().catch(() => false), 20_000)
  child.kill('SIGTERM')
  assert.deepEqual(await once(child, 'exit'), [0, null])
})

async function pidsBelow(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')
  return text.trim().split(' ').map(Number)
}
