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
