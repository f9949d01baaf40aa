// Bans and kicks in a cluster: whichever node is asked, all obey, also those that are away or start later.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Redis } from 'ioredis'
import { askBroker } from '../../broker/admin/control.ts'
import { type Ban, Bans, bansFileName } from '../../broker/bans.ts'
import { startNode as startPlainNode, type TestNode } from '../helpers/cluster-node.ts'
import { runCommand } from '../helpers/command.ts'
import { connectRaw, tryConnect } from '../helpers/raw-client.ts'
import { startRedis, type TestRedis } from '../helpers/redis.ts'

const deadline = { timeout: 60_000 }
const banned = 0x8a
const kicked = 0x98

interface Node extends TestNode {
  /** Over the socket in its data folder, as the command does. */
  ask(what: string, fields?: Readonly<Record<string, unknown>>): Promise<Record<string, unknown>>
  bans(): Promise<readonly Ban[]>
  /** Of a CONNECT as this user. */
  codeFor(username: string): Promise<number>
  again(): Promise<Node>
}

async function startNode(t: TestContext, name: string, redis: TestRedis, folder?: string): Promise<Node> {
  const more = 'limits: { connectsPerClient: { perS: 100000, burst: 100000 } }'
  const node = await startPlainNode(t, name, redis, { more, ...(folder !== undefined && { folder }) })
  const ask: Node['ask'] = async (what, fields = {}) =>
    (await askBroker(join(node.folder, 'data'), { do: what, ...fields })) as Record<string, unknown>
  return {
    ...node,
    ask,
    bans: async () => (await ask('ban list')).bans as Ban[],
    async codeFor(username) {
      const { client, code } = await tryConnect(t, node.port(), { username, clientId: `${username} at ${name}` })
      await client.cut()
      return code
    },
    again: () => startNode(t, name, redis, node.folder),
  }
}

/** Asks until the answer is this one: how long it may take is the deadline of the test. */
async function until(node: Node, username: string, code: number): Promise<void> {
  while ((await node.codeFor(username)) !== code);
}

test('cluster: a ban on one node ends connections on all, keeps out on all, and is in the list of all', {
  ...deadline,
}, async (t) => {
  const redis = await startRedis(t)
  const [a, b] = [await startNode(t, 'a', redis), await startNode(t, 'b', redis)]
  const oriole = (...args: string[]) => runCommand(t, [...args, '--data', join(a.folder, 'data')])
  const mallory = await connectRaw(t, b.port(), { clientId: 'phone', username: 'mallory' })
  const bob = await connectRaw(t, b.port(), { clientId: 'bob', username: 'bob' })

  const added = await oriole('ban', 'add', '--user', 'mallory', '--for', '1h', '--because', 'spam')
  assert.deepEqual(added, { exitCode: 0, stdout: 'user "mallory" is banned; 1 connection ended\n', stderr: '' })
  await mallory.disconnected(kicked)
  assert.deepEqual([await a.codeFor('mallory'), await b.codeFor('mallory')], [banned, banned])
  const [there] = await b.bans()
  assert.ok(there?.until !== undefined && there.until > Date.now() && there.until <= Date.now() + 3_600_000)
  assert.deepEqual(await b.bans(), await a.bans())
  assert.equal(there.because, 'spam')
  await bob.nothing()

  assert.deepEqual(await b.ask('ban remove', { kind: 'user', value: 'mallory' }), {
    removed: true,
    others: [{ node: 'a', ended: 0 }],
  })
  assert.deepEqual([await a.codeFor('mallory'), await b.codeFor('mallory')], [0, 0])
  assert.deepEqual(await a.bans(), [])
})

test('cluster: a kick on one node ends the connections on all', deadline, async (t) => {
  const redis = await startRedis(t)
  const [a, b] = [await startNode(t, 'a', redis), await startNode(t, 'b', redis)]
  const oriole = (...args: string[]) => runCommand(t, ['kick', ...args, '--data', join(a.folder, 'data')])
  const phone = await connectRaw(t, b.port(), { clientId: 'phone', username: 'alice' })
  assert.deepEqual(await oriole('phone'), { exitCode: 0, stdout: '1 connection ended\n', stderr: '' })
  await phone.disconnected(kicked)
  const here = await connectRaw(t, a.port(), { clientId: 'phone', username: 'alice' })
  const there = await connectRaw(t, b.port(), { clientId: 'tablet', username: 'alice' })
  const bob = await connectRaw(t, b.port(), { clientId: 'bob', username: 'bob' })
  assert.equal((await oriole('--user', 'alice')).stdout, '2 connections ended\n')
  await Promise.all([here.disconnected(kicked), there.disconnected(kicked)])
  assert.equal((await oriole('--user', 'alice')).exitCode, 1)
  await bob.nothing()
  await b.stop()
  const { exitCode, stderr } = await oriole('--user', 'bob')
  assert.equal(exitCode, 1)
  assert.match(stderr, /^node b was not told, and who is connected there stays: /)
})

