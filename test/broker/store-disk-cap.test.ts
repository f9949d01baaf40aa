// The cap on the disk: history goes first, then the longest queues, and then what must be stored is refused.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as later } from 'node:timers/promises'
import type { DiskStore } from '../../broker/store/backup.ts'
import type { TakenAway } from '../../broker/store/disk-cap.ts'
import { createLevelStore } from '../../broker/store/level.ts'
import type { StoreLimits } from '../../broker/store/store.ts'
import { startBroker } from '../helpers/broker.ts'
import { metric, openWith } from '../helpers/open-config.ts'
import { connectRaw, kept } from '../helpers/raw-client.ts'
import { committed, folderBytes, makeFolder, messageOf, noise, readAll, recordLog } from '../helpers/store.ts'

const MiB = 1_048_576
const capBytes = 48 * MiB
const limits: StoreLimits = { queueMessages: 1_000_000, queueBytes: 1_000 * MiB, queueAgeS: 3_600 }

interface Capped {
  readonly store: DiskStore
  readonly path: string
  readonly taken: TakenAway[]
  /** The phrases of errors. */
  readonly errors: string[]
}

async function openCapped(t: TestContext): Promise<Capped> {
  const path = await makeFolder(t)
  const taken: TakenAway[] = []
  const log = recordLog()
  const store = createLevelStore({
    path,
    durability: 'os',
    limits,
    log,
    history: [{ filter: 'chat/#', days: 1 }],
    diskMaxBytes: capBytes,
    onTaken: (some) => void taken.push(some),
  })
  await store.open()
  t.after(() => store.close())
  return { store, path, taken, errors: log.errors }
}

/** As fast as a cap can follow that looks once a second. */
async function append(store: DiskStore, topic: string, streams: readonly string[], messages: number, seed: number) {
  for (let n = 0; n < messages; n += 1) {
    while (store.isFull) await later(50)
    store.append(messageOf(topic, noise(100_000, seed + n)), streams)
    if (n % 20 === 19) await committed(store)
  }
  await committed(store)
}

function droppedOf(taken: readonly TakenAway[]): number {
  return taken.reduce((sum, { queued }) => sum + queued, 0)
}

test('disk cap: the oldest history goes, the newest and every queue stay', { timeout: 120_000 }, async (t) => {
  const { store, path, taken } = await openCapped(t)
  await append(store, 'queued', ['q'], 50, 0)
  await append(store, 'chat/a', [], 300, 1_000)
  await append(store, 'chat/b', [], 300, 2_000)
  while (store.isFull || (await folderBytes(path)) > capBytes) await later(100)
  assert.ok(taken.length > 0 && taken.every(({ history, queued }) => history > 0 && queued === 0))
  assert.equal((await readAll(store, [{ stream: 'q', after: 0 }])).payloads.length, 50)
  const { entries } = await store.readHistory('chat/#', { limit: 1_000 })
  assert.equal(entries[entries.length - 1]!.sequence, store.lastSequence)
  assert.ok(entries.length > 50 && entries.length < 450, `${entries.length} messages of the history are left`)
  const sequences = entries.map(({ sequence }) => sequence)
  assert.deepEqual(
    sequences,
    Array.from(sequences, (_, index) => store.lastSequence - sequences.length + 1 + index),
  )
})

test('disk cap: a noisy queue gives its oldest messages, small ones give none', { timeout: 120_000 }, async (t) => {
  const { store, path, taken } = await openCapped(t)
  for (let n = 0; n < 100; n += 1) store.append(messageOf(`to/${n}`, `for ${n}`), [`to/${n}`])
  await append(store, 'noisy', ['noisy'], 700, 0)
  while (store.isFull || (await folderBytes(path)) > capBytes) await later(100)
  // It goes on until less is there than it allows, also while somebody reads; in the end both numbers are the same.
  let noisy = await readAll(store, [{ stream: 'noisy', after: 0 }])
  while (droppedOf(taken) !== noisy.skipped) {
    await later(100)
    noisy = await readAll(store, [{ stream: 'noisy', after: 0 }])
  }
  const dropped = noisy.skipped
  assert.ok(dropped > 100, `${dropped} were dropped`)
  assert.equal(noisy.payloads.length, 700 - dropped)
  for (let n = 0; n < 100; n += 1) {
    assert.deepEqual((await readAll(store, [{ stream: `to/${n}`, after: 0 }])).payloads, [`for ${n}`])
  }
})

test('disk cap: retained messages are not taken away; it is full until there is room', {
  timeout: 120_000,
}, async (t) => {
  const { store, errors } = await openCapped(t)
  let count = 0
  for (; !store.isFull; count += 1) {
    store.putRetained(messageOf(`r/${count}`, noise(200_000, count), { retain: true }))
    await committed(store)
    if (count % 20 === 0) await later(20)
  }
  assert.equal(store.retainedCount, count)
  assert.ok(count > 150, `${count} fitted`)
  assert.deepEqual(errors, ['what must be stored is refused: store.diskMaxBytes is reached'])
  for (let n = 0; n < count; n += 1) store.putRetained(messageOf(`r/${n}`, '', { retain: true }))
  while (store.isFull) await later(100)
})

test('disk cap: clients are told, and who needs no storage is served', { timeout: 120_000 }, async (t) => {
  const folder = await makeFolder(t)
  const config = openWith({ folder, metrics: true, limits: 'packetMaxBytes: 4000000, retainedMaxBytes: 4000000' })
  const broker = await startBroker(t, config.replace('durability: os', `durability: os, diskMaxBytes: ${64 * MiB}`))
  const away = await connectRaw(t, broker.port(), kept('away'))
  await away.subscribe('queued', { qos: 1 })
  await away.leave()
  const client = await connectRaw(t, broker.port())
  assert.equal(await client.publishAcknowledged('queued', 'before'), 0)
  let code = 0
  for (let n = 0; code !== 0x97; n += 1) {
    code = await client.publishAcknowledged(`r/${n}`, noise(3_000_000, n), { retain: true })
    assert.ok(n < 100, `0x${code.toString(16)}`)
    // The cap follows once a second.
    await later(50)
  }
  assert.equal(await client.publishAcknowledged('queued', 'refused'), 0x97)
  const refusedTwice = await connectRaw(t, broker.port())
  refusedTwice.publish('queued', 'x', { qos: 2 })
  assert.equal((await refusedTwice.expect('pubrec')).reasonCode, 0x97)
  const older = await connectRaw(t, broker.port(), { version: 4 })
  older.publish('queued', 'x', { qos: 1 })
  await older.closed()
  const live = await connectRaw(t, broker.port())
  await live.subscribe('live', { qos: 1 })
  assert.equal(await client.publishAcknowledged('live', 'delivered'), 0)
  assert.deepEqual(await live.texts(1), ['delivered'])
  assert.ok((await metric(broker, 'oriole_messages_dropped_total{reason="disk_cap"}')) >= 4)
  const back = await connectRaw(t, broker.port(), kept('away'))
  assert.deepEqual(await back.texts(1), ['before'])
})
