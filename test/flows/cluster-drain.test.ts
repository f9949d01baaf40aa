// `oriole drain`: the clients of a node are sent to the others, and it ends; or it is interrupted, and goes on.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { ClusterStatus } from '../../broker/cluster/cluster-status.ts'
import { until } from '../chaos/crowd.ts'
import { RoamingClient } from '../chaos/roaming-client.ts'
import type { Cleanup } from '../helpers/broker.ts'
import { type ClusterNode, startCluster } from '../helpers/cluster.ts'
import { startCommand } from '../helpers/command.ts'

const timeout = 60_000
const cli = fileURLToPath(new URL('../../broker/cli.js', import.meta.url))

async function client(t: Cleanup, port: number, clientId: string, version: 4 | 5 = 5): Promise<RoamingClient> {
  const made = new RoamingClient({ clientId, version })
  t.after(() => made.destroy())
  await made.connect(port)
  return made
}

test('drain: clients are sent to the other node with their sessions, and the node ends with 0', {
  timeout,
}, async (t) => {
  const { nodes } = await startCluster(t, { nodes: ['one', 'two'] })
  const [one, two] = nodes as [ClusterNode, ClusterNode]
  const moved = await client(t, one.port, 'moved')
  const old = await client(t, one.port, 'old', 4)
  await moved.subscribe([{ topic: 'a', qos: 1 }])
  const closed = Promise.all([moved, old].map((one) => new Promise<void>((resolve) => (one.onClosed = resolve))))
  one.mayEnd()
  const { stdout, stderr, exitCode } = await one.command('drain')
  assert.equal(exitCode, 0, stderr)
  assert.match(stdout, /^2 clients were sent away/)
  await closed
  // The command returned because it has ended; this process hears of it a moment later.
  await one.ended()
  assert.equal(one.exitCode, 0)
  assert.deepEqual([moved.reasonCode, moved.serverReference], [0x9c, `127.0.0.1:${two.port}`])
  assert.equal(old.reasonCode, undefined)
})

test('drain: interrupted, the node opens its doors again', { timeout }, async (t) => {
  const { nodes } = await startCluster(t, { nodes: ['one', 'two'] })
  const [one] = nodes as [ClusterNode]
  const clients = await Promise.all(['a', 'b', 'c', 'd'].map((name) => client(t, one.port, name)))
  const firstGone = Promise.race(clients.map((one) => new Promise<void>((resolve) => (one.onClosed = resolve))))
  const drain = spawn(process.execPath, [cli, 'drain', '--rate', '1', '--data', join(one.folder, 'data')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  t.after(() => drain.kill('SIGKILL'))
  let said = ''
  drain.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  await firstGone
  assert.match(JSON.stringify((await one.ready()).body), /draining/)
  assert.equal((await one.ready()).status, 503)
  assert.equal(await one.metric('oriole_draining'), 1)
  assert.equal(await accepts(one.port), false)
  assert.match((await one.command('drain')).stderr, /ORI_DRAIN_NOWHERE: this node is being drained already/)
  drain.kill('SIGINT')
  const [code] = (await once(drain, 'exit')) as [number]
  assert.equal(code, 1)
  assert.match(said, /interrupted: the node serves again/)
  await until('it accepts', () => accepts(one.port), 10_000)
  await client(t, one.port, 'e')
  assert.equal((await one.ready()).status, 200)
  assert.ok(clients.filter(({ isConnected }) => isConnected).length > 0, 'who was not sent away yet is still here')
})

test('drain: interrupted while it waits for a node that hangs, the node opens its doors at once', {
  timeout,
}, async (t) => {
  const { nodes } = await startCluster(t, { nodes: ['one', 'two'] })
  const [one, two] = nodes as [ClusterNode, ClusterNode]
  const away = await client(t, one.port, 'away')
  await away.disconnect()
  process.kill(two.processId, 'SIGSTOP')
  const drain = startCommand(t, ['drain', '--data', join(one.folder, 'data')])
  await until('it is drained', async () => (await one.ready()).status === 503, 10_000)
  drain.child.kill('SIGINT')
  await until('it serves', async () => (await one.ready()).status === 200, 10_000)
  // It did not wait until that one counted as dead.
  const { nodes: members } = JSON.parse((await one.command('cluster', 'status', '--json')).stdout) as ClusterStatus
  assert.equal(members.find(({ node }) => node === 'two')?.state, 'live')
})

test('drain: without another node there is nowhere to go', { timeout }, async (t) => {
  const { nodes } = await startCluster(t, { nodes: ['one'] })
  const [one] = nodes as [ClusterNode]
  assert.match((await one.command('drain')).stderr, /ORI_DRAIN_NOWHERE: no other node is alive/)
  await client(t, one.port, 'still welcome')
})

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true))
    socket.once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}
