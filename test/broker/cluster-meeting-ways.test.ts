// The ways to Redis: a Unix socket, a password, TLS, a Redis Cluster and sentinels, each with real servers.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Redis } from 'ioredis'
import { temporaryFolder } from '../helpers/broker.ts'
import { makeCertificates } from '../helpers/certificates.ts'
import { freePort } from '../helpers/free-port.ts'
import { allMet, isUp, met, openMeeting, type TestMeeting } from '../helpers/meeting.ts'
import { answers, startRedis, type TestRedis } from '../helpers/redis.ts'

const timeout = 40_000

async function echo(a: TestMeeting, b: TestMeeting): Promise<void> {
  b.bus.answer('echo', async (_from, body) => body)
  assert.equal(await a.bus.ask(await met(a, b.self.node), 'echo', 'x', 5_000), 'x')
}

test('ways: a Unix socket', { timeout }, async (t) => {
  const redis = await startRedis(t)
  const [a, b] = [
    await openMeeting(t, redis, 'a', { config: { redis: { path: redis.path } } }),
    await openMeeting(t, redis, 'b'),
  ]
  await allMet(a, b)
  await echo(a, b)
})

test('ways: a password, and a user of the ACL; a wrong one leaves the node alone and is told', {
  timeout,
}, async (t) => {
  const redis = await startRedis(t, {
    arguments: ['--requirepass', 'secret', '--user', 'oriole', 'on', '>word', '~*', '&*', '+@all'],
  })
  const at = (user: string): string => `redis://${user}@127.0.0.1:${redis.port}/0`
  const a = await openMeeting(t, redis, 'a', { config: { redis: { url: at(':secret') } } })
  const b = await openMeeting(t, redis, 'b', { config: { redis: { url: at('oriole:word') } } })
  const warnings: string[] = []
  const log = {
    debug() {},
    info() {},
    error() {},
    warn: (fields: object) => void warnings.push(JSON.stringify(fields)),
  }
  const c = await openMeeting(t, redis, 'c', { log, config: { redis: { url: at(':wrong') } } })
  const d = await openMeeting(t, redis, 'd', { log })
  await allMet(a, b)
  assert.deepEqual([c.isUp, d.isUp, a.live().length], [false, false, 1])
  assert.match(warnings.join(), /WRONGPASS/)
  assert.match(warnings.join(), /NOAUTH/)
  assert.doesNotMatch(warnings.join(), /wrong@|:wrong/)
})

test('ways: TLS with an authority of its own; a server of another authority is not talked to', {
  timeout,
}, async (t) => {
  const certificates = await makeCertificates(await temporaryFolder(t))
  const port = await freePort()
  const { certificate, key } = certificates.server
  const files = ['--tls-cert-file', certificate, '--tls-key-file', key, '--tls-ca-cert-file', certificates.ca]
  await startRedis(t, { arguments: ['--tls-port', String(port), ...files, '--tls-auth-clients', 'yes'] })
  const redis = { host: '127.0.0.1', port }
  const client = { certificate: certificates.client.certificate, key: certificates.client.key }
  const tls = { ca: certificates.ca, ...client }
  const a = await openMeeting(t, redis, 'a', { config: { redis: { ...redis, tls } } })
  const b = await openMeeting(t, redis, 'b', { config: { redis: { url: `rediss://localhost:${port}`, tls } } })
  const c = await openMeeting(t, redis, 'c', { config: { redis: { ...redis, tls: client } } })
  await allMet(a, b)
  await echo(a, b)
  assert.equal(c.isUp, false)
})

test('ways: a Redis Cluster: nodes find the master of their slot, and follow it', { timeout }, async (t) => {
  const cluster = ['--cluster-enabled', 'yes']
  const first = await startRedis(t, { arguments: [...cluster, '--cluster-config-file', 'nodes-1.conf'] })
  const second = await startRedis(t, { arguments: [...cluster, '--cluster-config-file', 'nodes-2.conf'] })
  const [one, two] = [connect(t, first), connect(t, second)]
  await one.call('CLUSTER', 'ADDSLOTSRANGE', 0, 16_383)
  await one.call('CLUSTER', 'MEET', '127.0.0.1', second.port)
  const slot = Number(await one.call('CLUSTER', 'KEYSLOT', '{oriole:test}'))
  await waitFor(async () => /cluster_state:ok/.test(String(await two.call('CLUSTER', 'INFO'))))
  const nodes = [{ host: '127.0.0.1', port: second.port }]
  const [a, b] = [
    await openMeeting(t, first, 'a', { config: { redis: { nodes } } }),
    await openMeeting(t, first, 'b', { config: { redis: { nodes } } }),
  ]
  await allMet(a, b)
  assert.equal(await a.redis.set(a.key('x'), '1'), 'OK')
  assert.equal(await one.get('{oriole:test}:x'), '1', 'they were sent on to the first server')
  b.bus.answer('echo', async (_from, body) => body)
  await echoOnce(a)

  // The slot moves to the second server, as when an operator spreads the load.
  const up = Promise.all([isUpAgain(a), isUpAgain(b)])
  const [idOne, idTwo] = [String(await one.call('CLUSTER', 'MYID')), String(await two.call('CLUSTER', 'MYID'))]
  await two.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', idOne)
  await one.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', idTwo)
  for (;;) {
    const keys = (await one.call('CLUSTER', 'GETKEYSINSLOT', slot, 100)) as string[]
    if (keys.length === 0) break
    await one.call('MIGRATE', '127.0.0.1', second.port, '', 0, 5_000, 'REPLACE', 'KEYS', ...keys)
  }
  await two.call('CLUSTER', 'SETSLOT', slot, 'NODE', idTwo)
  await one.call('CLUSTER', 'SETSLOT', slot, 'NODE', idTwo)
  await up
  await echoOnce(a)
  assert.equal(await a.redis.get(a.key('x')), '1')
  assert.equal(await two.get('{oriole:test}:x'), '1')
})

