// The suite of the store contract; every store passes it. What needs a restart is asked of stores that can reopen.
import assert from 'node:assert/strict'
import { test as nodeTest, type TestContext } from 'node:test'
import type { Recovered, Store } from '../../broker/store/store.ts'
import { privateStream } from '../../broker/store/store.ts'
import { committed, messageOf, readAll } from '../helpers/store.ts'
import { storeClusterContract } from './store-cluster.ts'
import { storeHistoryContract } from './store-history.ts'
import { storeRetainedContract } from './store-retained.ts'
import { storeSkippedContract } from './store-skipped.ts'
import { storeSurvivalContract } from './store-survival.ts'
import { storeWalkContract } from './store-walk.ts'

export interface MadeStore {
  /** Open, with the limits of test/helpers/store.ts. Closed after the test by whoever made it. */
  readonly store: Store
  /** Closes the store and opens another one on the same data. */
  readonly reopen?: () => Promise<ReopenedStore>
}

export interface ReopenedStore {
  readonly store: Store
  readonly recovered: Recovered
}

export type MakeStore = (t: TestContext) => Promise<MadeStore>
export type StoreTest = (sentence: string, body: (t: TestContext, made: MadeStore) => Promise<void>) => void

export function storeContract(name: string, make: MakeStore): void {
  const test: StoreTest = (sentence, body) => {
    nodeTest(`${name}: ${sentence}`, { timeout: 30_000 }, async (t) => body(t, await make(t)))
  }
  logContract(test)
  boundsContract(test)
  storeSkippedContract(test)
  commitContract(test)
  storeHistoryContract(test)
  storeRetainedContract(test)
  storeSurvivalContract(test)
  storeWalkContract(test)
  storeClusterContract(test)
}

function logContract(test: StoreTest): void {
  test('a stream gives its messages in the order of the appends', async (_t, { store }) => {
    assert.equal(store.lastSequence, 0)
    const given = ['one', 'two', 'three'].map((payload) => store.append(messageOf('a', payload), ['a']))
    assert.equal(store.lastSequence, given[2])
    const { payloads, sequences, skipped } = await readAll(store, [{ stream: 'a', after: 0 }], 2)
    assert.deepEqual(payloads, ['one', 'two', 'three'])
    assert.deepEqual(sequences, given)
    assert.equal(skipped, 0)
  })

  test('a message comes back with all that it had', async (_t, { store }) => {
    const message = messageOf('täst/☃', Buffer.from([0, 255, 1]), {
      qos: 2,
      retain: true,
      properties: {
        payloadFormat: 0,
        contentType: 'text/plain',
        responseTopic: 'reply',
        correlationData: Buffer.from([9, 0]),
        userProperties: [
          ['a', '1'],
          ['a', ''],
        ],
      },
      expiresAt: Date.now() + 60_000,
    })
    const plain = messageOf('a', '', { properties: { payloadFormat: 1 } })
    const first = store.append(message, ['s'])
    const second = store.append(plain, ['s'])
    await committed(store)
    assert.deepEqual(await store.readExact([second, first]), [plain, message])
  })

  test('a payload stays what it was when the buffer it came in is used again', async (_t, { store }) => {
    const chunk = Buffer.from('payload')
    store.append(messageOf('a', '', { payload: chunk }), ['a'])
    store.putRetained(messageOf('a', '', { payload: chunk }))
    chunk.fill(0)
    assert.deepEqual((await readAll(store, [{ stream: 'a', after: 0 }])).payloads, ['payload'])
    assert.equal(store.getRetained('a')?.payload?.toString(), 'payload')
  })

  test('a message in several of the streams is read once', async (_t, { store }) => {
    store.append(messageOf('a/b', '1'), ['a/#', '+/b'])
    store.append(messageOf('a/c', '2'), ['a/#'])
    store.append(messageOf('x/b', '3'), ['+/b'])
    store.append(messageOf('a/b', '4'), ['+/b', 'a/#', 'a/#'])
    const both = [
      { stream: 'a/#', after: 0 },
      { stream: '+/b', after: 0 },
    ]
    assert.deepEqual((await readAll(store, both)).payloads, ['1', '2', '3', '4'])
    assert.deepEqual((await readAll(store, both, 1)).payloads, ['1', '2', '3', '4'])
    assert.deepEqual((await readAll(store, both.slice(0, 1))).payloads, ['1', '2', '4'])
  })

  test('each stream is read from its own position', async (_t, { store }) => {
    const first = store.append(messageOf('a', 'a1'), ['a'])
    store.append(messageOf('b', 'b1'), ['b'])
    store.append(messageOf('a', 'a2'), ['a'])
    const last = store.append(messageOf('b', 'b2'), ['b'])
    const positions = [
      { stream: 'a', after: first },
      { stream: 'b', after: 0 },
      { stream: 'nobody', after: 0 },
    ]
    assert.deepEqual((await readAll(store, positions)).payloads, ['b1', 'a2', 'b2'])
    assert.deepEqual((await readAll(store, [{ stream: 'b', after: last }])).payloads, [])
  })

  test('a read says whether there is more, and how far it has looked', async (_t, { store }) => {
    const sequences = [1, 2, 3].map((n) => store.append(messageOf('a', String(n)), ['a']))
    const first = await store.read([{ stream: 'a', after: 0 }], 2)
    assert.equal(first.end, false)
    assert.equal(first.through, sequences[1])
    const second = await store.read([{ stream: 'a', after: first.through }], 2)
    assert.equal(second.entries.length, 1)
    assert.equal(second.end, true)
    assert.equal(second.through, store.lastSequence)
    const third = await store.read([{ stream: 'a', after: second.through }], 2)
    assert.deepEqual(third, { entries: [], end: true, skipped: 0, gaps: [], through: store.lastSequence })
  })

  test('a message for no stream has a sequence number and is not kept', async (_t, { store }) => {
    const sequence = store.append(messageOf('a', '1'), [])
    await committed(store)
    assert.equal(sequence, store.lastSequence)
    assert.deepEqual([...store.streams()], [])
    assert.deepEqual(await store.readExact([sequence, sequence + 1_000_000]), [undefined, undefined])
  })

  test('a trimmed message is gone when no stream holds it', async (_t, { store }) => {
    const shared = store.append(messageOf('a', '1'), ['a', 'b'])
    const alone = store.append(messageOf('a', '2'), ['a'])
    await committed(store)
    store.trim('a', shared)
    assert.deepEqual([...store.streams()].sort(), ['a', 'b'])
    assert.deepEqual(await readAll(store, [{ stream: 'a', after: 0 }]), {
      payloads: ['2'],
      sequences: [alone],
      skipped: 0,
      gaps: {},
    })
    assert.deepEqual((await readAll(store, [{ stream: 'b', after: 0 }])).payloads, ['1'])
    store.trim('a', alone)
    store.trim('b', alone)
    store.trim('never', alone)
    assert.deepEqual([...store.streams()], [])
  })

  test('deleting a session gives its private stream back', async (_t, { store }) => {
    store.append(messageOf('a', '1'), [privateStream('c'), 'a'])
    store.append(messageOf('a', '2'), [privateStream('c')])
    await committed(store)
    store.deleteSession('c')
    assert.deepEqual([...store.streams()], ['a'])
    assert.deepEqual((await readAll(store, [{ stream: privateStream('c'), after: 0 }])).payloads, [])
  })
}

