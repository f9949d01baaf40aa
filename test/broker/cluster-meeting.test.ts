// Nodes meet at a real Redis: frames, questions, and what happens while Redis or the way to it is away.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { Redis } from 'ioredis'
import { packFrames } from '../../broker/cluster/frames.ts'
import type { FrameKind, Member } from '../../broker/cluster/meeting.ts'
import { allMet, isDown, isUp, met, openMeeting, type TestMeeting } from '../helpers/meeting.ts'
import { startProxy, startRedis, type TestRedis } from '../helpers/redis.ts'

const timeout = 30_000

/** The next `count` bodies of this kind. */
function bodies(meeting: TestMeeting, kind: FrameKind, count: number): Promise<Buffer[]> {
  const read: Buffer[] = []
  return new Promise((resolve) => {
    meeting.bus.on(kind, (_from, body) => {
      read.push(Buffer.from(body))
      if (read.length === count) resolve(read)
    })
  })
}

function observer(t: { after(release: () => unknown): void }, { port }: TestRedis): Redis {
  const redis = new Redis({ host: '127.0.0.1', port })
  t.after(() => redis.disconnect())
  return redis
}

test('meeting: what one node sends in a tick to another is one publish, and arrives in order', {
  timeout,
}, async (t) => {
  const redis = await startRedis(t)
  const [a, b] = [await openMeeting(t, redis, 'a'), await openMeeting(t, redis, 'b')]
  await allMet(a, b)
  const watcher = observer(t, redis)
  await watcher.subscribe(a.key('bus', 'b'))
  let publishes = 0
  watcher.on('message', () => {
    publishes += 1
  })
  const arrived = bodies(b, 'messages', 100)
  for (let index = 0; index < 100; index += 1) a.bus.send(b.self, 'messages', Buffer.from(`${index}`))
  assert.deepEqual(
    (await arrived).map(String),
    Array.from({ length: 100 }, (_, index) => `${index}`),
  )
  await watcher.ping()
  assert.equal(publishes, 1)
})

test('meeting: what is sent to all reaches every other node and not the sender', { timeout }, async (t) => {
  const redis = await startRedis(t)
  const nodes = [await openMeeting(t, redis, 'a'), await openMeeting(t, redis, 'b'), await openMeeting(t, redis, 'c')]
  await allMet(...nodes)
  const [a, b, c] = nodes as [TestMeeting, TestMeeting, TestMeeting]
  const froms: string[] = []
  const done = new Promise<void>((resolve) => {
    for (const node of nodes) {
      node.bus.on('access', (from, body) => {
        froms.push(`${from.node} ${body} ${node.self.node}`)
        if (froms.length === 4) resolve()
      })
    }
  })
  a.bus.send('all', 'access', Buffer.from('to'))
  c.bus.send('all', 'access', Buffer.from('to'))
  await done
  assert.deepEqual(froms.sort(), ['a to b', 'a to c', 'c to a', 'c to b'])
  assert.equal(b.counts.clusterFramesRefused, 0)
})

test('meeting: a message larger than a frame arrives whole between small ones', { timeout }, async (t) => {
  const redis = await startRedis(t)
  const [a, b] = [await openMeeting(t, redis, 'a'), await openMeeting(t, redis, 'b')]
  await allMet(a, b)
  const large = Buffer.alloc(9 * 1024 * 1024, 'large ')
  assert.ok(packFrames([{ kind: 'messages', body: large }]).length > 1)
  const arrived = bodies(b, 'messages', 3)
  a.bus.send(b.self, 'messages', Buffer.from('first'))
  a.bus.send(b.self, 'messages', large)
  a.bus.send(b.self, 'messages', Buffer.from('last'))
  const [first, second, last] = await arrived
  assert.deepEqual([first?.toString(), last?.toString()], ['first', 'last'])
  assert.ok(second?.equals(large))
})

