// One client id that is claimed on two nodes while they cannot agree: whose session it is, and what becomes of the other one.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Redis } from 'ioredis'
import { until } from '../chaos/crowd.ts'
import { spawnBroker, startBroker, temporaryFolder } from '../helpers/broker.ts'
import { connectClient, type TestClient, texts } from '../helpers/client.ts'
import { clusterKey, startNode } from '../helpers/cluster-node.ts'
import { connectRaw, kept, tryConnect } from '../helpers/raw-client.ts'
import { startProxy, startRedis, type TestRedis } from '../helpers/redis.ts'

const timeout = 60_000
const noMatchingSubscribers = 0x10
const notAuthorized = 0x87
const phone = { clientId: 'phone', clean: false } as const
const ofAlice = { ...phone, username: 'alice' } as const
const ofMallory = { ...phone, username: 'mallory' } as const
const queued = Array.from({ length: 5 }, (_, index) => `for alice ${index}`)

async function leaveSession(t: TestContext, url: string, options: object, filter: string): Promise<void> {
  const { client, end } = await connectClient(t, url, options)
  await client.subscribeAsync(filter, { qos: 1 })
  await end()
}

async function publishAll({ client }: TestClient, topic: string, payloads: readonly string[]): Promise<void> {
  for (const payload of payloads) await client.publishAsync(topic, payload, { qos: 1 })
}

/** Its connection ends, or something comes. */
async function endsOrGets(receiver: TestClient): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    if (!receiver.client.connected) resolve()
    receiver.client.once('close', () => resolve())
  })
  await Promise.race([closed, receiver.messages(1)])
}

/** A config of its own, for what `startNode` has no setting for. */
function nodeConfig(node: string, folder: string, redis: TestRedis, plugins: string): string {
  return `
node: ${node}
listeners: [{ name: tcp, type: tcp, port: 0 }]
store: { type: level, path: ${join(folder, 'data')}, durability: os }
log: { format: json }
admin: { enabled: false }
plugins: [${plugins}]
cluster: { key: "${clusterKey}", redis: { url: "${redis.url}" } }
`
}

