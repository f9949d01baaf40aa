// Who may join the nodes at a Redis and who is there: names, versions, keys, leases.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Redis } from 'ioredis'
import type { Cleanup } from '../helpers/broker.ts'
import { allMet, isDown, isUp, met, nextMember, openMeeting } from '../helpers/meeting.ts'
import { startProxy, startRedis, type TestRedis } from '../helpers/redis.ts'

const timeout = 30_000

function client(t: Cleanup, { port }: TestRedis): Redis {
  const redis = new Redis({ host: '127.0.0.1', port })
  t.after(() => redis.disconnect())
  return redis
}

test('members: a name held by another store is refused, with a way out', { timeout }, async (t) => {
  const redis = await startRedis(t)
  await openMeeting(t, redis, 'a', { storeId: 1 })
  await assert.rejects(openMeeting(t, redis, 'a', { storeId: 2 }), {
    code: 'ORI_CLUSTER_NAME_TAKEN',
    message:
      'another node, with another data folder, is "a" in the cluster; give this one a name of its own (node: in the config), or stop the other and wait 5 s',
  })
})

test('members: the name is free when the node has stopped', { timeout }, async (t) => {
  const redis = await startRedis(t)
  const first = await openMeeting(t, redis, 'a', { storeId: 1 })
  await first.close()
  assert.equal((await openMeeting(t, redis, 'a', { storeId: 2 })).isUp, true)
})

test('members: the same store takes its name over at once, with a new run; the process before is out', {
  timeout,
}, async (t) => {
  const redis = await startRedis(t)
  const [a, b] = [await openMeeting(t, redis, 'a'), await openMeeting(t, redis, 'b')]
  await allMet(a, b)
  const out = isDown(b)
  const again = await openMeeting(t, redis, 'b')
  const joined = await met(a, 'b', b.self.run)
  assert.equal(joined.run, again.self.run)
  await out
  assert.match(String(b.problem), /another process with a copy of this data folder is "b"/)
  assert.equal(again.isUp, true)
  assert.deepEqual(
    a.live().map(({ run }) => run),
    [again.self.run],
  )
})

test('members: a live node of another bus version keeps this one out; a dead one does not', { timeout }, async (t) => {
  const redis = await startRedis(t)
  const writer = client(t, redis)
  const record = `7 99 ${'ab'.repeat(8)} whatever version seven writes`
  await writer.hset('{oriole:test}:nodes', 'z', record)
  const a = await openMeeting(t, redis, 'a')
  await a.close()
  await writer.set('{oriole:test}:node:z', record, 'PX', 5_000)
  await assert.rejects(openMeeting(t, redis, 'a'), {
    code: 'ORI_CLUSTER_VERSION',
    message: 'node "z" of the cluster speaks bus version 7, this one 1; install the same release on all nodes',
  })
})

test('members: nodes with another key do not meet, and nothing of one reaches the other', { timeout }, async (t) => {
  const redis = await startRedis(t)
  const a = await openMeeting(t, redis, 'a')
  const stranger = await openMeeting(t, redis, 'b', { config: { key: 'another key of more than 16 bytes' } })
  const friend = await openMeeting(t, redis, 'c')
  await allMet(a, friend)
  a.bus.on('access', () => assert.fail('a frame under another key'))
  const before = a.counts.clusterFramesRefused
  stranger.bus.send('all', 'access', Buffer.from('x'))
  // The friend's frame is published later, so the stranger's was there before.
  const heard = new Promise<void>((resolve) => {
    a.bus.on('session', () => resolve())
  })
  await stranger.redis.ping()
  await new Promise(setImmediate)
  await stranger.redis.ping()
  friend.bus.send('all', 'session', Buffer.from('x'))
  await heard
  assert.ok(a.counts.clusterFramesRefused > before)
  assert.deepEqual([a.live().map(({ node }) => node), stranger.live(), stranger.known()], [['c'], [], []])
})

test('members: a known node that has another key now is not taken for one that Redis lost', { timeout }, async (t) => {
  const redis = await startRedis(t)
  const key = 'another key of more than 16 bytes'
  const { self } = await openMeeting(t, redis, 'b', { config: { key } })
  const phrases: string[] = []
  const log = {
    debug() {},
    warn() {},
    error() {},
    info: (_fields: object, phrase: string) => void phrases.push(phrase),
  }
  const a = await openMeeting(t, redis, 'a', { log, remembered: [self] })
  await a.lookAround()
  assert.deepEqual(
    phrases.filter((phrase) => phrase.startsWith('redis lost')),
    [],
  )
  assert.deepEqual([a.live(), a.known().map(({ node }) => node)], [[], ['b']])
})

