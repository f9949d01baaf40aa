// Subscriptions that the house makes for a client: at CONNECT, while connected, over disconnects and restarts.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { QoS } from '../../broker/message.ts'
import { startBroker, temporaryFolder } from '../helpers/broker.ts'
import { HouseRules, pluginEntry } from '../helpers/house-rules.ts'
import { openWith } from '../helpers/open-config.ts'
import { connectRaw, kept } from '../helpers/raw-client.ts'

const deadline = { timeout: 20_000 }

/** Each user by name, with the filters that the house subscribes it to. */
function usersWith(subscriptions: Readonly<Record<string, readonly string[]>>, qos: QoS = 1): HouseRules['users'] {
  const entries = Object.entries(subscriptions)
  return new Map(
    entries.map(([name, filters]) => [name, { subscriptions: filters.map((filter) => ({ filter, qos })) }]),
  )
}

async function house(t: TestContext, folder?: string, rules = new HouseRules()) {
  const plugins = `[${pluginEntry(rules)}]`
  const broker = await startBroker(t, openWith({ plugins, ...(folder !== undefined && { folder }) }), folder)
  return { rules, broker, port: broker.port() }
}

test('automatic subscription: messages and retained messages come without SUBSCRIBE', deadline, async (t) => {
  const { rules, port } = await house(t)
  rules.users = usersWith({ alice: ['room', '$share/workers/jobs'], sender: [] })
  const sender = await connectRaw(t, port, { clientId: 'sender' })
  await sender.publishAcknowledged('room', 'topic of the day', { retain: true })
  for (const options of [
    { clientId: 'alice', answers: true },
    { ...kept('alice'), answers: true },
  ]) {
    const alice = await connectRaw(t, port, options)
    const retained = await alice.expect('publish')
    assert.deepEqual([retained.payload.toString(), retained.retain], ['topic of the day', true])
    await sender.publishAcknowledged('room', 'live')
    await sender.publishAcknowledged('jobs', 'job')
    assert.deepEqual(await alice.texts(2), ['live', 'job'])
    await alice.leave()
  }
})

test('automatic subscription: it queues while the client is away, also over a restart', deadline, async (t) => {
  const folder = await temporaryFolder(t)
  const rules = new HouseRules()
  rules.users = usersWith({ alice: ['room'], sender: [] })
  const first = await house(t, folder, rules)
  await (await connectRaw(t, first.port, kept('alice'))).leave()
  const sender = await connectRaw(t, first.port, { clientId: 'sender' })
  await sender.publishAcknowledged('room', 'while away')
  await first.broker.stop()
  const second = await house(t, folder, rules)
  const alice = await connectRaw(t, second.port, { ...kept('alice'), answers: true })
  assert.deepEqual(await alice.texts(1), ['while away'])
  await alice.leave()

  // Taken away while the client is away: what was queued by then is not delivered.
  const again = await connectRaw(t, second.port, { clientId: 'sender' })
  await again.publishAcknowledged('room', 'not for alice any more')
  rules.users = usersWith({ alice: [], sender: [] })
  const back = await connectRaw(t, second.port, kept('alice'))
  await again.publishAcknowledged('room', 'nor this')
  await back.nothing()
})

test('automatic subscription: UNSUBSCRIBE does not end it, and ends what the client asked for', deadline, async (t) => {
  const { rules, port } = await house(t)
  rules.users = usersWith({ alice: ['room'], sender: [] })
  const sender = await connectRaw(t, port, { clientId: 'sender' })
  const alice = await connectRaw(t, port, { clientId: 'alice', answers: true })
  const unsubscribe = async () => {
    alice.send({ cmd: 'unsubscribe', messageId: alice.nextPacketId(), unsubscriptions: ['room', 'other'] })
    return (await alice.expect('unsuback')).granted
  }
  assert.deepEqual(await unsubscribe(), [0x87, 0x11])
  await sender.publishAcknowledged('room', 'still')
  assert.deepEqual(await alice.texts(1), ['still'])

  // Asked for by the client too, it stays when the house does not want it any more.
  assert.deepEqual(await alice.subscribe('room', { qos: 2 }), [2])
  rules.users = usersWith({ alice: [], sender: [] })
  await rules.changed()
  await sender.publishAcknowledged('room', 'asked for')
  assert.deepEqual(await alice.texts(1), ['asked for'])
  assert.deepEqual(await unsubscribe(), [0, 0x11])

  rules.users = usersWith({ alice: ['room'], sender: [] })
  await rules.changed()
  assert.deepEqual(await alice.subscribe('room', { qos: 1 }), [1])
  assert.deepEqual(await unsubscribe(), [0x87, 0x11])
  rules.users = usersWith({ alice: [], sender: [] })
  assert.equal((await rules.changed()).ended, 1)
  await sender.publishAcknowledged('room', 'nobody')
  await alice.nothing()
})

test(
  'automatic subscription: one that the rules deny is not made, and made when they allow it',
  deadline,
  async (t) => {
    const { rules, port } = await house(t)
    rules.users = usersWith({ alice: ['room'], sender: [] })
    rules.subscribe = () => false
    const sender = await connectRaw(t, port, { clientId: 'sender' })
    const alice = await connectRaw(t, port, { clientId: 'alice', answers: true })
    await sender.publishAcknowledged('room', 'denied')
    rules.subscribe = () => true
    await rules.changed()
    await sender.publishAcknowledged('room', 'allowed')
    assert.deepEqual(await alice.texts(1), ['allowed'])
  },
)

test('automatic subscription: a plugin changes it for a connected client with its identity', deadline, async (t) => {
  const { rules, port } = await house(t)
  rules.users = usersWith({ alice: ['old'], sender: [] })
  const sender = await connectRaw(t, port, { clientId: 'sender' })
  const alice = await connectRaw(t, port, { clientId: 'alice', answers: true })
  await sender.publishAcknowledged('new', 'topic of the day', { retain: true })
  rules.users = usersWith({ alice: ['new'], sender: [] })
  const identity = rules.identityOf('alice')!
  assert.equal(rules.broker.changeIdentity('alice', { ...identity, username: 'mallory' }), false)
  assert.equal(rules.broker.changeIdentity('nobody', identity), false)
  assert.equal(rules.broker.changeIdentity('alice', identity), true)
  assert.deepEqual(await alice.texts(1), ['topic of the day'])
  await sender.publishAcknowledged('old', 'not any more')
  await sender.publishAcknowledged('new', 'live')
  assert.deepEqual(await alice.texts(1), ['live'])
})
