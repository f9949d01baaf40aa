// Those who are not welcome: kicked, banned, guessing, coming and going, and publishing faster than they may.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Bans, checkBan } from '../../broker/bans.ts'
import { startBroker, temporaryFolder } from '../helpers/broker.ts'
import { runCommand } from '../helpers/command.ts'
import { HouseRules, pluginEntry } from '../helpers/house-rules.ts'
import { metric, openWith } from '../helpers/open-config.ts'
import { connectRaw, tryConnect } from '../helpers/raw-client.ts'

const deadline = { timeout: 60_000 }

async function house(t: TestContext, limits?: string) {
  const folder = await temporaryFolder(t)
  const rules = new HouseRules()
  const plugins = `[${pluginEntry(rules)}]`
  const config = openWith({ folder, plugins, metrics: true, ...(limits !== undefined && { limits }) })
  const broker = await startBroker(t, config, folder)
  const oriole = (...args: string[]) => runCommand(t, [...args, '--data', join(folder, 'data')])
  return { folder, rules, broker, port: broker.port(), oriole }
}

test('kick: ends the connection of a client, or all of a user, who may come back', deadline, async (t) => {
  const { port, oriole } = await house(t)
  const alice = await connectRaw(t, port, { clientId: 'phone', username: 'alice' })
  const tablet = await connectRaw(t, port, { clientId: 'tablet', username: 'alice', version: 4 })
  const bob = await connectRaw(t, port, { clientId: 'bob' })
  assert.deepEqual(await oriole('kick', 'phone'), { exitCode: 0, stdout: '1 connection ended\n', stderr: '' })
  await alice.disconnected(0x98)
  await connectRaw(t, port, { clientId: 'phone', username: 'alice' })
  assert.equal((await oriole('kick', '--user', 'alice')).stdout, '2 connections ended\n')
  await tablet.closed()
  assert.equal((await oriole('kick', 'nobody')).exitCode, 1)
  assert.equal((await oriole('kick')).exitCode, 2)
  await bob.nothing()
})

test('ban: a user, a client id, an address and a range are kept out at once, and let in again', deadline, async (t) => {
  const { broker, port, oriole } = await house(t)
  const mallory = { clientId: 'phone', username: 'mallory' }
  for (const target of [
    ['--user', 'mallory'],
    ['--client', 'phone'],
    ['--address', '127.0.0.1'],
    ['--address', '127.0.0.0/8'],
  ]) {
    const client = await connectRaw(t, port, mallory)
    const added = await oriole('ban', 'add', ...target, '--because', 'a test')
    assert.equal(added.exitCode, 0, added.stderr)
    await client.disconnected(0x98)
    assert.equal((await tryConnect(t, port, mallory)).code, 0x8a)
    assert.equal((await tryConnect(t, port, { ...mallory, version: 4 })).code, 5)
    assert.match((await oriole('ban', 'list')).stdout, /^\w+ +"[^"]+" for good: a test\n$/)
    assert.equal((await oriole('ban', 'remove', ...target)).exitCode, 0)
    await (await connectRaw(t, port, mallory)).leave()
  }
  assert.equal(await metric(broker, 'oriole_connects_banned_total{by="list"}'), 8)
  assert.equal((await oriole('ban', 'remove', '--user', 'mallory')).exitCode, 1)
  const wrong = await oriole('ban', 'add', '--address', '10.0.0.0/33')
  assert.deepEqual([wrong.exitCode, wrong.stderr.includes('ORI_BAN_INVALID')], [1, true])
})

test(
  'ban: it survives a restart, may be made while the broker is stopped, and ends when its time is over',
  deadline,
  async (t) => {
    const { folder, rules, broker, port, oriole } = await house(t)
    await oriole('ban', 'add', '--user', 'mallory')
    await broker.stop()
    assert.equal((await oriole('ban', 'add', '--user', 'eve', '--for', '1s')).exitCode, 0)
    const again = await startBroker(t, openWith({ folder, plugins: `[${pluginEntry(rules)}]` }), folder)
    assert.equal((await tryConnect(t, again.port(), { clientId: 'a', username: 'mallory' })).code, 0x8a)
    while ((await tryConnect(t, again.port(), { clientId: 'b', username: 'eve' })).code !== 0);
    assert.notEqual(port, 0)
  },
)

test('ban: a list that cannot be understood starts no broker, since nobody knows who is on it', deadline, async (t) => {
  const folder = await temporaryFolder(t)
  const path = join(folder, 'bans.json')
  const noAddress = '{"format":1,"bans":[{"kind":"address","value":"10.0.0.0/99","since":0}]}'
  for (const text of ['', '{', '{"format":1,"bans":[{"kind":"user"}]}', '{"format":2,"bans":[]}', noAddress]) {
    await writeFile(path, text)
    await assert.rejects(Bans.open(path), { code: 'ORI_BAN_FILE' })
  }
})