test('cluster: a node that was away, and one that starts when nobody else is there, know the bans', {
  ...deadline,
}, async (t) => {
  const redis = await startRedis(t)
  const [a, b] = [await startNode(t, 'a', redis), await startNode(t, 'b', redis)]
  await a.ask('ban add', { kind: 'user', value: 'old' })
  await b.stop()
  const told = await a.ask('ban add', { kind: 'user', value: 'mallory', forS: 3600 })
  assert.match(JSON.stringify(told.others), /"node":"b","ended":0,"problem":".+ it is gone"/)
  await a.ask('ban remove', { kind: 'user', value: 'old' })
  await a.stop()
  const [again, c] = [await b.again(), await startNode(t, 'c', redis)]
  for (const node of [again, c]) {
    assert.deepEqual([await node.codeFor('mallory'), await node.codeFor('old')], [banned, 0])
    assert.equal((await node.bans())[0]?.until, (await again.bans())[0]?.until)
  }
})

test('cluster: while Redis is away each node keeps its bans and makes its own; then all have all', {
  ...deadline,
}, async (t) => {
  const redis = await startRedis(t)
  const [a, b] = [await startNode(t, 'a', redis), await startNode(t, 'b', redis)]
  await a.ask('ban add', { kind: 'user', value: 'mallory' })
  await a.ask('ban add', { kind: 'user', value: 'pardoned' })
  await redis.kill()
  await b.ask('ban add', { kind: 'user', value: 'eve' })
  await a.ask('ban remove', { kind: 'user', value: 'pardoned' })
  assert.deepEqual([await a.codeFor('mallory'), await b.codeFor('mallory')], [banned, banned])
  assert.deepEqual([await a.codeFor('eve'), await b.codeFor('eve')], [0, banned])
  const eve = await connectRaw(t, a.port(), { clientId: 'phone', username: 'eve' })
  // What was there is lost: the nodes write it again.
  await redis.start({ empty: true })
  await eve.disconnected(kicked)
  await until(b, 'pardoned', 0)
  const c = await startNode(t, 'c', redis)
  for (const node of [a, b, c]) {
    assert.deepEqual((await node.bans()).map(({ value }) => value).sort(), ['eve', 'mallory'], node.running.config.node)
  }
})

test('cluster: what is changed in the list of a stopped node holds for all when it is back', deadline, async (t) => {
  const redis = await startRedis(t)
  const [a, b] = [await startNode(t, 'a', redis), await startNode(t, 'b', redis)]
  await a.ask('ban add', { kind: 'user', value: 'pardoned' })
  await b.stop()
  const list = await Bans.open(join(b.folder, 'data', bansFileName))
  await list.remove('user', 'pardoned')
  await list.add({ kind: 'user', value: 'mallory', since: Date.now() }).stored
  const mallory = await connectRaw(t, a.port(), { clientId: 'phone', username: 'mallory' })
  const again = await b.again()
  await mallory.disconnected(kicked)
  for (const node of [a, again]) {
    assert.deepEqual([await node.codeFor('mallory'), await node.codeFor('pardoned')], [banned, 0])
  }
})

test('cluster: who can write to Redis can neither ban nor pardon anybody', deadline, async (t) => {
  const redis = await startRedis(t)
  const a = await startNode(t, 'a', redis)
  const raw = new Redis(redis.port)
  t.after(() => raw.disconnect())
  const [hash, version] = ['{oriole:oriole}:bans', '{oriole:oriole}:bans-version']
  await a.ask('ban add', { kind: 'user', value: 'mallory' })
  const sealed = (await raw.hgetBuffer(hash, 'user mallory'))!
  await a.ask('ban remove', { kind: 'user', value: 'mallory' })
  await a.ask('ban add', { kind: 'user', value: 'mallory' })
  const word = { kind: 'user', value: 'alice', since: 1 }
  const bare = Buffer.from(`9999999999999991${JSON.stringify(word)}`)
  await raw.hset(hash, {
    'user alice': Buffer.concat([Buffer.alloc(16), bare]),
    'user bob': sealed,
    'user mallory': bare,
    nothing: '',
  })
  await raw.incr(version)
  // The node has looked when it has put its own back.
  while (
    (await raw.hkeys(hash)).join() !== 'user mallory' ||
    (await raw.hgetBuffer(hash, 'user mallory'))!.equals(bare)
  );
  assert.deepEqual(
    (await a.bans()).map(({ value }) => value),
    ['mallory'],
  )
  const b = await startNode(t, 'b', redis)
  assert.deepEqual(
    (await b.bans()).map(({ value }) => value),
    ['mallory'],
  )
})