test('meeting: questions are answered; refusals, silence and the end of the other are told', { timeout }, async (t) => {
  const redis = await startRedis(t)
  const [a, b] = [await openMeeting(t, redis, 'a'), await openMeeting(t, redis, 'b')]
  await allMet(a, b)
  b.bus.answer('give', async (from: Member, body) => ({ from: from.node, body }))
  b.bus.answer('refuse', async () => {
    throw new Error('superseded')
  })
  b.bus.answer('hang', () => new Promise(() => {}))
  assert.deepEqual(await a.bus.ask(b.self, 'give', { x: [1, 'ü'] }, 5_000), { from: 'a', body: { x: [1, 'ü'] } })
  await assert.rejects(a.bus.ask(b.self, 'refuse', 1, 5_000), { message: 'superseded' })
  await assert.rejects(a.bus.ask(b.self, 'unknown', 1, 5_000), { message: 'nobody here answers "unknown"' })
  await assert.rejects(a.bus.ask(b.self, 'hang', 1, 50), { message: 'node "b" did not answer "hang" within 50 ms' })
  const hanging = assert.rejects(a.bus.ask(b.self, 'hang', 1, 20_000), {
    message: 'node "b" did not answer: it is gone',
  })
  await b.close()
  await hanging
  await assert.rejects(a.bus.ask(b.self, 'give', 1, 5_000), { message: 'node "b" cannot be asked: it is gone' })
})

test('meeting: only so many questions are open at a time', { timeout }, async (t) => {
  const redis = await startRedis(t)
  const [a, b] = [await openMeeting(t, redis, 'a'), await openMeeting(t, redis, 'b')]
  await allMet(a, b)
  b.bus.answer('hang', () => new Promise(() => {}))
  const asked = Array.from({ length: 10_000 }, () => a.bus.ask(b.self, 'hang', 1, 20_000))
  const ended = Promise.allSettled(asked)
  await assert.rejects(a.bus.ask(b.self, 'hang', 1, 20_000), { message: /too many questions are open/ })
  await a.close()
  assert.ok((await ended).every(({ status }) => status === 'rejected'))
})

test('meeting: heartbeats carry what the node gives them', { timeout }, async (t) => {
  const redis = await startRedis(t)
  const [a, b] = [await openMeeting(t, redis, 'a'), await openMeeting(t, redis, 'b')]
  let number = 0
  a.heartbeatBody(() => {
    number += 1
    return Buffer.from(`number ${number}`)
  })
  const [first, second] = await bodies(b, 'heartbeat', 2)
  assert.match(String(first), /^number \d$/)
  assert.equal(Number(String(second).slice(7)), Number(String(first).slice(7)) + 1)
})

test('meeting: redis killed and back, with and without its data: the nodes meet again', { timeout }, async (t) => {
  const redis = await startRedis(t, { keeps: true })
  const [a, b] = [await openMeeting(t, redis, 'a'), await openMeeting(t, redis, 'b')]
  await allMet(a, b)
  b.bus.answer('echo', async (_from, body) => body)
  for (const empty of [false, true, false, true]) {
    const question = assert.rejects(a.bus.ask(b.self, 'nobody waits for it', 1, 20_000))
    const down = Promise.all([isDown(a), isDown(b)])
    await redis.kill()
    await Promise.all([down, question])
    assert.equal(a.isUp, false)
    await assert.rejects(a.redis.get('x'), 'a command while Redis is away')
    await assert.rejects(a.bus.ask(b.self, 'echo', 1, 5_000), { message: /Redis is away/ })
    const up = Promise.all([isUp(a), isUp(b)])
    await redis.start({ empty })
    await up
    assert.deepEqual([a.live().length, b.live().length], [1, 1], 'nobody counts as gone for that')
    assert.equal(await a.bus.ask(b.self, 'echo', 'back', 5_000), 'back')
    assert.equal(await a.redis.set('x', '1'), 'OK')
  }
})

