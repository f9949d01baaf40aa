// The part of the store contract about retention rules: what is kept, for how long, and how it is read by position.
import assert from 'node:assert/strict'
import { privateStream, type Store } from '../../broker/store/store.ts'
import { committed, historyOf, messageOf, randomOf, readAll } from '../helpers/store.ts'
import type { StoreTest } from './store.ts'

const dayMs = 86_400_000

export function storeHistoryContract(test: StoreTest): void {
  test('history: what a rule keeps is kept without any reader, and nothing else is', async (_t, { store }) => {
    assert.equal(store.keepsHistory('chat/a'), true)
    assert.equal(store.keepsHistory('other/a'), false)
    store.append(messageOf('chat/a', 'one'), [])
    store.append(messageOf('other/a', 'two'), [])
    store.append(messageOf('chat/a', 'for one session', { via: 'chat/#' }), [privateStream('c')])
    await committed(store)
    assert.deepEqual(await historyOf(store, 'chat/a', { limit: 10 }), ['one', 'end'])
    assert.deepEqual(await historyOf(store, '#', { limit: 10 }), ['one', 'end'])
    assert.deepEqual([...store.streams()], [privateStream('c')])
  })

  test('history: the newest, older ones, newer ones, each once', async (_t, { store }) => {
    const sequences: number[] = []
    for (let n = 0; n < 10; n += 1) sequences.push(store.append(messageOf('chat/a', `${n}`), []))
    const newest = await store.readHistory('chat/a', { limit: 4 })
    assert.deepEqual(
      newest.entries.map(({ sequence }) => sequence),
      sequences.slice(6),
    )
    assert.equal(newest.end, false)
    const read = (range: { after?: number; before?: number }) => historyOf(store, 'chat/a', { ...range, limit: 4 })
    assert.deepEqual(await read({ before: sequences[6]! }), ['2', '3', '4', '5', 'more'])
    assert.deepEqual(await read({ before: sequences[2]! }), ['0', '1', 'end'])
    assert.deepEqual(await read({ before: sequences[0]! }), ['end'])
    assert.deepEqual(await read({ after: 0 }), ['0', '1', '2', '3', 'more'])
    assert.deepEqual(await read({ after: sequences[5]! }), ['6', '7', '8', '9', 'end'])
    assert.deepEqual(await read({ after: sequences[9]! }), ['end'])
    assert.deepEqual(await read({ after: sequences[1]!, before: sequences[4]! }), ['2', '3', 'end'])
  })

  test('history: several conversations are read as one, in the order of the log', async (_t, { store }) => {
    const topics = ['chat/a/bob', 'chat/b/alice', 'chat/c/bob', 'chat/few/x']
    const expected: string[] = []
    const random = randomOf(7)
    for (let n = 0; n < 100; n += 1) {
      const topic = topics[random(3)]!
      store.append(messageOf(topic, `${n}`), [])
      if (topic.endsWith('/bob')) expected.push(`${n}`)
    }
    for (const oldestFirst of [true, false]) {
      const found: string[] = []
      let at = oldestFirst ? 0 : Number.MAX_SAFE_INTEGER
      for (;;) {
        const { entries, end } = await store.readHistory('chat/+/bob', {
          ...(oldestFirst ? { after: at } : { before: at }),
          limit: 7,
        })
        const payloads = entries.map(({ message }) => message.payload.toString())
        if (oldestFirst) found.push(...payloads)
        else found.unshift(...payloads)
        if (end) break
        at = entries[oldestFirst ? entries.length - 1 : 0]!.sequence
      }
      assert.deepEqual(found, expected)
    }
  })

  test('history: the first rule that matches a topic sets its bounds, for each topic', async (_t, { store }) => {
    for (let n = 0; n < 5; n += 1) {
      for (const topic of ['chat/few/a', 'chat/few/b', 'chat/many']) store.append(messageOf(topic, `${n}`), [])
    }
    await committed(store)
    assert.deepEqual(await historyOf(store, 'chat/few/a', { limit: 10 }), ['2', '3', '4', 'end'])
    assert.deepEqual(await historyOf(store, 'chat/few/b', { limit: 10 }), ['2', '3', '4', 'end'])
    assert.deepEqual(await historyOf(store, 'chat/many', { limit: 10 }), ['0', '1', '2', '3', '4', 'end'])
  })

  test('history: bounds in bytes and in days', async (_t, { store }) => {
    for (let n = 0; n < 5; n += 1) store.append(messageOf('bytes/a', `${n}`.padEnd(300, '.')), [])
    const publishedAt = Date.now() - 2 * dayMs - 1_000
    store.append(messageOf('days/a', 'old', { publishedAt }), [])
    store.append(messageOf('days/a', 'new'), [])
    await committed(store)
    const bytes = await historyOf(store, 'bytes/a', { limit: 10 })
    assert.equal(bytes.length, 3)
    assert.match(bytes[1]!, /^4/)
    assert.deepEqual(await historyOf(store, 'days/a', { limit: 10 }), ['new', 'end'])
  })

  test('history: expired messages are left out, and reading goes on behind them', async (_t, { store }) => {
    store.append(messageOf('chat/a', 'first'), [])
    for (let n = 0; n < 10; n += 1) store.append(messageOf('chat/a', 'gone', { expiresAt: Date.now() - 1 }), [])
    assert.deepEqual(await historyOf(store, 'chat/a', { limit: 3 }), ['first', 'end'])
  })

  test('history: neither makes queues longer nor is shortened by them', async (_t, { store }) => {
    for (let n = 0; n < 30; n += 1) store.append(messageOf('chat/a', `${n}`), ['chat/#'])
    await committed(store)
    const queue = await readAll(store, [{ stream: 'chat/#', after: 0 }])
    assert.equal(queue.payloads.length, 10)
    assert.equal(queue.skipped, 20)
    assert.equal((await historyOf(store, 'chat/a', { limit: 100 })).length, 31)
    store.trim('chat/#', store.lastSequence)
    await committed(store)
    assert.equal((await historyOf(store, 'chat/a', { limit: 100 })).length, 31)
    // The other way round: what history lets go is still in the queue.
    for (let n = 0; n < 8; n += 1) store.append(messageOf('chat/few/a', `${n}`), ['chat/#'])
    await committed(store)
    assert.equal((await readAll(store, [{ stream: 'chat/#', after: 0 }])).payloads.length, 8)
    assert.deepEqual(await historyOf(store, 'chat/few/a', { limit: 100 }), ['5', '6', '7', 'end'])
  })

  test('history: is there after a restart, and goes on', async (t, made) => {
    if (made.reopen === undefined) return t.skip('nothing outlives this store')
    fillAndTrim(made.store)
    await committed(made.store)
    const before = await historyOf(made.store, 'chat/#', { limit: 100 })
    const { store } = await made.reopen()
    assert.deepEqual(await historyOf(store, 'chat/#', { limit: 100 }), before)
    assert.deepEqual([...store.streams()], [])
    store.append(messageOf('chat/few/a', 'later'), [])
    await committed(store)
    assert.deepEqual(await historyOf(store, 'chat/few/a', { limit: 100 }), ['n8', 'n9', 'later', 'end'])
  })
}

/** Every message was in a queue, too, and has left it. */
function fillAndTrim(store: Store): void {
  for (let n = 0; n < 10; n += 1) {
    for (const topic of ['chat/few/a', 'chat/b', 'none']) store.append(messageOf(topic, `n${n}`), ['#', 'chat/#'])
  }
  store.trim('#', store.lastSequence)
  store.trim('chat/#', store.lastSequence)
}
