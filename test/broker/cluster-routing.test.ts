// What stands in the stream of a node, whoever put it there: each message is taken once, in order, and nothing else is.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { Redis } from 'ioredis'
import { createSeal } from '../../broker/cluster/seal.ts'
import { encodeEntry } from '../../broker/cluster/stream-entry.ts'
import { connectClient, type TestClient } from '../helpers/client.ts'
import { clusterKey, startNode, type TestNode } from '../helpers/cluster-node.ts'
import { startRedis } from '../helpers/redis.ts'
import { messageOf } from '../helpers/store.ts'

const timeout = 30_000
const stream = '{oriole:oriole}:to:b'
const from = { node: 'a', storeId: 123_456, run: 'aaaa' }

interface Scene {
  readonly b: TestNode
  readonly redis: Redis
  readonly receiver: TestClient
  /** Puts an entry that is sealed as it should be into the stream. */
  put(after: number, sequences: readonly number[], base?: number): Promise<unknown>
}

async function scene(t: TestContext): Promise<Scene> {
  const server = await startRedis(t)
  const b = await startNode(t, 'b', server)
  const redis = new Redis(server.url, { maxRetriesPerRequest: 0 })
  redis.on('error', () => {})
  t.after(() => redis.disconnect())
  const receiver = await connectClient(t, b.url(), { clientId: 'receiver', clean: false })
  await receiver.client.subscribeAsync('#', { qos: 1 })
  const seal = createSeal({ name: 'oriole', key: clusterKey }, 'stream')
  return {
    b,
    redis,
    receiver,
    put(after, sequences, base = 0) {
      const messages = sequences.map((sequence) => ({ sequence, message: messageOf('box', String(sequence)) }))
      const through = sequences[sequences.length - 1] ?? after
      const body = encodeEntry({ type: 'messages', from, base, after, through, messages })
      return redis.xadd(stream, '*', 'e', seal.seal(['b', 'stream'], body))
    },
  }
}

function texts({ received }: TestClient): string[] {
  return received.map(({ text }) => text)
}

/** The stream was read to its end. */
async function untilEmpty(redis: Redis): Promise<void> {
  while ((await redis.xlen(stream)) > 0) await new Promise((resolve) => setTimeout(resolve, 5))
}

test('cluster-inbox: entries that come again are taken once, in part if a part is new', { timeout }, async (t) => {
  const { redis, receiver, put } = await scene(t)
  await put(0, [1, 2, 3])
  await put(0, [1, 2, 3])
  await put(0, [1, 2, 3, 7])
  await put(3, [7])
  await put(7, [9])
  assert.deepEqual(texts({ ...receiver, received: await receiver.messages(5) }), ['1', '2', '3', '7', '9'])
  await untilEmpty(redis)
  assert.equal(await redis.hget('{oriole:oriole}:taken:b', String(from.storeId)), '9 0 -')
  assert.equal(receiver.received.length, 5)
})

test('cluster-inbox: an entry behind a missing one is not taken until the missing one has come', {
  timeout,
}, async (t) => {
  const { redis, receiver, put } = await scene(t)
  await put(0, [1])
  await put(2, [3])
  await untilEmpty(redis)
  await put(1, [2])
  await put(2, [3])
  await receiver.messages(3)
  assert.deepEqual(texts(receiver), ['1', '2', '3'])
})

test('cluster-inbox: a node without its former data takes what its sender still has', { timeout }, async (t) => {
  const { receiver, put } = await scene(t)
  await put(5_000, [5_001], 5_000)
  await receiver.messages(1)
  assert.deepEqual(texts(receiver), ['5001'])
})

test('cluster-inbox: what was taken is known after a restart', { timeout }, async (t) => {
  const { b, redis, receiver, put } = await scene(t)
  await put(0, [1, 2])
  await receiver.messages(2)
  await untilEmpty(redis)
  await receiver.end()
  await b.stop()
  await put(0, [1, 2, 3])
  const again = await startNode(t, 'b', { url: `redis://127.0.0.1:${redis.options.port}` }, { folder: b.folder })
  const back = await connectClient(t, again.url(), { clientId: 'receiver', clean: false })
  await back.messages(1)
  await untilEmpty(redis)
  assert.deepEqual(texts(back), ['3'])
})

test('cluster-inbox: whatever else is in the stream is dropped, and the node goes on', { timeout }, async (t) => {
  const { redis, receiver, put } = await scene(t)
  const other = createSeal({ name: 'oriole', key: 'another key of another cluster' }, 'stream')
  const ours = createSeal({ name: 'oriole', key: clusterKey }, 'stream')
  const pipeline = redis.pipeline()
  for (let n = 0; n < 500; n += 1) {
    const noise = randomBytes(n)
    pipeline.xadd(stream, '*', 'e', noise)
    pipeline.xadd(stream, '*', randomBytes(3), randomBytes(3))
    pipeline.xadd(stream, '*', 'e', other.seal(['b', 'stream'], noise))
    // A node gone mad: under the right key, and nonsense all the same.
    pipeline.xadd(stream, '*', 'e', ours.seal(['b', 'stream'], noise))
    pipeline.xadd(stream, '*', 'e', ours.seal(['c', 'stream'], noise))
  }
  await pipeline.exec()
  await put(0, [1])
  await receiver.messages(1)
  await untilEmpty(redis)
  assert.deepEqual(texts(receiver), ['1'])
})
