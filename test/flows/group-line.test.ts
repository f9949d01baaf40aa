// A group is one line: put into it or taken out of it, somebody has or loses rights, subscription and room, while connected.
import assert from 'node:assert/strict'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { MqttClient } from 'mqtt'
import { makeToken } from '../../broker/password.ts'
import { startBroker, temporaryFolder } from '../helpers/broker.ts'
import { connectClient, type TestClient } from '../helpers/client.ts'

const rounds = 10
const withinMs = 1_000

const config = (folder: string) => `
listeners: [{ name: tcp, type: tcp, port: 0 }]
store: { type: level, path: ${join(folder, 'data')} }
admin: { enabled: false }
plugins:
  - auth-file: { users: users.yaml, admin: false }
  - groups: { file: groups.yaml }
  - acl-file: { rules: acl.yaml }
`

const rules = `- allow: { subscribe: ["im/u/{user}/#"], publish: ["im/u/+/{user}"] }
- allow: { groups: "*", subscribe: ["im/g/{group}/#"], publish: ["im/g/{group}/{user}"] }
`

async function house(t: TestContext, groups: string) {
  const folder = await temporaryFolder(t)
  const tokens = { alice: makeToken(), bob: makeToken() }
  await writeFile(join(folder, 'users.yaml'), `alice: "${tokens.alice.hash}"\nbob: "${tokens.bob.hash}"\n`)
  await writeFile(join(folder, 'acl.yaml'), rules)
  /** Resolves with the moment at which it was done. */
  const setGroups = async (content: string): Promise<number> => {
    await writeFile(join(folder, 'groups.yaml.new'), content)
    await rename(join(folder, 'groups.yaml.new'), join(folder, 'groups.yaml'))
    return performance.now()
  }
  await setGroups(groups)
  const broker = await startBroker(t, config(folder), folder)
  const connect = (username: 'alice' | 'bob') =>
    connectClient(t, broker.url(), {
      username,
      password: tokens[username].token,
      clientId: `${username}-phone`,
      protocolVersion: 5,
      clean: false,
      properties: { sessionExpiryInterval: 3_600 },
    })
  return { setGroups, connect }
}

async function mayPublish(client: MqttClient, topic: string): Promise<boolean> {
  try {
    await client.publishAsync(topic, '?', { qos: 1 })
    return true
  } catch (error) {
    // Not authorized; anything else is a failure.
    assert.equal((error as { code?: number }).code, 0x87)
    return false
  }
}

/** How long after `since` the answer was this one. */
async function untilMay(client: MqttClient, topic: string, wanted: boolean, since: number): Promise<number> {
  while ((await mayPublish(client, topic)) !== wanted) {
    assert.ok(
      performance.now() - since < withinMs,
      `${topic}: not ${wanted ? 'allowed' : 'denied'} after ${withinMs} ms`,
    )
  }
  return performance.now() - since
}

const inRoom = ({ received }: TestClient) =>
  received.filter(({ topic, text }) => topic === 'im/g/family/alice' && text !== '?')

test(`a group is one line: in and out ${rounds} times, each within a second and without a new login`, {
  timeout: 120_000,
}, async (t) => {
  const out = 'family: { members: [alice], subscribe: "im/g/{group}/#" }\n'
  const member = 'family: { members: [alice, bob], subscribe: "im/g/{group}/#" }\n'
  const { setGroups, connect } = await house(t, out)
  const alice = await connect('alice')
  const bob = await connect('bob')
  await bob.client.subscribeAsync('im/u/bob/#', { qos: 1 })
  const times = { in: 0, out: 0 }
  let marks = 0
  /** All that was published for bob before it has come. */
  const settled = async () => {
    marks += 1
    await alice.client.publishAsync('im/u/bob/alice', `mark ${marks}`, { qos: 1 })
    while (!bob.received.some(({ text }) => text === `mark ${marks}`)) await bob.messages(bob.received.length + 1)
  }
  for (let round = 0; round < rounds; round++) {
    times.in = Math.max(times.in, await untilMay(bob.client, 'im/g/family/bob', true, await setGroups(member)))
    await alice.client.publishAsync('im/g/family/alice', `hello ${round}`, { qos: 1 })
    await settled()
    assert.equal(inRoom(bob).at(-1)?.text, `hello ${round}`)

    times.out = Math.max(times.out, await untilMay(bob.client, 'im/g/family/bob', false, await setGroups(out)))
    await alice.client.publishAsync('im/g/family/alice', `secret ${round}`, { qos: 1 })
    await settled()
    assert.equal(inRoom(bob).at(-1)?.text, `hello ${round}`)
  }
  assert.equal(inRoom(bob).length, rounds)
  t.diagnostic(`in after at most ${times.in.toFixed()} ms, out after at most ${times.out.toFixed()} ms`)
})

test('a group is one line: what waited for a member who is away is not delivered when it is none any more', {
  timeout: 60_000,
}, async (t) => {
  const member = 'family: { members: [alice, bob], subscribe: "im/g/{group}/#" }\n'
  const { setGroups, connect } = await house(t, member)
  const alice = await connect('alice')
  const bob = await connect('bob')
  await bob.client.subscribeAsync('im/u/bob/#', { qos: 1 })
  await bob.end()
  await alice.client.publishAsync('im/g/family/alice', 'kept', { qos: 1 })
  const again = await connect('bob')
  assert.equal((await again.messages(1))[0]?.text, 'kept')
  await again.end()

  await alice.client.publishAsync('im/g/family/alice', 'secret', { qos: 1 })
  await alice.client.publishAsync('im/u/bob/alice', 'for you', { qos: 1 })
  const since = await setGroups('family: { members: [alice], muted: [alice], subscribe: "im/g/{group}/#" }\n')
  await untilMay(alice.client, 'im/g/family/alice', false, since)
  const outside = await connect('bob')
  assert.deepEqual(
    (await outside.messages(1)).map(({ text }) => text),
    ['for you'],
  )
  assert.deepEqual(inRoom(outside), [])
  assert.equal(await mayPublish(outside.client, 'im/g/family/bob'), false)
})

test('a group is one line: of a group within a group, and of one that is no more', { timeout: 60_000 }, async (t) => {
  const { setGroups, connect } = await house(
    t,
    'all: { groups: [staff], subscribe: "im/g/{group}/#" }\nstaff: { members: [bob] }\n',
  )
  const bob = await connect('bob')
  assert.equal(await mayPublish(bob.client, 'im/g/all/bob'), true)
  await untilMay(
    bob.client,
    'im/g/all/bob',
    false,
    await setGroups('all: { subscribe: "im/g/{group}/#" }\nstaff: { members: [bob] }\n'),
  )
  assert.equal(await mayPublish(bob.client, 'im/g/staff/bob'), true)
  await untilMay(bob.client, 'im/g/staff/bob', false, await setGroups('{}\n'))
})
