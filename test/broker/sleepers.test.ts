// Sessions of an earlier start: packed until their client comes, and then as if they had been there all along.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { Sleepers } from '../../broker/engine/sleepers.ts'
import { createLevelStore } from '../../broker/store/level.ts'
import type { RecoveredSession, Store } from '../../broker/store/store.ts'
import { startBroker } from '../helpers/broker.ts'
import { metric, openWith } from '../helpers/open-config.ts'
import { connectRaw, kept, tryConnect } from '../helpers/raw-client.ts'
import { committed, makeFolder, messageOf, recordLog, subscriptionOf, testLimits } from '../helpers/store.ts'

const hourMs = 3_600_000

function put(store: Store, clientId: string, username: string, createdAt: number, disconnectedAt = Date.now()): void {
  store.putSession({ clientId, username, expiryS: 3_600, disconnectedAt, createdAt })
  store.putSubscription(clientId, subscriptionOf(`inbox/${clientId}`))
  store.putSubscription(clientId, subscriptionOf('room/#'))
}

/** Fifty sessions of ten users, one message for all of them, and one for the first. */
async function fill(folder: string): Promise<void> {
  const store = createLevelStore({
    path: join(folder, 'data'),
    durability: 'os',
    limits: testLimits,
    log: recordLog(),
  })
  await store.open()
  for (let n = 0; n < 50; n += 1) put(store, `c${n}`, '', n)
  put(store, 'long-gone', '', 0, Date.now() - 2 * hourMs)
  store.append(messageOf('room/1', 'to all'), ['room/#'])
  store.append(messageOf('inbox/c0', 'to the first'), ['inbox/c0'])
  await committed(store)
  await store.close()
}

test('sleepers: a client finds its session with what waited for it, once', { timeout: 30_000 }, async (t) => {
  const folder = await makeFolder(t)
  await fill(folder)
  const broker = await startBroker(t, openWith({ folder, metrics: true }))
  assert.equal(await metric(broker, 'oriole_subscriptions'), 102)
  const publisher = await connectRaw(t, broker.port())
  // Nobody is there, and yet somebody will want it.
  assert.equal(await publisher.publishAcknowledged('room/2', 'later'), 0)
  assert.equal(await publisher.publishAcknowledged('nowhere', 'x'), 0x10)
  const first = await connectRaw(t, broker.port(), { ...kept('c0'), answers: true })
  assert.deepEqual(await first.texts(3), ['to all', 'to the first', 'later'])
  const second = await connectRaw(t, broker.port(), kept('c1'))
  assert.deepEqual(await second.texts(2), ['to all', 'later'])
  await first.leave()
  const { client: again, connack } = await tryConnect(t, broker.port(), kept('c0'))
  assert.equal(connack.sessionPresent, true)
  await again.nothing()
})

test('sleepers: found by client id and by user, and expired ones leave a few at a time', { timeout: 20_000 }, () => {
  const now = Date.now()
  const found: RecoveredSession[] = Array.from({ length: 1_000 }, (_, n) => ({
    session: { clientId: `c${n}`, username: `u${n % 100}`, expiryS: 60, disconnectedAt: now, createdAt: 1_000 - n },
    subscriptions: [],
    cursor: undefined,
    inbound: [],
  }))
  const sleepers = new Sleepers(found)
  for (const [n, session] of found.entries()) sleepers.add(n, session, now + (n < 500 ? 0 : 10 * hourMs))
  assert.equal(sleepers.size, 1_000)
  assert.equal(sleepers.wake('c7')?.session.clientId, 'c7')
  assert.equal(sleepers.wake('c7'), undefined)
  assert.equal(sleepers.wake('unknown'), undefined)
  assert.equal(sleepers.countOf('u7'), 9)
  assert.deepEqual(
    sleepers.wakeAllOf('u7').map(({ session }) => session.clientId),
    ['c907', 'c807', 'c707', 'c607', 'c507', 'c407', 'c307', 'c207', 'c107'],
  )
  assert.equal(sleepers.countOf('u7'), 0)
  assert.equal([...sleepers.all()].length, 990)
  assert.equal(sleepers.wakeExpired(now - 60_000, 100).length, 0)
  assert.equal(sleepers.wakeExpired(now + 60_000, 100).length, 100)
  assert.equal(sleepers.wakeExpired(now + 60_000, 1_000).length, 395)
  assert.equal(sleepers.wakeExpired(now + hourMs, 1_000).length, 0)
  assert.equal(sleepers.size, 495)
})