test('meeting: a redis that hangs counts as down within 2 s, commands reject at once, and it comes back', {
  timeout,
}, async (t) => {
  const redis = await startRedis(t)
  const [a, b] = [await openMeeting(t, redis, 'a'), await openMeeting(t, redis, 'b')]
  await allMet(a, b)
  const reader = a.openReader()
  t.after(() => reader.disconnect())
  await once(reader, 'ready')
  const blocked = assert.rejects(reader.xread('BLOCK', 60_000, 'STREAMS', a.key('to', 'a'), '$'))
  const frozenAt = performance.now()
  redis.freeze()
  t.after(() => redis.thaw())
  const command = assert.rejects(a.redis.get('x'))
  await isDown(a)
  const downAfterMs = performance.now() - frozenAt
  assert.ok(downAfterMs < 2_500, `down after ${downAfterMs} ms`)
  await Promise.all([command, blocked])
  const askedAt = performance.now()
  await assert.rejects(a.redis.get('x'), { message: 'Redis is away' })
  assert.deepEqual(
    (await a.redis.pipeline().get('x').get('y').exec())?.map(([error]) => error?.message),
    ['Redis is away', 'Redis is away'],
  )
  assert.ok(performance.now() - askedAt < 100)
  await isDown(b)
  const up = Promise.all([isUp(a), isUp(b)])
  redis.thaw()
  await up
  await allMet(a, b)
  if (reader.status !== 'ready') await once(reader, 'ready')
  const added = reader.xread('BLOCK', 10_000, 'STREAMS', a.key('to', 'a'), '$')
  await observer(t, redis).client('ID')
  await b.redis.xadd(a.key('to', 'a'), '*', 'k', 'v')
  // The reader may have begun after it was added.
  await b.redis.xadd(a.key('to', 'a'), '*', 'k', 'v')
  assert.ok(await Promise.race([added, once(t.signal, 'abort')]))
})

test('meeting: a node whose cable is pulled knows that it may count as dead; healed, it is back', {
  timeout,
}, async (t) => {
  const redis = await startRedis(t)
  const proxy = await startProxy(t, redis.port)
  const [a, b] = [await openMeeting(t, redis, 'a'), await openMeeting(t, proxy, 'b')]
  await allMet(a, b)
  b.bus.answer('echo', async (_from, body) => body)
  const left = new Promise<Member>((resolve) => {
    a.onMember('left', resolve)
  })
  proxy.cut()
  await isDown(b)
  assert.equal(b.mayBeDead, false, 'its lease is good for some seconds more')
  assert.equal((await left).node, 'b')
  assert.equal(b.mayBeDead, true, 'it knew before the others acted')
  const again = met(a, 'b')
  proxy.heal()
  await isUp(b)
  assert.equal(b.mayBeDead, false)
  assert.equal((await again).run, b.self.run)
  assert.equal(await a.bus.ask(b.self, 'echo', 1, 5_000), 1)
  proxy.reset()
  await isDown(b)
  proxy.heal()
  await isUp(b)
  assert.equal(await a.bus.ask(b.self, 'echo', 2, 5_000), 2)
})

test('meeting: a start without redis is a start alone after 2 s, and the node joins later', { timeout }, async (t) => {
  const redis = await startRedis(t)
  await redis.kill()
  const startedAt = performance.now()
  const a = await openMeeting(t, redis, 'a')
  assert.ok(performance.now() - startedAt < 3_500)
  assert.deepEqual([a.isUp, a.mayBeDead, a.live()], [false, true, []])
  await redis.start()
  await isUp(a)
  assert.equal(a.mayBeDead, false)
  const b = await openMeeting(t, redis, 'b')
  await allMet(a, b)
})

test('meeting: who listens for up late is told too, once for each return', { timeout }, async (t) => {
  const redis = await startRedis(t)
  const told: string[] = []
  const a = await openMeeting(t, redis, 'a', { prepare: (meeting) => meeting.on('up', () => told.push('early')) })
  await new Promise<void>((resolve) => {
    a.on('up', () => {
      told.push('late')
      resolve()
    })
  })
  assert.deepEqual(told, ['early', 'late'])
  const down = isDown(a)
  await redis.kill()
  await down
  const up = isUp(a)
  await redis.start()
  await up
  assert.deepEqual(told, ['early', 'late', 'early', 'late'])
})

test('meeting: what a reader waits for is settled, also when it is ended between two attempts to connect', {
  timeout,
}, async (t) => {
  const redis = await startRedis(t)
  const a = await openMeeting(t, redis, 'a')
  const reader = a.openReader()
  await once(reader, 'ready')
  const isReconnecting = once(reader, 'reconnecting')
  await redis.kill()
  await isReconnecting
  const asked = assert.rejects(reader.xread('BLOCK', 10_000, 'STREAMS', a.key('to', 'a'), '$'))
  reader.disconnect()
  await asked
})