test('members: clusters with different names at one redis know nothing of each other', { timeout }, async (t) => {
  const redis = await startRedis(t)
  const a = await openMeeting(t, redis, 'a')
  const b = await openMeeting(t, redis, 'a', { storeId: 2, config: { name: 'second' } })
  const c = await openMeeting(t, redis, 'c', { config: { name: 'second' } })
  await allMet(b, c)
  assert.deepEqual([a.live(), a.known(), a.counts.clusterFramesRefused], [[], [], 0])
})

test('members: a node that stops has left within a second or two, and stays known until it is forgotten', {
  timeout,
}, async (t) => {
  const redis = await startRedis(t)
  const [a, b] = [
    await openMeeting(t, redis, 'a'),
    await openMeeting(t, redis, 'b', { config: { serverReference: 'b.example:1883' } }),
  ]
  await allMet(a, b)
  await assert.rejects(a.forget('b'), { message: 'node "b" is alive; stop it first, and try again after 5 s' })
  const left = nextMember(a, 'left')
  await b.close()
  assert.equal((await left).serverReference, 'b.example:1883')
  assert.deepEqual([a.live().length, a.known().map(({ node }) => node), a.member('b')?.node], [0, ['b'], 'b'])
  const late = await openMeeting(t, redis, 'c')
  assert.deepEqual(
    late
      .known()
      .map(({ node }) => node)
      .sort(),
    ['a', 'b'],
    'a node that comes later knows it too',
  )
  const forgotten = Promise.all([nextMember(a, 'forgotten'), nextMember(late, 'forgotten')])
  await a.forget('b')
  assert.deepEqual(
    (await forgotten).map(({ node }) => node),
    ['b', 'b'],
  )
  assert.equal(a.member('b'), undefined)
})

test('members: a node that cannot reach redis any more has left when its lease ends', { timeout }, async (t) => {
  const redis = await startRedis(t)
  const proxy = await startProxy(t, redis.port)
  const [a, b] = [await openMeeting(t, redis, 'a'), await openMeeting(t, proxy, 'b')]
  await allMet(a, b)
  const left = nextMember(a, 'left')
  const cutAt = performance.now()
  proxy.cut()
  await left
  const afterMs = performance.now() - cutAt
  assert.ok(afterMs > 3_500 && afterMs < 8_000, `left after ${afterMs} ms`)
})

test('members: redis that lost everything knows all nodes again, also those that are away', { timeout }, async (t) => {
  const redis = await startRedis(t)
  const [a, b, c] = [
    await openMeeting(t, redis, 'a'),
    await openMeeting(t, redis, 'b'),
    await openMeeting(t, redis, 'c'),
  ]
  await allMet(a, b, c)
  const left = Promise.all([nextMember(a, 'left'), nextMember(b, 'left')])
  await c.close()
  await left
  for (const node of [a, b]) node.onMember('forgotten', () => assert.fail('forgotten because redis forgot'))
  const down = Promise.all([isDown(a), isDown(b)])
  await redis.kill()
  await down
  const up = Promise.all([isUp(a), isUp(b)])
  await redis.start()
  await up
  assert.deepEqual((await client(t, redis).hkeys('{oriole:test}:nodes')).sort(), ['a', 'b', 'c'])
  assert.deepEqual(
    a
      .known()
      .map(({ node }) => node)
      .sort(),
    ['b', 'c'],
  )
})

test('members: keys that somebody deletes or overwrites are written again, and the node goes down and up', {
  timeout,
}, async (t) => {
  const redis = await startRedis(t)
  const [a, b] = [await openMeeting(t, redis, 'a'), await openMeeting(t, redis, 'b')]
  await allMet(a, b)
  const vandal = client(t, redis)
  for (const ruin of [
    () => vandal.flushall(),
    () => vandal.multi().flushall().lpush('{oriole:test}:nodes', 'x').lpush('{oriole:test}:node:a', 'x').exec(),
    () =>
      vandal
        .multi()
        .flushall()
        .set('{oriole:test}:node:a', 'garbage')
        .hset('{oriole:test}:nodes', 'b', 'x', 'e', '')
        .exec(),
  ]) {
    const down = isDown(b)
    await ruin()
    await down
    await isUp(b)
    await isUp(a)
  }
  b.bus.answer('echo', async (_from, body) => body)
  assert.equal(await a.bus.ask(await met(a, 'b'), 'echo', 1, 5_000), 1)
})
