// What is between two nodes arrives: a session that is handed over from a full disk, and what strayed before a node started.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { handedOverVia } from '../../broker/delivery/handed-over.ts'
import { createLevelStore } from '../../broker/store/level.ts'
import { arrivalStream, type StoreLimits } from '../../broker/store/store.ts'
import { until } from '../chaos/crowd.ts'
import { smallDisk } from '../chaos/diskfull.ts'
import { type BrokerProcess, spawnBroker, temporaryFolder } from '../helpers/broker.ts'
import { connectClient } from '../helpers/client.ts'
import { clusterKey, startNode } from '../helpers/cluster-node.ts'
import { connectRaw, kept } from '../helpers/raw-client.ts'
import { startRedis, type TestRedis } from '../helpers/redis.ts'
import { committed, makeFolder, messageOf, recordLog } from '../helpers/store.ts'

const timeout = 60_000
const limits: StoreLimits = { queueMessages: 10_000, queueBytes: 10_000_000, queueAgeS: 3_600 }
const waiting = ['0', '1', '2', '3', '4']
const phone = { clientId: 'phone', clean: false } as const

/** The data of a node to which this was handed over for sessions that it does not have. */
async function strayed(t: TestContext, ...clientIds: string[]): Promise<string> {
  const folder = await makeFolder(t)
  const store = createLevelStore({ path: join(folder, 'data'), durability: 'os', limits, log: recordLog() })
  await store.open()
  for (const clientId of clientIds) {
    const via = handedOverVia({ clientId, qos: 1, retain: false, packetId: 0, released: false, via: undefined })
    for (const text of waiting) store.append(messageOf('box', text, { via }), [arrivalStream(clientId)])
  }
  await committed(store)
  await store.close()
  return folder
}

async function spawnNode(t: TestContext, node: string, redis: TestRedis, data: string): Promise<BrokerProcess> {
  const folder = await temporaryFolder(t)
  const path = join(folder, 'oriole.yaml')
  await writeFile(
    path,
    `
node: ${node}
listeners: [{ name: tcp, type: tcp, port: 0 }]
store: { type: level, path: ${data}, durability: os }
log: { format: json }
admin: { enabled: false }
plugins: [auth-anonymous, acl-open]
cluster: { key: "${clusterKey}", redis: { url: "${redis.url}" } }
`,
  )
  return spawnBroker(t, path, folder)
}

function portOf(broker: BrokerProcess): number {
  return Number(new URL(broker.urls[0]!).port)
}

/** Until nothing is left. */
async function fillUp(disk: string): Promise<string> {
  const { bavail, bsize } = await statfs(disk)
  const path = join(disk, 'ballast')
  await writeFile(path, Buffer.alloc(bavail * bsize))
  return path
}

test('cluster: a session whose node cannot write goes to another node whole, when there is space again', {
  timeout,
}, async (t) => {
  const disk = await smallDisk(t)
  if (disk === undefined) return t.skip('mounting a tmpfs needs root')
  const redis = await startRedis(t)
  const a = await startNode(t, 'a', redis)
  const b = await spawnNode(t, 'b', redis, join(disk, 'data'))
  const port = portOf(b)
  const old = await connectRaw(t, port, kept('phone'))
  await old.subscribe('box', { qos: 1 })
  await old.leave()
  const sender = await connectRaw(t, port, { clientId: 'sender' })
  // More than fits where the log is written already.
  const payloads = Array.from({ length: 10 }, () => randomBytes(20_000).toString('hex'))
  for (const payload of payloads) await sender.publishAcknowledged('box', payload)
  const ballast = await fillUp(disk)
  const reader = await connectRaw(t, a.port(), { ...kept('phone'), answers: true })
  await until('b cannot write', () => b.output().includes('nothing can be stored'), 20_000)
  await rm(ballast)
  assert.deepEqual(await reader.texts(10), payloads)
  await sender.publishAcknowledged('box', 'last')
  assert.deepEqual(await reader.texts(1), ['last'])
})

test('cluster: what strayed waits for a node that is away when Redis comes back empty', { timeout }, async (t) => {
  const folder = await strayed(t, 'phone', 'watch')
  const redis = await startRedis(t)
  const b = await startNode(t, 'b', redis)
  const reader = await connectRaw(t, b.port(), kept('phone'))
  await reader.leave()
  await b.stop()
  const c = await startNode(t, 'c', redis)
  const watch = await connectRaw(t, c.port(), { ...kept('watch'), answers: true })
  await redis.kill()
  await startNode(t, 'a', redis, { folder })
  await redis.start({ empty: true })
  // Looked at behind those of the phone.
  assert.deepEqual(await watch.texts(5), waiting)
  const again = await startNode(t, 'b', redis, { folder: b.folder })
  const back = await connectRaw(t, again.port(), { ...kept('phone'), answers: true })
  assert.deepEqual(await back.texts(5), waiting)
})

test('cluster: what strayed comes to a session that is opened while Redis is away', { timeout }, async (t) => {
  const folder = await strayed(t, 'phone')
  const redis = await startRedis(t)
  await redis.kill()
  const a = await startNode(t, 'a', redis, { folder })
  const { client, messages } = await connectClient(t, a.url(), phone)
  assert.deepEqual(
    (await messages(5)).map(({ text }) => text),
    waiting,
  )
  await client.subscribeAsync('box', { qos: 1 })
  await client.publishAsync('box', 'last', { qos: 1 })
  assert.deepEqual(
    (await messages(6)).map(({ text }) => text),
    [...waiting, 'last'],
  )
})

test('cluster: what strayed for a session is not given to one that begins anew', { timeout }, async (t) => {
  const folder = await strayed(t, 'phone')
  const redis = await startRedis(t)
  await redis.kill()
  const a = await startNode(t, 'a', redis, { folder })
  const { client, messages } = await connectClient(t, a.url(), { clientId: 'phone', clean: true })
  await client.subscribeAsync('box', { qos: 1 })
  await client.publishAsync('box', 'first', { qos: 1 })
  await redis.start()
  await client.publishAsync('box', 'second', { qos: 1 })
  assert.deepEqual(
    (await messages(2)).map(({ text }) => text),
    ['first', 'second'],
  )
})
