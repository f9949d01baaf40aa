// The part of the store contract about what is there after a restart; skipped for a store that keeps nothing.
import assert from 'node:assert/strict'
import type { Recovered, RecoveredSession, SessionRecord } from '../../broker/store/store.ts'
import { privateStream } from '../../broker/store/store.ts'
import { committed, matchedBy, messageOf, readAll, subscriptionOf, willOf } from '../helpers/store.ts'
import type { MadeStore, StoreTest } from './store.ts'

type Reopening = Required<MadeStore>

export function storeSurvivalContract(test: StoreTest): void {
  const survivalTest = (sentence: string, body: (made: Reopening) => Promise<void>) => {
    test(sentence, async (t, { store, reopen }) => {
      if (reopen === undefined) t.skip('this store keeps nothing')
      else await body({ store, reopen })
    })
  }

  survivalTest('messages are there after a restart, and the numbers go on', async ({ store, reopen }) => {
    store.append(messageOf('a', '1'), ['a', 'b'])
    const before = store.append(messageOf('a', '2'), ['a', 'b'])
    store.trim('a', before - 1)
    await committed(store)
    const { store: again } = await reopen()
    assert.ok(again.lastSequence >= before)
    assert.ok(again.append(messageOf('a', '3'), ['a']) > before)
    assert.deepEqual((await readAll(again, [{ stream: 'a', after: 0 }])).payloads, ['2', '3'])
    assert.deepEqual((await readAll(again, [{ stream: 'b', after: 0 }])).payloads, ['1', '2'])
  })

  survivalTest('what a stream dropped is still known after a restart', async ({ store, reopen }) => {
    for (let n = 0; n < 30; n += 1) store.append(messageOf('a', `${n}`), ['a', 'b'])
    await committed(store)
    const position = store.lastSequence - 12
    const { store: again } = await reopen()
    assert.equal((await readAll(again, [{ stream: 'a', after: 0 }])).skipped, 20)
    assert.equal((await readAll(again, [{ stream: 'b', after: position }])).skipped, 2)
    assert.equal((await readAll(again, [{ stream: 'a', after: 0 }])).payloads.length, 10)
  })

  survivalTest('sessions are there after a restart with all that belongs to them', async ({ store, reopen }) => {
    const identity = { username: 'a', groups: ['g'], roles: [], attributes: { tenant: 'é' } }
    const member = { identity, provenBy: 'auth-file', address: '::1', listener: 'tcp' }
    store.putSession(sessionOf('a', { member }))
    store.putSubscription('a', subscriptionOf('x/#', { qos: 2, noLocal: true, since: 7, subscriptionId: 268_435_455 }))
    store.putSubscription(
      'a',
      subscriptionOf('$share/g/y', { retainAsPublished: true, retainHandling: 2, retainedPending: true }),
    )
    const inflight = [
      { packetId: 65_535, sequence: 2 ** 40, qos: 2 as const, released: true },
      { packetId: 1, sequence: 9, qos: 1 as const, released: false },
    ]
    store.putCursor('a', { position: 8, done: [10, 12], inflight })
    store.putInbound('a', 3)
    store.putInbound('a', 4)
    store.deleteInbound('a', 3)
    store.putSession(sessionOf('ab', { disconnectedAt: 5 }))
    store.putCursor('ab', { position: 1, done: [], inflight: [] })
    store.putSession(sessionOf('b'))
    store.putSubscription('b', subscriptionOf('gone'))
    store.putSubscription('b', subscriptionOf('stays', { qos: 2 }))
    store.putSubscription('b', subscriptionOf('stays', { qos: 0, keptUntil: 2 ** 40 }))
    store.deleteSubscription('b', 'gone')
    await committed(store)
    const sessions = sessionsOf((await reopen()).recovered)
    assert.deepEqual(sessions, [
      {
        session: sessionOf('a', { member }),
        subscriptions: [
          subscriptionOf('$share/g/y', { retainAsPublished: true, retainHandling: 2, retainedPending: true }),
          subscriptionOf('x/#', { qos: 2, noLocal: true, since: 7, subscriptionId: 268_435_455 }),
        ],
        cursor: { position: 8, done: [10, 12], inflight },
        inbound: [4],
      },
      {
        session: sessionOf('ab', { disconnectedAt: 5 }),
        subscriptions: [],
        cursor: { position: 1, done: [], inflight: [] },
        inbound: [],
      },
      {
        session: sessionOf('b'),
        subscriptions: [subscriptionOf('stays', { qos: 0, keptUntil: 2 ** 40 })],
        cursor: undefined,
        inbound: [],
      },
    ])
  })

  survivalTest('a deleted session leaves nothing behind, also for the next one of its name', async (made) => {
    const { store } = made
    for (const clientId of ['a', 'ab', 'b']) {
      store.putSession(sessionOf(clientId))
      store.putSubscription(clientId, subscriptionOf('old'))
      store.putCursor(clientId, { position: 5, done: [], inflight: [] })
      store.putInbound(clientId, 1)
      store.append(messageOf('x', 'mine'), [privateStream(clientId)])
    }
    await committed(store)
    store.putSubscription('a', subscriptionOf('in the same batch'))
    store.putCursor('b', { position: 6, done: [], inflight: [] })
    store.deleteSession('a')
    store.deleteSession('b')
    store.putSession(sessionOf('a', { createdAt: 99 }))
    store.putSubscription('a', subscriptionOf('new'))
    await committed(store)
    const { recovered, store: again } = await made.reopen()
    const sessions = sessionsOf(recovered)
    assert.deepEqual(
      sessions.map(({ session }) => session.clientId),
      ['a', 'ab'],
    )
    assert.deepEqual(sessions[0], {
      session: sessionOf('a', { createdAt: 99 }),
      subscriptions: [subscriptionOf('new')],
      cursor: undefined,
      inbound: [],
    })
    assert.deepEqual([...again.streams()], [privateStream('ab')])
  })

  survivalTest('the last cursor of many is the one that is there after a restart', async ({ store, reopen }) => {
    store.putSession(sessionOf('a'))
    for (let position = 1; position <= 1_000; position += 1) {
      store.putCursor('a', { position, done: [], inflight: [] })
      if (position % 300 === 0) await committed(store)
    }
    const [a] = sessionsOf((await reopen()).recovered)
    assert.equal(a?.cursor?.position, 1_000)
  })

  survivalTest('wills and retained messages are there after a restart', async ({ store, reopen }) => {
    const will = willOf(messageOf('will', 'gone'), { delayS: 5, firesAt: 77 })
    store.putWill('a', willOf(messageOf('will', 'first')))
    store.putWill('a', will)
    store.putWill('b', will)
    store.deleteWill('b')
    store.putRetained(messageOf('r/1', 'one', { username: 'bob' }))
    store.putRetained(messageOf('r/2', 'two'))
    store.putRetained(messageOf('r/2', ''))
    await committed(store)
    const { store: again, recovered } = await reopen()
    assert.deepEqual([...recovered.wills], [['a', will]])
    assert.deepEqual(
      matchedBy(again, '#').map(({ topic, payload }) => [topic, payload.toString()]),
      [['r/1', 'one']],
    )
    assert.equal(again.retainedCountOf('bob'), 1)
  })

  survivalTest(
    'what was written before a commit is there even when nobody waited for it',
    async ({ store, reopen }) => {
      store.append(messageOf('a', '1'), ['a'])
      store.putRetained(messageOf('r', '1'))
      const { store: again } = await reopen()
      assert.deepEqual((await readAll(again, [{ stream: 'a', after: 0 }])).payloads, ['1'])
      assert.equal(again.retainedCount, 1)
    },
  )
}

function sessionOf(clientId: string, more: Partial<SessionRecord> = {}): SessionRecord {
  return { clientId, username: 'alice', expiryS: 4_294_967_295, disconnectedAt: undefined, createdAt: 1, ...more }
}

export function sessionsOf(recovered: Recovered): RecoveredSession[] {
  const compare = (a: RecoveredSession, b: RecoveredSession) => (a.session.clientId < b.session.clientId ? -1 : 1)
  return [...recovered.sessions].sort(compare)
}