for (const keeps of [true, false]) {
  const redisIsAway = keeps ? 'Redis is away' : 'Redis loses its data'
  test(`cluster: another user who takes a client id while ${redisIsAway} gets nothing of its owner, who loses nothing`, {
    timeout,
  }, async (t) => {
    const redis = await startRedis(t, { keeps })
    const [a, b] = [await startNode(t, 'a', redis), await startNode(t, 'b', redis)]
    await leaveSession(t, b.url(), ofAlice, 'secret/#')
    const senders = [await connectClient(t, a.url()), await connectClient(t, b.url())]
    await publishAll(senders[1]!, 'secret/1', queued)
    await redis.kill()
    const mallory = await connectClient(t, a.url(), ofMallory)
    await redis.start()
    await endsOrGets(mallory)
    for (const sender of senders) await publishAll(sender, 'secret/2', ['later'])
    const alice = await connectClient(t, b.url(), ofAlice)
    assert.deepEqual(texts(await alice.messages(7)), [...queued, 'later', 'later'])
    assert.deepEqual(mallory.received, [])
    assert.equal(mallory.client.connected, false)
    // And at the node where the other one was.
    await alice.end()
    await publishAll(senders[1]!, 'secret/3', ['at last'])
    const there = await connectClient(t, a.url(), ofAlice)
    assert.deepEqual(texts(await there.messages(1)), ['at last'])
  })

  test(`cluster: who is connected stays so when another user takes the client id while ${redisIsAway}`, {
    timeout,
  }, async (t) => {
    const redis = await startRedis(t, { keeps })
    const [a, b] = [await startNode(t, 'a', redis), await startNode(t, 'b', redis)]
    const alice = await connectClient(t, b.url(), ofAlice)
    await alice.client.subscribeAsync('secret/#', { qos: 1 })
    const sender = await connectClient(t, b.url())
    await redis.kill()
    const mallory = await connectClient(t, a.url(), ofMallory)
    await mallory.client.subscribeAsync('of/mallory', { qos: 1 })
    await redis.start()
    await Promise.race([endsOrGets(mallory), endsOrGets(alice)])
    assert.equal(alice.client.connected, true)
    await publishAll(sender, 'of/mallory', ['nobody'])
    await publishAll(sender, 'secret/1', queued)
    assert.deepEqual(texts(await alice.messages(5)), queued)
    assert.equal(alice.client.connected, true)
    assert.deepEqual(mallory.received, [])
  })

  test(`cluster: a clean start while ${redisIsAway} ends the session that another node has`, { timeout }, async (t) => {
    const redis = await startRedis(t, { keeps })
    const [a, b] = [await startNode(t, 'a', redis), await startNode(t, 'b', redis)]
    const sender = await connectRaw(t, b.port(), { clientId: 'sender' })
    for (const clientId of ['stays', 'passes']) {
      const old = await connectRaw(t, b.port(), kept(clientId))
      await old.subscribe(`old/${clientId}`, { qos: 1 })
      await old.leave()
      await sender.publishAcknowledged(`old/${clientId}`, 'old')
    }
    await redis.kill()
    const stays = await connectClient(t, a.url(), {
      clientId: 'stays',
      clean: true,
      protocolVersion: 5,
      properties: { sessionExpiryInterval: 3600 },
    })
    const passes = await connectClient(t, a.url(), { clientId: 'passes', clean: true })
    await redis.start()
    for (const { client, received } of [stays, passes]) {
      const { clientId } = client.options
      await client.subscribeAsync(`new/${clientId}`, { qos: 1 })
      await until(
        `nobody subscribes to old/${clientId}`,
        async () =>
          (await sender.publishAcknowledged(`old/${clientId}`, 'late')) === noMatchingSubscribers ||
          received.length > 0,
        30_000,
      )
      await until(
        `${clientId} subscribes to new/${clientId}`,
        async () =>
          (await sender.publishAcknowledged(`new/${clientId}`, 'new')) !== noMatchingSubscribers || received.length > 0,
        30_000,
      )
    }
    for (const { received, messages } of [stays, passes]) {
      await messages(1)
      assert.deepEqual([...new Set(texts(received))], ['new'])
    }
  })
}

test('cluster: a client id stays that of its first user when Redis comes back empty, and his node later', {
  timeout,
}, async (t) => {
  const redis = await startRedis(t)
  const proxy = await startProxy(t, redis.port)
  const a = await startNode(t, 'a', redis)
  const b = await startNode(t, 'b', { url: `redis://127.0.0.1:${proxy.port}` })
  await leaveSession(t, b.url(), ofAlice, 'secret/#')
  await publishAll(await connectClient(t, b.url()), 'secret/1', queued)
  proxy.reset()
  await redis.kill()
  await redis.start({ empty: true })
  const mallory = await connectClient(t, a.url(), ofMallory)
  proxy.heal()
  await endsOrGets(mallory)
  const alice = await connectClient(t, b.url(), ofAlice)
  assert.deepEqual(texts(await alice.messages(5)), queued)
  assert.deepEqual(mallory.received, [])
})

test('cluster: a user who got a client id while Redis is away, and then changes nodes, takes his queue along', {
  timeout,
}, async (t) => {
  const redis = await startRedis(t, { keeps: true })
  const [a, b] = [await startNode(t, 'a', redis), await startNode(t, 'b', redis)]
  await leaveSession(t, a.url(), ofMallory, 'of/mallory')
  await redis.kill()
  // Here it is free then, and Redis still says that it is Mallory's.
  await (await connectClient(t, a.url(), { ...ofMallory, clean: true })).end()
  await leaveSession(t, a.url(), ofAlice, 'secret/#')
  await publishAll(await connectClient(t, a.url()), 'secret/1', queued)
  const alice = await connectClient(t, b.url(), ofAlice)
  await redis.start()
  assert.deepEqual(texts(await alice.messages(5)), queued)
  assert.equal(alice.client.connected, true)
})

