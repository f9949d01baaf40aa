// Rights that change while clients are connected: subscriptions, what waits for them, identities and wills.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { startBroker, type TestBroker } from '../helpers/broker.ts'
import { HouseRules, pluginEntry } from '../helpers/house-rules.ts'
import { openWith } from '../helpers/open-config.ts'
import { connectRaw, kept, type RawClient, tryConnect } from '../helpers/raw-client.ts'

const deadline = { timeout: 20_000 }

async function house(t: TestContext, limits?: string): Promise<{ rules: HouseRules; broker: TestBroker }> {
  const rules = new HouseRules()
  const plugins = `[${pluginEntry(rules)}]`
  return { rules, broker: await startBroker(t, openWith({ plugins, ...(limits !== undefined && { limits }) })) }
}

/** Of a publisher that may publish everything: acknowledged, so that it has its place. */
async function publish(publisher: RawClient, topic: string, text: string): Promise<void> {
  await publisher.publishAcknowledged(topic, text)
}

test('rights: who is denied is not let in, whatever else the answer of a plugin has', deadline, async (t) => {
  const rules = new HouseRules()
  const broker = await startBroker(t, openWith({ plugins: `[${pluginEntry(rules)}]` }))
  for (const identity of [{ username: 'root', groups: [], roles: [], attributes: {} }, undefined]) {
    const answer = { deny: 'wrong password', identity }
    for (const given of [answer, Promise.resolve(answer)]) {
      rules.authenticate = () => given as never
      assert.equal((await tryConnect(t, broker.port(), { username: 'root' })).code, 0x86)
    }
  }
})

test('rights: a live subscription that is denied now ends, the others stay', deadline, async (t) => {
  const { rules, broker } = await house(t)
  const alice = await connectRaw(t, broker.port(), { clientId: 'alice', answers: true })
  const bob = await connectRaw(t, broker.port(), { clientId: 'bob', answers: true })
  const sender = await connectRaw(t, broker.port(), { clientId: 'sender' })
  for (const client of [alice, bob]) await client.subscribe(['a', 'b', '$share/g/c'], { qos: 1 })
  rules.subscribe = ({ id }, { filter }) => id !== 'alice' || filter === 'b'
  assert.deepEqual(await rules.changed(), { clients: 3, asked: 6, ended: 2, disconnected: 0 })
  for (const topic of ['a', 'b', 'c', 'c']) await publish(sender, topic, `to ${topic}`)
  assert.deepEqual(await alice.texts(1), ['to b'])
  await alice.nothing()
  assert.deepEqual(await bob.texts(4), ['to a', 'to b', 'to c', 'to c'])
})

test('rights: only whom the change affects is asked', deadline, async (t) => {
  const { rules, broker } = await house(t)
  for (const clientId of ['alice', 'bob']) {
    const client = await connectRaw(t, broker.port(), { clientId })
    await client.subscribe(['a', 'b'])
  }
  const asked = await rules.changed(({ id }) => id === 'bob')
  assert.deepEqual(asked, { clients: 1, asked: 2, ended: 0, disconnected: 0 })
})

test('rights: what waits behind the window is let go, what was sent is not', deadline, async (t) => {
  const { rules, broker } = await house(t)
  for (const options of [kept('alice'), { clientId: 'alice' }]) {
    rules.subscribe = () => true
    const alice = await connectRaw(t, broker.port(), {
      ...options,
      properties: { ...options.properties, receiveMaximum: 1 },
    })
    const sender = await connectRaw(t, broker.port(), { clientId: 'sender' })
    await alice.subscribe(['secret', 'open'], { qos: 1 })
    for (const text of ['1', '2', '3']) await publish(sender, 'secret', text)
    await publish(sender, 'open', '4')
    const first = await alice.expect('publish')
    rules.subscribe = (_, { filter }) => filter !== 'secret'
    await rules.changed()
    alice.acknowledge(first)
    assert.deepEqual(await alice.texts(1), ['4'])
    await alice.leave()
  }
})