function boundsContract(test: StoreTest): void {
  test('a stream over its count drops the oldest, and a reader is told how many it missed', async (_t, { store }) => {
    const sequences = await appendCommitted(store, 25)
    const fromStart = await readAll(store, [{ stream: 'noisy', after: 0 }], 3)
    assert.deepEqual(fromStart.sequences, sequences.slice(15))
    assert.equal(fromStart.skipped, 15)
    assert.equal((await readAll(store, [{ stream: 'noisy', after: sequences[11]! }])).skipped, 3)
    assert.equal((await readAll(store, [{ stream: 'noisy', after: sequences[14]! }])).skipped, 0)
    assert.equal((await readAll(store, [{ stream: 'noisy', after: sequences[20]! }])).skipped, 0)
  })

  test('a noisy stream pushes nothing out of another one, and 5,000 lost messages are 5,000', async (_t, { store }) => {
    const quiet = store.append(messageOf('inbox', 'hello'), ['inbox'])
    await appendCommitted(store, 5_010)
    const positions = [
      { stream: 'noisy', after: 0 },
      { stream: 'inbox', after: 0 },
    ]
    const { sequences, skipped } = await readAll(store, positions, 4)
    assert.equal(sequences[0], quiet)
    assert.equal(sequences.length, 11)
    assert.equal(skipped, 5_000)
  })

  test('a message that fell off one stream is still in the other', async (_t, { store }) => {
    store.append(messageOf('a', 'first'), ['noisy', 'calm'])
    await appendCommitted(store, 12)
    assert.deepEqual((await readAll(store, [{ stream: 'calm', after: 0 }])).payloads, ['first'])
    assert.equal((await readAll(store, [{ stream: 'noisy', after: 0 }])).skipped, 3)
  })

  test('a stream over its bytes drops the oldest, but never its only message', async (_t, { store }) => {
    const large = Buffer.alloc(60_000)
    store.append(messageOf('a', large), ['a'])
    const second = store.append(messageOf('a', large), ['a'])
    await committed(store)
    const { sequences, skipped } = await readAll(store, [{ stream: 'a', after: 0 }])
    assert.deepEqual(sequences, [second])
    assert.equal(skipped, 1)
    const huge = store.append(messageOf('b', Buffer.alloc(200_000)), ['b'])
    await committed(store)
    assert.deepEqual((await readAll(store, [{ stream: 'b', after: 0 }])).sequences, [huge])
  })

  test('a message that is too old is dropped, and counted', async (_t, { store }) => {
    store.append(messageOf('a', 'old', { publishedAt: Date.now() - 3_601_000 }), ['a'])
    store.append(messageOf('a', 'new'), ['a'])
    await committed(store)
    const { payloads, skipped } = await readAll(store, [{ stream: 'a', after: 0 }])
    assert.deepEqual(payloads, ['new'])
    assert.equal(skipped, 1)
  })

  test('an expired message is left out, and is no loss', async (_t, { store }) => {
    for (let n = 0; n < 5; n += 1) store.append(messageOf('a', 'late', { expiresAt: Date.now() - 1 }), ['a'])
    store.append(messageOf('a', 'good', { expiresAt: Date.now() + 60_000 }), ['a'])
    const first = await store.read([{ stream: 'a', after: 0 }], 2)
    assert.equal(first.entries.length, 1)
    assert.equal(first.skipped, 0)
    assert.deepEqual((await readAll(store, [{ stream: 'a', after: 0 }], 2)).payloads, ['good'])
  })

  test('what everyone has passed is not a loss, whether it was dropped or not', async (_t, { store }) => {
    const sequences = await appendCommitted(store, 20)
    store.trim('noisy', sequences[4]!)
    assert.equal((await readAll(store, [{ stream: 'noisy', after: 0 }])).skipped, 5)
    store.trim('noisy', sequences[14]!)
    const { skipped, payloads } = await readAll(store, [{ stream: 'noisy', after: 0 }])
    assert.equal(skipped, 0)
    assert.equal(payloads.length, 5)
  })
}

