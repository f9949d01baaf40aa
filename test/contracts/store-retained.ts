// The part of the store contract about retained messages: what a filter matches, quotas, expiry, walking lazily.
import assert from 'node:assert/strict'
import type { Store } from '../../broker/store/store.ts'
import { committed, matchedBy, messageOf } from '../helpers/store.ts'
import type { StoreTest } from './store.ts'

const topics = [
  'a',
  'a/b',
  'a/b/c',
  'a//c',
  '/a',
  '/',
  'b',
  'b/b',
  'sensor/1/x',
  'sensor/2/x',
  'sensor/2/x/y',
  '$SYS/a',
  '$b',
]

/** Filter to topics, from the examples and rules of MQTT 5.0, 4.7. */
const expected: Record<string, readonly string[]> = {
  '#': topics.filter((topic) => !topic.startsWith('$')),
  '+': ['a', 'b'],
  '+/+': ['/', '/a', 'a/b', 'b/b'],
  '/+': ['/', '/a'],
  '/#': ['/', '/a'],
  '+/': ['/'],
  'a/#': ['a', 'a/b', 'a/b/c', 'a//c'],
  'a/+': ['a/b'],
  'a/+/c': ['a/b/c', 'a//c'],
  'a//c': ['a//c'],
  'a//+': ['a//c'],
  '+/b': ['a/b', 'b/b'],
  '+/2/#': ['sensor/2/x', 'sensor/2/x/y'],
  '+/+/x': ['sensor/1/x', 'sensor/2/x'],
  'sensor/+/x/#': ['sensor/1/x', 'sensor/2/x', 'sensor/2/x/y'],
  '$SYS/#': ['$SYS/a'],
  '$SYS/+': ['$SYS/a'],
  $b: ['$b'],
  '$b/#': ['$b'],
  '+/a': ['/a'],
  nothing: [],
  'nothing/#': [],
}

export function storeRetainedContract(test: StoreTest): void {
  test('retained messages match as the standard says, and $ topics no leading wildcard', async (_t, { store }) => {
    for (const topic of topics) store.putRetained(messageOf(topic, `of ${topic}`, { retain: true }))
    for (const [filter, matching] of Object.entries(expected)) {
      assert.deepEqual(matched(store, filter), [...matching].sort(), filter)
    }
    assert.equal(store.getRetained('a//c')?.payload?.toString(), 'of a//c')
    assert.equal(store.getRetained('a/'), undefined)
  })

  test('an empty payload removes a retained message, and only that one', async (_t, { store }) => {
    for (const topic of topics) store.putRetained(messageOf(topic, '1'))
    store.putRetained(messageOf('a/b', ''))
    store.putRetained(messageOf('a/b', ''))
    store.putRetained(messageOf('never/there', ''))
    assert.equal(store.getRetained('a/b'), undefined)
    assert.deepEqual(matched(store, 'a/#'), ['a', 'a//c', 'a/b/c'])
    assert.equal(store.retainedCount, topics.length - 1)
  })

  test('retained messages are counted in all and for each user', async (_t, { store }) => {
    store.putRetained(messageOf('a', '1', { username: 'alice' }))
    store.putRetained(messageOf('b', '1', { username: 'alice' }))
    store.putRetained(messageOf('b', '2', { username: 'bob' }))
    assert.equal(store.retainedCount, 2)
    assert.equal(store.retainedCountOf('alice'), 1)
    assert.equal(store.retainedCountOf('bob'), 1)
    store.putRetained(messageOf('b', '', { username: 'carol' }))
    assert.equal(store.retainedCountOf('bob'), 0)
    assert.equal(store.retainedCountOf('carol'), 0)
    assert.equal(store.retainedCount, 1)
  })

  test('an expired retained message is left out', async (_t, { store }) => {
    store.putRetained(messageOf('a/old', '1', { expiresAt: Date.now() - 1 }))
    store.putRetained(messageOf('a/new', '1', { expiresAt: Date.now() + 60_000 }))
    assert.equal(store.getRetained('a/old'), undefined)
    assert.deepEqual(matched(store, 'a/+'), ['a/new'])
  })

  test('a walk over retained messages shows what is there when it comes to it', async (_t, { store }) => {
    for (let n = 0; n < 100; n += 1) store.putRetained(messageOf(`t/${n}`, 'before'))
    const walk = store.matchRetained('t/+')
    assert.equal(walk.next().value?.payload.toString(), 'before')
    for (let n = 0; n < 100; n += 1) store.putRetained(messageOf(`t/${n}`, n % 2 === 0 ? 'after' : ''))
    const rest = [...walk].filter((message) => message !== undefined).map(({ payload }) => payload?.toString())
    assert.equal(rest.length, 49)
    assert.deepEqual(new Set(rest), new Set(['after']))
  })

  test('a large retained message is read when it is asked for, replaced and removed or not', async (_t, { store }) => {
    const large = (fill: string) =>
      messageOf('large', fill.repeat(20_000), { retain: true, properties: { contentType: 'x' } })
    store.putRetained(large('a'))
    store.putRetained(messageOf('small', 'b', { retain: true }))
    const whole = await store.loadRetained('large')
    assert.deepEqual([whole?.payload.length, whole?.properties], [20_000, { contentType: 'x' }])
    await committed(store)
    assert.deepEqual(await store.loadRetained('large'), whole)
    assert.equal((await store.loadRetained('small'))?.payload.toString(), 'b')
    assert.equal(await store.loadRetained('none'), undefined)
    const topics = [...store.matchRetained('+')].map((message) => message?.topic)
    assert.deepEqual(topics.sort(), ['large', 'small'])
    const before = store.loadRetained('large')
    store.putRetained(large('c'))
    // A store that has it in memory answers with what was there at the call.
    assert.match((await before)?.payload.toString() ?? '', /^(a{20000}|c{20000})$/)
    await committed(store)
    assert.equal((await store.loadRetained('large'))?.payload.toString('latin1', 0, 1), 'c')
    const removed = store.loadRetained('large')
    store.putRetained(messageOf('large', '', { retain: true }))
    assert.ok([undefined, 20_000].includes((await removed)?.payload.length))
    assert.equal(await store.loadRetained('large'), undefined)
    assert.equal(store.retainedCount, 1)
  })

  test('a walk in which little matches stops for others to have their turn', async (_t, { store }) => {
    for (let n = 0; n < 20_000; n += 1) store.putRetained(messageOf(`${n}/x/y`, '1'))
    store.putRetained(messageOf('last/x/nope', '1'))
    const steps = [...store.matchRetained('+/x/nope')]
    assert.equal(steps.filter((message) => message !== undefined).length, 1)
    assert.ok(steps.length > 20_000 / 500, `${steps.length} steps`)
  })
}

function matched(store: Store, filter: string): string[] {
  return matchedBy(store, filter)
    .map(({ topic }) => topic)
    .sort()
}