test('rights: a withhold that comes later holds for what waits, and ends when the rule does', deadline, async (t) => {
  const { rules, broker } = await house(t)
  const alice = await connectRaw(t, broker.port(), {
    ...kept('alice'),
    properties: { sessionExpiryInterval: 60, receiveMaximum: 1 },
  })
  const sender = await connectRaw(t, broker.port(), { clientId: 'sender' })
  await alice.subscribe('#', { qos: 1 })
  for (const topic of ['a', 'b', 'c']) await publish(sender, topic, topic)
  const first = await alice.expect('publish')
  rules.subscribe = () => ({ allow: true, withhold: (topic) => topic === 'b' })
  await rules.changed()
  alice.acknowledge(first)
  const next = await alice.expect('publish')
  assert.equal(next.payload.toString(), 'c')
  alice.acknowledge(next)
  await publish(sender, 'b', 'withheld')
  rules.subscribe = () => true
  await rules.changed()
  await publish(sender, 'b', 'free')
  assert.equal((await alice.expect('publish')).payload.toString(), 'free')
})

test('rights: QoS is lowered, also of what waits', deadline, async (t) => {
  const { rules, broker } = await house(t)
  const alice = await connectRaw(t, broker.port(), { clientId: 'alice', properties: { receiveMaximum: 1 } })
  const sender = await connectRaw(t, broker.port(), { clientId: 'sender' })
  await alice.subscribe('a', { qos: 2 })
  for (const text of ['1', '2']) await publish(sender, 'a', text)
  const first = await alice.expect('publish')
  rules.subscribe = () => ({ allow: true, maxQos: 0 })
  await rules.changed()
  alice.acknowledge(first)
  const second = await alice.expect('publish')
  assert.deepEqual([second.payload.toString(), second.qos], ['2', 0])
})

test(
  'rights: in flight and not yet sent again, QoS 1 and 2, is not sent to who lost the right',
  deadline,
  async (t) => {
    const { rules, broker } = await house(t)
    const first = await connectRaw(t, broker.port(), kept('alice'))
    const sender = await connectRaw(t, broker.port(), { clientId: 'sender', answers: true })
    await first.subscribe('one', { qos: 1 })
    await first.subscribe('two', { qos: 2 })
    await first.subscribe('open', { qos: 1 })
    await publish(sender, 'one', '1')
    sender.publish('two', '2', { qos: 2 })
    await sender.expect('pubrec')
    await publish(sender, 'open', '3')
    for (const text of ['1', '2', '3']) assert.equal((await first.expect('publish')).payload.toString(), text)
    await first.cut()
    rules.subscribe = (_, { filter }) => filter === 'open'
    await rules.changed()
    const again = await connectRaw(t, broker.port(), kept('alice'))
    // The client may have the QoS 2 message, and waits for PUBREL under this packet identifier.
    const pubrel = await again.expect('pubrel')
    again.send({ cmd: 'pubcomp', messageId: pubrel.messageId! })
    const only = await again.expect('publish')
    assert.deepEqual([only.payload.toString(), only.dup], ['3', true])
    await again.nothing()
  },
)

test('rights: what a client gave up itself is still owed, until it may not have it any more', deadline, async (t) => {
  const { rules, broker } = await house(t)
  for (const may of [true, false]) {
    rules.subscribe = () => true
    const clientId = `alice-${may}`
    const first = await connectRaw(t, broker.port(), kept(clientId))
    const sender = await connectRaw(t, broker.port(), { clientId: 'sender' })
    await first.subscribe('a', { qos: 1 })
    await publish(sender, 'a', 'owed')
    await first.expect('publish')
    first.send({ cmd: 'unsubscribe', messageId: 7, unsubscriptions: ['a'] })
    await first.expect('unsuback')
    await first.cut()
    rules.subscribe = () => may
    await rules.changed()
    const again = await connectRaw(t, broker.port(), kept(clientId))
    if (may) assert.deepEqual(await again.texts(1), ['owed'])
    else await again.nothing()
  }
})

test('rights: an answer by the old rules that comes after the change counts no more', deadline, async (t) => {
  const { rules, broker } = await house(t)
  const alice = await connectRaw(t, broker.port(), { clientId: 'alice' })
  let answer: ((may: boolean) => void) | undefined
  const isAsked = new Promise<void>((asked) => {
    rules.subscribe = () =>
      new Promise((resolve) => {
        answer = resolve
        asked()
      })
  })
  const granted = alice.subscribe('a')
  await isAsked
  rules.subscribe = () => false
  await rules.changed()
  answer?.(true)
  assert.deepEqual(await granted, [0x87])
})