function commitContract(test: StoreTest): void {
  test('commits call back in the order of the calls, never at once', async (_t, { store }) => {
    const order: number[] = []
    const waits: Promise<void>[] = []
    for (let n = 0; n < 50; n += 1) {
      if (n % 3 !== 0) store.append(messageOf('a', String(n)), ['a'])
      if (n % 10 === 9) await new Promise((resolve) => setImmediate(resolve))
      waits.push(committed(store).then(() => void order.push(n)))
      let isSynchronous = true
      store.commit(() => assert.equal(isSynchronous, false))
      isSynchronous = false
    }
    await Promise.all(waits)
    assert.deepEqual(
      order,
      order.map((_, n) => n),
    )
    assert.equal(order.length, 50)
  })

  test('a read sees what was written before it, committed or not', async (_t, { store }) => {
    store.append(messageOf('a', '1'), ['a'])
    const before = store.read([{ stream: 'a', after: 0 }], 10)
    const wait = committed(store)
    store.append(messageOf('a', '2'), ['a'])
    const during = store.read([{ stream: 'a', after: 0 }], 10)
    assert.equal((await before).entries.length >= 1, true)
    assert.equal((await during).entries.length, 2)
    await wait
    assert.equal((await store.read([{ stream: 'a', after: 0 }], 10)).entries.length, 2)
  })

  test('much that is not yet committed can be read as well', async (_t, { store }) => {
    const payload = Buffer.alloc(1_048_576)
    const streams = Array.from({ length: 20 }, (_, n) => `s${n}`)
    store.append(messageOf('a', 'first'), ['first'])
    const first = committed(store)
    // The first batch is on its way to the disk now, and these are not in it.
    await new Promise((resolve) => setImmediate(resolve))
    for (const stream of streams) store.append(messageOf('a', payload), [stream])
    await first
    for (const stream of streams) {
      const { entries, skipped } = await store.read([{ stream, after: 0 }], 1)
      assert.deepEqual([entries.length, skipped], [1, 0])
    }
    await committed(store)
    for (const stream of streams) assert.equal((await readAll(store, [{ stream, after: 0 }])).sequences.length, 1)
  })

  test('a commit with nothing to write calls back too', async (_t, { store }) => {
    await committed(store)
    assert.equal(store.failure, undefined)
  })
}

async function appendCommitted(store: Store, count: number): Promise<number[]> {
  const sequences: number[] = []
  for (let n = 0; n < count; n += 1) sequences.push(store.append(messageOf('noisy', `n${n}`), ['noisy']))
  await committed(store)
  return sequences
}
