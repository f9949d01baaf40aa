// Rights that change while members of a shared group are away: nobody's turn goes to one who may not take it.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { startBroker, type TestBroker, temporaryFolder } from '../helpers/broker.ts'
import { HouseRules, pluginEntry } from '../helpers/house-rules.ts'
import { openWith } from '../helpers/open-config.ts'
import { type ConnectOptions, connectRaw, kept, type RawClient } from '../helpers/raw-client.ts'
import { snapshot } from '../helpers/snapshot.ts'

const deadline = { timeout: 30_000 }
const filter = '$share/workers/jobs/#'
const jobs = Array.from({ length: 6 }, (_, index) => `jobs/${index}`)

interface Team {
  readonly rules: HouseRules
  readonly sender: RawClient
  come(name: string, options?: ConnectOptions): Promise<RawClient>
  publishAll(): Promise<void>
}

/** Alice and bob have subscribed, and are away. */
async function team(t: TestContext): Promise<Team> {
  const rules = new HouseRules()
  const broker = await startBroker(t, openWith({ plugins: `[${pluginEntry(rules)}]` }))
  const come: Team['come'] = (name, options = { answers: true }) =>
    connectRaw(t, broker.port(), { ...kept(name), username: name, ...options })
  for (const name of ['alice', 'bob']) {
    const client = await come(name)
    assert.deepEqual(await client.subscribe(filter, { qos: 1 }), [1])
    await client.leave()
  }
  const sender = await connectRaw(t, broker.port(), { clientId: 'sender' })
  const publishAll = async () => {
    for (const topic of jobs) assert.equal(await sender.publishAcknowledged(topic, topic), 0)
  }
  return { rules, sender, come, publishAll }
}

const not = (name: string) => (client: { readonly id: string }) => client.id !== name

test('shared: who lost the right while it was away gets no turn', deadline, async (t) => {
  const { rules, come, publishAll } = await team(t)
  rules.subscribe = not('bob')
  await rules.changed()
  await publishAll()
  assert.deepEqual((await (await come('alice')).texts(6)).sort(), jobs)
  await (await come('bob')).nothing()
})

test('shared: turns that wait for one who loses the right go to others at once', deadline, async (t) => {
  const { rules, come, publishAll } = await team(t)
  await publishAll()
  rules.subscribe = not('bob')
  await rules.changed()
  const alice = await come('alice')
  assert.deepEqual((await alice.texts(6)).sort(), jobs)
  await (await come('bob')).nothing()
  await alice.nothing()
})

test('shared: the same for a user who is removed, and for a group that is left', deadline, async (t) => {
  for (const isRemoved of [true, false]) {
    const { rules, come, publishAll } = await team(t)
    rules.groups = new Map(['alice', 'bob'].map((name) => [name, ['workers']]))
    if (isRemoved) rules.users = new Map([['alice', {}]])
    else {
      rules.groups = new Map([['alice', ['workers']]])
      rules.subscribe = ({ identity }) => identity.groups.includes('workers')
    }
    await rules.changed(({ identity }) => identity.username === 'bob')
    await publishAll()
    assert.deepEqual((await (await come('alice')).texts(6)).sort(), jobs)
  }
})

test('shared: a topic that is withheld from one who is away is the turn of others', deadline, async (t) => {
  const { rules, come, publishAll } = await team(t)
  rules.subscribe = ({ id }) => ({ allow: true, ...(id === 'bob' && { withhold: (topic) => topic > 'jobs/2' }) })
  await rules.changed()
  await publishAll()
  const [alice, bob] = [await come('alice'), await come('bob')]
  const ofBob = await textsNow(bob)
  assert.ok(ofBob.length > 0 && ofBob.every((topic) => topic <= 'jobs/2'), String(ofBob))
  assert.deepEqual([...(await textsNow(alice)), ...ofBob].sort(), jobs)
})

test('shared: when nobody may have it, it waits, and is there when the right is back', deadline, async (t) => {
  const { rules, come, publishAll } = await team(t)
  rules.subscribe = () => false
  await rules.changed()
  await publishAll()
  rules.subscribe = () => true
  await rules.changed()
  const [alice, bob] = [await come('alice'), await come('bob')]
  assert.deepEqual([...(await textsNow(alice)), ...(await textsNow(bob))].sort(), jobs)
})

test('shared: what a connected member may not have any more waits for one who is away', deadline, async (t) => {
  const { rules, come, publishAll } = await team(t)
  const bob = await come('bob', { properties: { sessionExpiryInterval: 3600, receiveMaximum: 2 } })
  await publishAll()
  const sent = await bob.texts(2)
  rules.subscribe = not('bob')
  await rules.changed()
  await bob.nothing()
  // What he has not acknowledged is hers when he leaves.
  await bob.cut()
  const alice = await come('alice')
  assert.deepEqual((await alice.texts(6)).sort(), jobs)
  assert.equal(sent.length, 2)
})