test('rights: a group that is taken away changes who the client is without a disconnect', deadline, async (t) => {
  const { rules, broker } = await house(t)
  rules.groups = new Map(['alice', 'bob'].map((name) => [name, ['family']]))
  rules.subscribe = ({ identity }, { filter }) => identity.groups.includes(filter)
  rules.publish = ({ identity }, { topic }) => identity.groups.includes(topic)
  const alice = await connectRaw(t, broker.port(), { clientId: 'alice' })
  assert.deepEqual(await alice.subscribe('family'), [0])
  const bob = await connectRaw(t, broker.port(), { clientId: 'bob' })
  await publish(bob, 'family', 'hello')
  assert.deepEqual(await alice.texts(1), ['hello'])
  rules.groups = new Map([['bob', ['family']]])
  assert.deepEqual(await rules.changed(), { clients: 2, asked: 1, ended: 1, disconnected: 0 })
  await publish(bob, 'family', 'among us')
  await alice.nothing()
  assert.equal(await alice.publishAcknowledged('family', 'no more'), 0x87)
})

test('rights: a user that is gone is disconnected, and its will is not published', deadline, async (t) => {
  const { rules, broker } = await house(t)
  rules.users = new Map([
    ['alice', {}],
    ['bob', {}],
  ])
  const watcher = await connectRaw(t, broker.port(), { clientId: 'bob' })
  await watcher.subscribe('will/#')
  const will = { topic: 'will/alice', payload: Buffer.from('gone'), qos: 0 as const, retain: false }
  const delayed = { ...will, properties: { willDelayInterval: 1 } }
  const alice = await connectRaw(t, broker.port(), { clientId: 'alice', will })
  const away = await connectRaw(t, broker.port(), { ...kept('alice2'), username: 'alice', will: delayed })
  await away.cut()
  rules.users = new Map([['bob', {}]])
  assert.deepEqual(await rules.changed(), { clients: 2, asked: 1, ended: 0, disconnected: 1 })
  await alice.disconnected(0x87)
  // Its will comes after the one that waits.
  const later = { ...will, topic: 'will/bob', properties: { willDelayInterval: 2 } }
  const bob = await connectRaw(t, broker.port(), { ...kept('bob2'), username: 'bob', will: later })
  await bob.cut()
  const published = await watcher.expect('publish')
  assert.equal(published.topic, 'will/bob')
  assert.equal((await tryConnect(t, broker.port(), { clientId: 'alice' })).code, 0x86)
})

test(
  'rights: of a shared group nobody gets what it may not have, and nothing is lost for the others',
  deadline,
  async (t) => {
    const { rules, broker } = await house(t)
    const filter = '$share/workers/jobs/#'
    const jobs = Array.from({ length: 8 }, (_, index) => `jobs/${index % 3 === 0 ? 'secret' : 'open'}`)
    const sender = await connectRaw(t, broker.port(), { clientId: 'sender' })
    const isOf = (name: string) => (id: string) => id === name

    // Withheld from a member: its turns are those of the others.
    rules.subscribe = ({ id }) => ({
      allow: true,
      ...(isOf('bob')(id) && { withhold: (topic) => topic === 'jobs/secret' }),
    })
    const alice = await connectRaw(t, broker.port(), { ...kept('alice'), answers: true })
    const bob = await connectRaw(t, broker.port(), { ...kept('bob'), answers: true })
    for (const client of [alice, bob]) await client.subscribe(filter, { qos: 1 })
    for (const topic of jobs) await publish(sender, topic, topic)
    const [ofAlice, ofBob] = [await topicsOf(alice), await topicsOf(bob)]
    assert.deepEqual([...ofAlice, ...ofBob].sort(), [...jobs].sort())
    assert.ok(ofBob.length > 0 && !ofBob.includes('jobs/secret'))

    // Turns that wait for one who lost the right while it was away go to the others when it comes back.
    await alice.leave()
    await bob.leave()
    for (const topic of jobs) await publish(sender, topic, topic)
    rules.subscribe = ({ id }) => isOf('alice')(id)
    const first = await connectRaw(t, broker.port(), { ...kept('alice'), answers: true })
    const second = await connectRaw(t, broker.port(), kept('bob'))
    await second.nothing()
    const topics: string[] = []
    while (topics.length < jobs.length) topics.push((await first.expect('publish')).topic)
    assert.deepEqual(topics.sort(), [...jobs].sort())
    await second.nothing()
  },
)

/** Of all messages that the broker had for it. */
async function topicsOf(client: RawClient): Promise<string[]> {
  client.send({ cmd: 'pingreq' })
  const topics: string[] = []
  for (;;) {
    const packet = await client.next()
    if (packet.cmd === 'pingresp') return topics
    if (packet.cmd === 'publish') topics.push(packet.topic)
  }
}
