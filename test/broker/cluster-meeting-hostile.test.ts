// Anybody who reaches Redis may publish on the channels of the bus: nothing of it gets in, and nobody dies of it.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { Redis } from 'ioredis'
import { allMet, openMeeting } from '../helpers/meeting.ts'
import { seeded } from '../helpers/random.ts'
import { startRedis } from '../helpers/redis.ts'

const timeout = 60_000

/** What mqemitter-redis decodes with; it comes without types. */
const msgpack = createRequire(import.meta.url)('msgpack-lite') as { encode(value: unknown): Buffer }

test('hostile: 2,000 foreign, damaged and repeated frames are dropped and counted, and the nodes go on', {
  timeout,
}, async (t) => {
  const random = seeded(t)
  const redis = await startRedis(t)
  const [a, b] = [await openMeeting(t, redis, 'a'), await openMeeting(t, redis, 'b')]
  await allMet(a, b)
  b.bus.answer('echo', async (_from, body) => body)
  let accessFrames = 0
  b.bus.on('access', () => {
    accessFrames += 1
  })
  const channels = [b.key('bus'), b.key('bus', 'b')]
  const good = await overhear(redis.port, channels[1]!, () => a.bus.send(b.self, 'access', Buffer.from('good')))
  assert.equal(await a.bus.ask(b.self, 'echo', 'there', 5_000), 'there')
  assert.equal(accessFrames, 1)

  const hostile = new Redis({ host: '127.0.0.1', port: redis.port })
  t.after(() => hostile.disconnect())
  const packet = { id: 'x', msg: { topic: channels[1], run: a.self.run, body: Buffer.from('bad') } }
  const kinds: readonly (() => Buffer)[] = [
    () => random.bytes(400),
    () => Buffer.alloc(0),
    () => Buffer.from('expired'),
    () => Buffer.from(JSON.stringify(packet)),
    () => msgpack.encode(packet),
    () => msgpack.encode({ id: 1 }),
    () => msgpack.encode(null),
    () => good,
    () => good.subarray(0, random.below(good.length)),
    () => Buffer.concat([good, random.bytes(40)]),
    () => {
      const changed = Buffer.from(good)
      const at = random.below(changed.length)
      changed[at] = changed[at]! ^ (1 << random.below(8))
      return changed
    },
    () => Buffer.alloc(1024 * 1024 + 1 + random.below(10), 1),
  ]
  const before = b.counts.clusterFramesRefused
  let published = 0
  while (published < 2_000) {
    const pipeline = hostile.pipeline()
    for (let index = 0; index < 50; index += 1) {
      // The large ones are few, because they only cost time.
      const kind = random.chance(100) ? kinds.at(-1)! : random.pick(kinds.slice(0, -1))
      pipeline.publish(random.pick(channels), kind())
      published += 1
    }
    await pipeline.exec()
  }
  assert.equal(await a.bus.ask(b.self, 'echo', 'still there', 10_000), 'still there')
  assert.equal(b.counts.clusterFramesRefused - before, 2_000)
  assert.equal(accessFrames, 1, 'nothing of it was taken')
  assert.deepEqual([a.isUp, b.isUp], [true, true])
  assert.deepEqual([...a.log.errors, ...b.log.errors], [])
})

test('hostile: a frame that was recorded is not taken again, also by a node that started anew', {
  timeout,
}, async (t) => {
  const redis = await startRedis(t)
  const [a, b] = [await openMeeting(t, redis, 'a'), await openMeeting(t, redis, 'b')]
  await allMet(a, b)
  const channel = b.key('bus', 'b')
  const recorded = await overhear(redis.port, channel, () => a.bus.send(b.self, 'access', Buffer.from('once')))
  const runBefore = a.self.run
  await a.close()
  const again = await openMeeting(t, redis, 'a')
  await allMet(again, b)
  assert.notEqual(again.self.run, runBefore)
  b.bus.on('access', () => assert.fail('an old frame was taken'))
  b.bus.answer('echo', async (_from, body) => body)
  const refusedBefore = b.counts.clusterFramesRefused
  await again.redis.publish(channel, recorded)
  // It waits until the leases were read, because its run might have joined just now.
  while (b.counts.clusterFramesRefused === refusedBefore) await again.bus.ask(b.self, 'echo', 1, 5_000)
})

test('hostile: a frame that no listener can read is counted, and the next one arrives', { timeout }, async (t) => {
  const redis = await startRedis(t)
  const [a, b] = [await openMeeting(t, redis, 'a'), await openMeeting(t, redis, 'b')]
  await allMet(a, b)
  const read = new Promise<string>((resolve) => {
    b.bus.on('session', (_from, body) => resolve((JSON.parse(String(body)) as { text: string }).text))
  })
  a.bus.send(b.self, 'question', Buffer.from('not JSON'))
  a.bus.send(b.self, 'answer', Buffer.from('null'))
  a.bus.send(b.self, 'session', Buffer.from('{'))
  a.bus.send(b.self, 'session', Buffer.from('{"text":"fine"}'))
  assert.equal(await read, 'fine')
  assert.equal(b.counts.clusterFramesRefused, 3)
})

/** The frame that passes on a channel while `work` is done. */
async function overhear(port: number, channel: string, work: () => void): Promise<Buffer> {
  const spy = new Redis({ host: '127.0.0.1', port })
  await spy.subscribe(channel)
  const heard = new Promise<Buffer>((resolve) => {
    spy.on('messageBuffer', (_channel: Buffer, message: Buffer) => resolve(message))
  })
  work()
  const frame = await heard
  spy.disconnect()
  return frame
}