test('shared: turns of one who lost the right while the broker did not run go to others', deadline, async (t) => {
  const folder = await temporaryFolder(t)
  const rules = new HouseRules()
  const start = () => startBroker(t, openWith({ plugins: `[${pluginEntry(rules)}]`, folder }))
  const broker = await start()
  const come = async ({ port }: TestBroker, name: string) =>
    connectRaw(t, port(), { ...kept(name), username: name, answers: true })
  for (const name of ['alice', 'bob']) {
    const client = await come(broker, name)
    assert.deepEqual(await client.subscribe(filter, { qos: 1 }), [1])
    await client.leave()
  }
  const sender = await connectRaw(t, broker.port(), { clientId: 'sender' })
  for (const topic of jobs) await sender.publishAcknowledged(topic, topic)
  await broker.stop()

  rules.subscribe = not('bob')
  const again = await start()
  const alice = await come(again, 'alice')
  assert.deepEqual((await alice.texts(6)).sort(), jobs)
  await alice.leave()
  await again.stop()

  // And who is not known any more.
  rules.subscribe = () => true
  rules.users = new Map([['bob', {}]])
  const third = await start()
  const late = await connectRaw(t, third.port(), { clientId: 'sender', username: 'bob' })
  for (const topic of jobs) await late.publishAcknowledged(topic, topic)
  assert.deepEqual((await (await come(third, 'bob')).texts(6)).sort(), jobs)
})

for (const hook of ['identify', 'authorizeSubscribe'] as const) {
  test(`shared: whose plugin fails in ${hook} at the start keeps its turns`, deadline, async (t) => {
    const folder = await temporaryFolder(t)
    const rules = new HouseRules()
    const start = () => startBroker(t, openWith({ plugins: `[${pluginEntry(rules)}]`, folder }))
    const broker = await start()
    for (const name of ['alice', 'bob']) {
      const client = await connectRaw(t, broker.port(), { ...kept(name), username: name })
      await client.subscribe(filter, { qos: 1 })
      await client.leave()
    }
    await broker.stop()
    const asked = new Promise<void>((resolve) => {
      const failForBob = (username: string): void => {
        if (username !== 'bob') return
        resolve()
        throw new Error('planted')
      }
      if (hook === 'authorizeSubscribe') {
        rules.subscribe = ({ identity }) => {
          failForBob(identity.username)
          return true
        }
      } else {
        rules.identify = (identity) => {
          failForBob(identity.username)
          return identity
        }
      }
    })
    const again = await start()
    await asked
    rules.identify = undefined
    rules.subscribe = () => true
    const sender = await connectRaw(t, again.port(), { clientId: 'sender' })
    for (const topic of jobs) await sender.publishAcknowledged(topic, topic)
    const bob = await connectRaw(t, again.port(), { ...kept('bob'), username: 'bob', answers: true })
    assert.equal((await textsNow(bob)).length, 3)
  })
}

test('shared: the same for who was connected when the broker was killed', deadline, async (t) => {
  const [folder, copy] = [await temporaryFolder(t), await temporaryFolder(t)]
  const rules = new HouseRules()
  const plugins = `[${pluginEntry(rules)}]`
  const broker = await startBroker(t, openWith({ plugins, folder }))
  for (const name of ['alice', 'bob']) {
    const client = await connectRaw(t, broker.port(), { ...kept(name), username: name })
    assert.deepEqual(await client.subscribe(filter, { qos: 1 }), [1])
  }
  await snapshot(`${folder}/data`, `${copy}/data`)

  rules.subscribe = not('bob')
  const again = await startBroker(t, openWith({ plugins, folder: copy }))
  const sender = await connectRaw(t, again.port(), { clientId: 'sender' })
  for (const topic of jobs) await sender.publishAcknowledged(topic, topic)
  const alice = await connectRaw(t, again.port(), { ...kept('alice'), username: 'alice', answers: true })
  assert.deepEqual((await alice.texts(6)).sort(), jobs)
})

/** All that the broker had for it. */
async function textsNow(client: RawClient): Promise<string[]> {
  client.send({ cmd: 'pingreq' })
  const texts: string[] = []
  for (let packet = await client.next(); packet.cmd !== 'pingresp'; packet = await client.next()) {
    if (packet.cmd === 'publish') texts.push(packet.payload.toString())
  }
  return texts
}