test("cluster: another user's client id is refused while the node of its session hangs", { timeout }, async (t) => {
  const redis = await startRedis(t)
  const folder = await temporaryFolder(t)
  const path = join(folder, 'oriole.yaml')
  await writeFile(path, nodeConfig('b', folder, redis, 'auth-anonymous, acl-open'))
  const b = await spawnBroker(t, path, folder)
  const url = b.urls[0]!
  const a = await startNode(t, 'a', redis)
  await leaveSession(t, url, ofAlice, 'secret/#')
  await publishAll(await connectClient(t, url), 'secret/1', queued)
  b.child.kill('SIGSTOP')
  const { code } = await tryConnect(t, a.port(), { ...kept('phone'), username: 'mallory' })
  b.child.kill('SIGCONT')
  assert.equal(code, notAuthorized)
  const alice = await connectClient(t, url, ofAlice)
  assert.deepEqual(texts(await alice.messages(5)), queued)
})

test('cluster: what was denied meanwhile does not come with a session that was merged after Redis was away', {
  timeout,
}, async (t) => {
  const redis = await startRedis(t)
  const start = async (node: string): Promise<string> => {
    const folder = await temporaryFolder(t)
    await writeFile(
      join(folder, 'acl.yaml'),
      `- allow: { subscribe: ["room/#"] }
- allow: { users: [admin], publish: ["room/#"] }
- deny: { users: [alice], subscribe: ["room/secret/#"] }
`,
    )
    const config = nodeConfig(node, folder, redis, 'auth-anonymous, { acl-file: { rules: acl.yaml } }')
    return (await startBroker(t, config, folder)).url()
  }
  const [a, b] = [await start('a'), await start('b')]
  await leaveSession(t, b, ofAlice, 'room/#')
  const admin = await connectClient(t, b, { username: 'admin' })
  await publishAll(admin, 'room/open', ['open 1'])
  await publishAll(admin, 'room/secret/1', ['secret in the queue'])
  await redis.kill()
  const alice = await connectClient(t, a, ofAlice)
  await redis.start()
  await alice.messages(1)
  await publishAll(admin, 'room/secret/2', ['secret live'])
  await publishAll(admin, 'room/open', ['open 2'])
  assert.deepEqual(texts(await alice.messages(2)), ['open 1', 'open 2'])
})

test('cluster: a session is fetched when Redis took the claim and the answer was lost', { timeout }, async (t) => {
  const redis = await startRedis(t)
  const link = await startLink(t, redis.port)
  const b = await startNode(t, 'b', redis)
  const a = await startNode(t, 'a', { url: `redis://127.0.0.1:${link.port}` })
  await leaveSession(t, b.url(), phone, 'box')
  await publishAll(await connectClient(t, b.url()), 'box', queued)
  const look = new Redis(redis.url)
  link.dropAnswers()
  const connecting = connectClient(t, a.url(), phone)
  const isTaken = async () => (await look.get('{oriole:oriole}:session:phone'))?.split(' ')[1] === 'a'
  await until('Redis has the claim', isTaken, 10_000).finally(() => look.disconnect())
  link.reset()
  const { messages } = await connecting
  assert.deepEqual(texts(await messages(5)), queued)
})

/** To Redis; it can lose what Redis says, and what is said to Redis arrives. */
async function startLink(t: TestContext, port: number) {
  let isDeaf = false
  const sockets = new Set<Socket>()
  const reset = (): void => {
    for (const socket of sockets) socket.destroy()
    isDeaf = false
  }
  const server = createServer({ noDelay: true }, (inside) => {
    const outside = connect({ host: '127.0.0.1', port, noDelay: true })
    for (const [socket, other] of [
      [inside, outside],
      [outside, inside],
    ] as const) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        other.destroy()
      })
    }
    inside.on('data', (bytes) => outside.write(bytes))
    outside.on('data', (bytes) => isDeaf || inside.write(bytes))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    reset()
    server.close()
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the link has no port')
  const dropAnswers = (): void => {
    isDeaf = true
  }
  return { port: address.port, reset, dropAnswers }
}
