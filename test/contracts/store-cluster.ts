// The part of the store contract that a cluster needs: marks, streams for other nodes, where a message came from.
import assert from 'node:assert/strict'
import { committed, messageOf, readAll } from '../helpers/store.ts'
import type { StoreTest } from './store.ts'

const outbox = '\u0000\u0000other-node'

export function storeClusterContract(test: StoreTest): void {
  test('a message tells where it was published, in the log and retained', async (_t, { store }) => {
    const message = messageOf('a', 'from afar', { origin: { storeId: 2 ** 48 - 1, sequence: 2 ** 40 } })
    const sequence = store.append(message, ['a'])
    store.putRetained(message)
    await committed(store)
    assert.deepEqual(await store.readExact([sequence]), [message])
    assert.deepEqual(store.getRetained('a'), message)
  })

  test('a stream for another node has bounds of its own: bytes, and no count or age', async (_t, { store }) => {
    const large = Buffer.alloc(10_000)
    const old = { publishedAt: Date.now() - 86_400_000 }
    for (let n = 0; n < 15; n += 1) store.append(messageOf('a', large, old), [outbox])
    await committed(store)
    const before = await readAll(store, [{ stream: outbox, after: 0 }])
    assert.equal(before.payloads.length, 15)
    assert.equal(before.skipped, 0)
    for (let n = 0; n < 10; n += 1) store.append(messageOf('a', large), [outbox])
    await committed(store)
    const { payloads, skipped } = await readAll(store, [{ stream: outbox, after: 0 }])
    assert.equal(payloads.length, 19)
    assert.equal(skipped, 6)
  })

  test('of a stream it is known how much it holds, and since when', async (_t, { store }) => {
    const publishedAt = Date.now() - 60_000
    assert.deepEqual(store.held(outbox), { messages: 0, bytes: 0, oldestPublishedAt: undefined })
    const first = store.append(messageOf('a', '1', { publishedAt }), [outbox])
    store.append(messageOf('a', '2'), [outbox, 'a'])
    await committed(store)
    const held = store.held(outbox)
    assert.deepEqual([held.messages, held.oldestPublishedAt], [2, publishedAt])
    assert.ok(held.bytes > 2, `${held.bytes} bytes`)
    store.trim(outbox, first)
    assert.ok(store.held(outbox).bytes < held.bytes)
    assert.equal(store.held(outbox).messages, 1)
  })

  test('of a topic it is known when it was set or removed last, and where', async (_t, { store }) => {
    const origin = { storeId: 7, sequence: 1 }
    store.putRetained(messageOf('a', '1', { publishedAt: 10 }))
    assert.deepEqual(store.retainedStamp('a'), { publishedAt: 10, storeId: undefined })
    store.putRetained(messageOf('a', '2', { publishedAt: 11, origin }))
    assert.deepEqual(store.retainedStamp('a'), { publishedAt: 11, storeId: 7 })
    store.putRetained(messageOf('a', '', { publishedAt: 12, origin }))
    assert.deepEqual(store.retainedStamp('a'), { publishedAt: 12, storeId: 7 })
    assert.equal(store.retainedStamp('b'), undefined)
    store.putRetained(messageOf('$c', 'expired', { publishedAt: 13, expiresAt: 14 }))
    assert.deepEqual(store.retainedStamp('$c'), { publishedAt: 13, storeId: undefined })
    store.putRetained(messageOf('d', 'here', { publishedAt: 15 }))
    const all = [...store.allRetained()].filter((word) => word !== undefined)
    assert.deepEqual(
      all.map(({ topic, stamp, message }) => [topic, stamp.publishedAt, message?.payload?.toString()]).sort(),
      [
        ['$c', 13, undefined],
        ['a', 12, undefined],
        ['d', 15, 'here'],
      ],
    )
    store.putRetained(messageOf('a', 'again', { publishedAt: 16 }))
    assert.equal([...store.allRetained()].filter((word) => word?.topic === 'a').length, 1)
  })

  test('removals are known after a restart, and forgotten when something is set', async (t, { store, reopen }) => {
    if (reopen === undefined) return t.skip('this store keeps nothing')
    const publishedAt = Date.now()
    const origin = { storeId: 2 ** 48 - 1, sequence: 1 }
    for (const topic of ['here', 'there', 'again']) store.putRetained(messageOf(topic, '1'))
    await committed(store)
    store.putRetained(messageOf('here', '', { publishedAt }))
    store.putRetained(messageOf('there', '', { publishedAt, origin }))
    store.putRetained(messageOf('again', '', { publishedAt }))
    store.putRetained(messageOf('again', '2', { publishedAt: publishedAt + 1 }))
    await committed(store)
    const { store: later } = await reopen()
    assert.deepEqual(later.retainedStamp('here'), { publishedAt, storeId: undefined })
    assert.deepEqual(later.retainedStamp('there'), { publishedAt, storeId: origin.storeId })
    assert.equal([...later.allRetained()].filter((word) => word !== undefined).length, 3)
    assert.equal(later.retainedCount, 1)
  })

  test('marks are there after a restart, each as it was put last', async (t, { store, reopen }) => {
    if (reopen === undefined) return t.skip('this store keeps nothing')
    store.putMark('in:12', 1)
    store.putMark('store-id', 2 ** 48 - 1)
    await committed(store)
    store.append(messageOf('a', '1'), ['a'])
    store.putMark('in:12', 7)
    store.putMark('in:12', 8)
    await committed(store)
    const { recovered } = await reopen()
    assert.deepEqual(
      recovered.marks,
      new Map([
        ['in:12', 8],
        ['store-id', 2 ** 48 - 1],
      ]),
    )
  })
}
