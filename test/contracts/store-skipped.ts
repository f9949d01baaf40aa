// The part of the store contract about what fell off: exact for every reader, each message once, and for each stream.
import assert from 'node:assert/strict'
import type { Store } from '../../broker/store/store.ts'
import { committed, messageOf, readAll } from '../helpers/store.ts'
import type { StoreTest } from './store.ts'

export function storeSkippedContract(test: StoreTest): void {
  test('a message that fell off two of the streams is skipped once, and shows in both', async (_t, { store }) => {
    await append(store, 15, ['a/#', '+/b'])
    const read = await readAll(store, from(0, 'a/#', '+/b'), 4)
    assert.equal(read.sequences.length, 10)
    assert.equal(read.skipped, 5)
    assert.deepEqual(read.gaps, { 'a/#': 5, '+/b': 5 })
  })

  test('a message that fell off one stream and is read by another is not skipped', async (_t, { store }) => {
    await append(store, 3, ['noisy', 'calm'])
    await append(store, 12, ['noisy'])
    const read = await readAll(store, from(0, 'noisy', 'calm'), 4)
    assert.equal(read.sequences.length, 13)
    assert.equal(read.skipped, 2)
    assert.deepEqual(read.gaps, { noisy: 2 })
  })

  test('what the reader has already is not skipped', async (_t, { store }) => {
    const sequences = await append(store, 20, ['a'])
    const has = new Set([sequences[1]!, sequences[7]!, sequences[15]!])
    const read = await readAll(store, from(0, 'a'), 4, has)
    assert.equal(read.skipped, 8)
    assert.deepEqual(read.gaps, { a: 8 })
    assert.equal(read.sequences.length, 10)
  })

  test('above its upTo a stream is not read, and nothing there is skipped', async (_t, { store }) => {
    const sequences = await append(store, 20, ['a'])
    const early = await readAll(store, [{ stream: 'a', after: 0, upTo: sequences[3]! }])
    assert.deepEqual([early.sequences, early.skipped], [[], 4])
    const later = await readAll(store, [{ stream: 'a', after: sequences[3]!, upTo: sequences[12]! }], 2)
    assert.deepEqual([later.sequences, later.skipped], [sequences.slice(10, 13), 6])
  })

  test('a reader in the midst of what interleaved streams dropped is told exactly', async (_t, { store }) => {
    const sequences: number[] = []
    for (let n = 0; n < 6_000; n += 1) {
      sequences.push(store.append(messageOf('t', `${n}`), [n % 3 === 0 ? 'a' : 'b']))
    }
    await committed(store)
    for (const at of [0, 17, 1_234, 3_333, 5_900]) {
      const missed = sequences.filter((_, n) => n > at && n < 6_000 - 30 && n % 3 === 0).length
      assert.equal((await readAll(store, from(sequences[at]!, 'a'), 3)).skipped, missed)
      // Of `a` the last 10 are there, of `b` the last 10 of two in three.
      const both = 6_000 - 1 - at - 20
      assert.equal((await readAll(store, from(sequences[at]!, 'a', 'b'), 3)).skipped, Math.max(0, both))
    }
  })

  test('more breaks in the log than are remembered over a restart blur nothing for who missed all', async (t, made) => {
    const { store, reopen } = made
    if (reopen === undefined) return t.skip('this store keeps nothing')
    const quiet: string[] = []
    for (let n = 0; n < 4_000; n += 1) {
      store.append(messageOf('t', `${n}`), ['noisy'])
      if (n % 20 !== 19) continue
      // Ten fit into each, so that none of these falls off.
      const stream = `quiet ${Math.floor(n / 200)}`
      if (!quiet.includes(stream)) quiet.push(stream)
      store.append(messageOf('t', 'a break'), [stream])
    }
    await committed(store)
    const { store: again } = await reopen()
    const read = await readAll(again, from(0, 'noisy', ...quiet), 1)
    assert.equal(read.sequences.length, 200 + 10)
    assert.equal(read.skipped, 4_000 - 10)
    assert.deepEqual(read.gaps, { noisy: 4_000 - 10 })
  })

  test('what was skipped while it was read in parts adds up, also when more falls off meanwhile', async (_t, made) => {
    const { store } = made
    await append(store, 15, ['a', 'b'])
    const first = await store.read(from(0, 'a', 'b'), 3)
    await append(store, 8, ['b'])
    const rest = await readAll(store, from(first.through, 'a', 'b'), 3)
    // Ten of the first 15 are in `a` for good, and of the eight later ones all are in `b`.
    assert.equal(first.entries.length + rest.sequences.length, 10 + 8)
    assert.equal(first.skipped + rest.skipped, 5)
  })
}

function from(after: number, ...streams: readonly string[]): { stream: string; after: number }[] {
  return streams.map((stream) => ({ stream, after }))
}

async function append(store: Store, count: number, streams: readonly string[]): Promise<number[]> {
  const sequences: number[] = []
  for (let n = 0; n < count; n += 1) sequences.push(store.append(messageOf('t', `${n}`), streams))
  await committed(store)
  return sequences
}