test('ban: addresses of IPv6 and IPv4 in IPv6 are compared as what they are', deadline, async () => {
  const bans = await Bans.open(undefined)
  const since = Date.now()
  bans.add({ kind: 'address', value: '192.0.2.0/24', since })
  bans.add({ kind: 'address', value: '2001:db8::/32', since, until: since + 1_000 })
  const find = (address: string, now = since) => bans.find({ clientId: 'c', username: undefined, address }, now)?.value
  assert.equal(find('192.0.2.7'), '192.0.2.0/24')
  assert.equal(find('::ffff:192.0.2.7'), '192.0.2.0/24')
  assert.equal(find('192.0.3.7'), undefined)
  assert.equal(find('2001:DB8:1::1'), '2001:db8::/32')
  assert.equal(find('2001:db8:1::1', since + 1_000), undefined)
  assert.equal(checkBan('address', '2001:DB8:0::1/64'), '2001:db8::1/64')
  assert.equal(checkBan('address', '::FFFF:192.0.2.7'), '192.0.2.7')
  for (const none of ['10.0.0.0/33', '10.0.0.0/8/8', 'fe80::1%lo', 'example.org', '']) {
    assert.throws(() => checkBan('address', none), { code: 'ORI_BAN_INVALID' })
  }
  assert.equal(find(''), undefined)
})

test('flapping: who comes and goes too often waits outside, and nobody else does', deadline, async (t) => {
  const { broker, port } = await house(t, 'flapping: { connects: 3, withinS: 60, banS: 300 }')
  for (let times = 0; times < 3; times += 1) await (await connectRaw(t, port, { clientId: 'flaps' })).leave()
  assert.equal((await tryConnect(t, port, { clientId: 'flaps' })).code, 0x8a)
  await connectRaw(t, port, { clientId: 'calm' })
  await connectRaw(t, port, { clientId: 'flaps', username: 'its owner elsewhere' })
  assert.equal(await metric(broker, 'oriole_connects_banned_total{by="flapping"}'), 1)
})

test('flapping: a pause goes on when a connection from before it ends', deadline, async (t) => {
  const { port } = await house(t, 'flapping: { connects: 2, withinS: 1, banS: 300 }')
  const begun = Date.now()
  for (let times = 0; times < 2; times += 1) await connectRaw(t, port, { clientId: 'flaps' })
  const last = await connectRaw(t, port, { clientId: 'flaps' })
  const clock = await connectRaw(t, port, { clientId: 'clock' })
  while (Date.now() < begun + 1_500) await clock.nothing()
  await last.leave()
  assert.equal((await tryConnect(t, port, { clientId: 'flaps' })).code, 0x8a)
})

test('failed logins: one address that tries many users is paused too, if that is set', deadline, async (t) => {
  const { rules, port } = await house(t, 'failedLogins: { perAddressPerMinute: 3, banS: 300 }')
  rules.users = new Map([['alice', {}]])
  for (const username of ['a', 'b', 'c']) assert.equal((await tryConnect(t, port, { clientId: username })).code, 0x86)
  assert.equal((await tryConnect(t, port, { clientId: 'alice' })).code, 0x8a)
})

test('connects of one user: above the rate refused with 0x9F', deadline, async (t) => {
  const { port } = await house(t, 'perUser: { connectsPerS: 1 }')
  const codes: number[] = []
  for (let n = 0; n < 14; n += 1) codes.push((await tryConnect(t, port, { clientId: `c${n}`, username: 'alice' })).code)
  assert.deepEqual(codes.slice(0, 10), Array(10).fill(0))
  assert.ok(codes.slice(10).includes(0x9f), String(codes))
  await connectRaw(t, port, { clientId: 'other', username: 'bob' })
})

test(
  'rates of users and groups: the sockets are read more slowly, together, and nothing is lost',
  deadline,
  async (t) => {
    const { broker, rules, port } = await house(
      t,
      'perUser: { publishPerS: 50 }, perGroup: { chatty: { publishPerS: 50 } }',
    )
    rules.groups = new Map([
      ['carol', ['chatty']],
      ['dave', ['chatty']],
    ])
    const listener = await connectRaw(t, port, { clientId: 'listener', answers: true })
    await listener.subscribe('#', { qos: 1 })
    const pairs = [
      ['alice', 'alice', 'user'],
      ['carol', 'dave', 'group'],
    ] as const
    for (const [one, other, by] of pairs) {
      const startedAt = performance.now()
      const clients = [
        await connectRaw(t, port, { clientId: `${by} one`, username: one }),
        await connectRaw(t, port, { clientId: `${by} other`, username: other }),
      ]
      // A second's worth at once, the rest at 50 a second.
      for (const client of clients) for (let n = 0; n < 60; n += 1) client.publish(by, `${n}`, { qos: 1 })
      await Promise.all(
        clients.map(async (client) => {
          for (let n = 0; n < 60; n += 1) await client.expect('puback')
        }),
      )
      await listener.texts(120)
      const seconds = (performance.now() - startedAt) / 1000
      assert.ok(seconds > 1.2, `120 messages at 50 a second took ${seconds} s`)
      assert.ok((await metric(broker, `oriole_publish_paused_total{by="${by}"}`)) > 0)
    }
  },
)