test('ways: sentinels: when the master dies, the nodes meet at the new one', { timeout }, async (t) => {
  const master = await startRedis(t)
  const replica = await startRedis(t, { arguments: ['--replicaof', '127.0.0.1', String(master.port)] })
  const watched = connect(t, replica)
  await waitFor(async () => /master_link_status:up/.test(await watched.info('replication')))
  const sentinel = { host: '127.0.0.1', port: await startSentinel(t, master) }
  const redis = { sentinels: [sentinel], sentinelName: 'home' }
  const [a, b] = [
    await openMeeting(t, master, 'a', { config: { redis } }),
    await openMeeting(t, master, 'b', { config: { redis } }),
  ]
  await allMet(a, b)
  b.bus.answer('echo', async (_from, body) => body)
  await echoOnce(a)
  const asked = connect(t, sentinel)
  await waitFor(async () => /slaves=1/.test(await asked.info('sentinel')))
  const up = Promise.all([isUpAgain(a), isUpAgain(b)])
  await master.kill()
  await up
  await echoOnce(a)
  assert.equal(await watched.exists('{oriole:test}:node:a'), 1)
})

test('ways: a Redis Cluster of which no node answers for a while is joined when it is back', { timeout }, async (t) => {
  const cluster = ['--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf']
  const redis = await startRedis(t, { arguments: cluster })
  await connect(t, redis).call('CLUSTER', 'ADDSLOTSRANGE', 0, 16_383)
  const nodes = [{ host: '127.0.0.1', port: redis.port }]
  const a = await openMeeting(t, redis, 'a', { config: { redis: { nodes } } })
  await isUp(a)
  const again = isUpAgain(a)
  await redis.kill()
  // Each attempt that finds nobody is told.
  await waitFor(async () => a.redis.status === 'reconnecting')
  await redis.start()
  await again
  assert.equal(await a.redis.set(a.key('x'), '1'), 'OK')
})

test('ways: a sentinel that hangs keeps nobody from asking the next one', { timeout }, async (t) => {
  const master = await startRedis(t)
  const silent = createServer().listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.after(() => silent.close())
  const hanging = { host: '127.0.0.1', port: (silent.address() as AddressInfo).port }
  const sentinel = { host: '127.0.0.1', port: await startSentinel(t, master) }
  const redis = { sentinels: [hanging, sentinel], sentinelName: 'home' }
  await isUp(await openMeeting(t, master, 'a', { config: { redis } }))
})

async function echoOnce(a: TestMeeting): Promise<void> {
  assert.equal(await a.bus.ask(await met(a, 'b'), 'echo', 'x', 5_000), 'x')
}

/** Down, and then up. */
async function isUpAgain(meeting: TestMeeting): Promise<void> {
  await new Promise<void>((resolve) => meeting.on('down', resolve))
  await isUp(meeting)
}

function connect(t: TestContext, { host, port }: Pick<TestRedis, 'port'> & { readonly host: string }): Redis {
  const redis = new Redis({ host, port })
  redis.on('error', () => {})
  t.after(() => redis.disconnect())
  return redis
}

/** Redis tells nobody when it has found another: it is asked until then. */
async function waitFor(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 20))
}

async function startSentinel(t: TestContext, master: TestRedis): Promise<number> {
  const port = await freePort()
  const path = join(await temporaryFolder(t), 'sentinel.conf')
  await writeFile(
    path,
    [
      `port ${port}`,
      'bind 127.0.0.1',
      `sentinel monitor home 127.0.0.1 ${master.port} 1`,
      'sentinel down-after-milliseconds home 500',
      'sentinel failover-timeout home 3000',
      '',
    ].join('\n'),
  )
  const child = spawn('redis-server', [path, '--sentinel'], { stdio: 'ignore' })
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  })
  await answers(port, child)
  return port
}
