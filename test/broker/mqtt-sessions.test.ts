// Sessions: what a client finds when it comes back, who may come back to it, and when it is gone (MQTT 4.1, 3.1.2.11).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startBroker, temporaryFolder } from '../helpers/broker.ts'
import { metric, openWith } from '../helpers/open-config.ts'
import { connectRaw, kept, tryConnect } from '../helpers/raw-client.ts'

const timeout = 20_000

for (const version of [3, 4, 5] as const) {
  test(`sessions: session present tells the truth (protocol level ${version})`, { timeout }, async (t) => {
    const port = (await startBroker(t)).port()
    const present = async (clean: boolean, keep: boolean): Promise<boolean> => {
      const properties = version === 5 && keep ? { properties: { sessionExpiryInterval: 100 } } : {}
      const { client, connack } = await tryConnect(t, port, { clientId: 'c', clean, version, ...properties })
      await client.leave()
      return connack.sessionPresent
    }
    // MQTT 3.1 has no such flag.
    const yes = version !== 3
    const keep = version === 5
    assert.equal(await present(false, keep), false, 'nothing was there')
    assert.equal(await present(false, keep), yes, 'it was kept')
    assert.equal(await present(true, false), false, 'a clean start ends it')
    assert.equal(await present(false, keep), false, 'and leaves nothing')
    assert.equal(await present(false, false), yes, 'it was kept until now')
    // A session of MQTT 5 with expiry 0 ended with its connection; before MQTT 5, clean session 0 keeps it.
    assert.equal(await present(false, false), version === 4)
  })
}

test('sessions: what came while a client was away waits for it, however long the broker tidies up', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const away = await connectRaw(t, port, kept('away'))
  await away.subscribe('a/#', { qos: 1 })
  await away.leave()
  const publisher = await connectRaw(t, port)
  for (let index = 0; index < 10; index += 1) await publisher.publishAcknowledged(`a/${index}`, `${index}`)
  // Longer than the broker's round in which it gives back the space of what nobody waits for.
  await new Promise((resolve) => setTimeout(resolve, 6_000))
  const back = await connectRaw(t, port, { ...kept('away'), answers: true })
  assert.deepEqual(await back.texts(10), ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
})

test('sessions: one that expires is gone with all it had, and its owner has no claim to the client id', {
  timeout,
}, async (t) => {
  const folder = await temporaryFolder(t)
  const config = openWith({ folder, limits: 'sessionExpiryMaxS: 1' })
  let broker = await startBroker(t, config, folder)
  // Both are clamped to a second.
  for (const version of [4, 5] as const) {
    const client = await connectRaw(t, broker.port(), { ...kept(`c${version}`, version), username: 'alice' })
    await client.subscribe('a', { qos: 1 })
    await client.leave()
    const { connack } = await tryConnect(t, broker.port(), { ...kept(`c${version}`, version), username: 'alice' })
    assert.equal(connack.sessionPresent, true)
    assert.equal(connack.properties?.sessionExpiryInterval, version === 5 ? 1 : undefined)
  }
  // The time of the first one also runs over a restart.
  await broker.stop()
  broker = await startBroker(t, config, folder)
  await new Promise((resolve) => setTimeout(resolve, 1_100))
  await (await connectRaw(t, broker.port())).publishAcknowledged('a', 'x')
  for (const version of [4, 5] as const) {
    const { client, connack } = await tryConnect(t, broker.port(), {
      ...kept(`c${version}`, version),
      username: 'alice',
    })
    assert.equal(connack.sessionPresent, false)
    await client.nothing()
  }
})

test('sessions: the broker forgets what has expired by itself', { timeout }, async (t) => {
  const broker = await startBroker(t, openWith({ metrics: true, limits: 'sessionExpiryMaxS: 1' }))
  const client = await connectRaw(t, broker.port(), { ...kept('c'), username: 'alice' })
  await client.subscribe('a', { qos: 1 })
  await client.leave()
  assert.equal(await metric(broker, 'oriole_sessions'), 1)
  while ((await metric(broker, 'oriole_sessions')) > 0) await new Promise((resolve) => setTimeout(resolve, 100))
  assert.equal(await metric(broker, 'oriole_subscriptions'), 0)
  assert.equal((await tryConnect(t, broker.port(), { ...kept('c'), username: 'bob' })).code, 0)
})

test('sessions: over the limit of a user the oldest offline session ends', { timeout }, async (t) => {
  const port = (await startBroker(t, openWith({ limits: 'sessionsPerUser: 2' }))).port()
  const stays = await connectRaw(t, port, { ...kept('online'), username: 'alice' })
  for (const clientId of ['one', 'two', 'three']) {
    await (await connectRaw(t, port, { ...kept(clientId), username: 'alice' })).leave()
  }
  const present = async (clientId: string): Promise<boolean> => {
    const { client, connack } = await tryConnect(t, port, { ...kept(clientId), username: 'alice' })
    await client.leave()
    return connack.sessionPresent
  }
  assert.equal(await present('three'), true)
  assert.equal(await present('one'), false)
  await stays.nothing()
})

test('sessions: subscriptions with their options outlive a restart', { timeout }, async (t) => {
  const folder = await temporaryFolder(t)
  const config = openWith({ folder })
  let broker = await startBroker(t, config, folder)
  const client = await connectRaw(t, broker.port(), kept('c'))
  await client.subscribe('a/+', { qos: 1, nl: true, rap: true, id: 7 })
  await client.subscribe('b')
  client.send({ cmd: 'unsubscribe', messageId: 99, unsubscriptions: ['b'] })
  await client.expect('unsuback')
  await broker.stop()
  broker = await startBroker(t, config, folder)
  const publisher = await connectRaw(t, broker.port())
  await publisher.publishAcknowledged('a/b', 'x', { retain: true })
  await publisher.publishAcknowledged('b', 'x')
  const back = await connectRaw(t, broker.port(), kept('c'))
  const message = await back.expect('publish')
  assert.deepEqual(
    [message.topic, message.qos, message.retain, message.properties?.subscriptionIdentifier],
    ['a/b', 1, true, 7],
  )
  await back.publishAcknowledged('a/own', 'x')
  await back.nothing()
})
