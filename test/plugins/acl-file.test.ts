// acl-file: rules from a real file, asked through the hook runner.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { ClientInfo, Decision, SubscribeDecision } from '../../broker/plugin.ts'
import { clientOf, load, replaceFile } from '../helpers/plugins.ts'

const deadline = { timeout: 30_000 }

async function acl(t: TestContext, rules: string) {
  const { hooks } = await load(t, { 'oriole.yaml': 'plugins:\n  - acl-file: { rules: acl.yaml }\n', 'acl.yaml': rules })
  return {
    publish(client: ClientInfo, topic: string, qos: 0 | 1 | 2 = 1, retain = false): Decision {
      const decision = hooks.authorizePublish(client, { topic, qos, retain, will: false })
      assert.ok(!(decision instanceof Promise), 'the answer is synchronous')
      return decision
    },
    subscribe(client: ClientInfo, filter: string, qos: 0 | 1 | 2 = 1): SubscribeDecision {
      const decision = hooks.authorizeSubscribe(client, { filter, qos, share: undefined })
      assert.ok(!(decision instanceof Promise), 'the answer is synchronous')
      return decision
    },
  }
}

const alice = clientOf('alice', { groups: ['family'] })
const bob = clientOf('bob', { groups: ['family', 'ops'] })
const mallory = clientOf('mallory')

test('acl-file: no rule, no access', deadline, async (t) => {
  const { publish, subscribe } = await acl(t, '[]')
  assert.deepEqual(publish(alice, 'a'), { allow: false, because: 'acl.yaml: no rule allows it' })
  assert.equal(subscribe(alice, 'a').allow, false)
})

test(
  'acl-file: the answer names file, line, column and rule, and is the same object each time',
  deadline,
  async (t) => {
    const { publish } = await acl(t, '# one to one\n- allow: { publish: ["im/u/+/{user}"] }\n')
    const decision = publish(alice, 'im/u/bob/alice')
    assert.deepEqual(decision, { allow: true, because: 'acl.yaml:2:3 allow publish im/u/+/{user}' })
    assert.equal(publish(alice, 'im/u/bob/alice'), decision)
    assert.equal(publish(alice, 'im/u/carol/alice'), decision)
    assert.equal(publish(alice, 'im/u/bob/mallory').allow, false)
  },
)

test('acl-file: deny wins over allow, wherever it stands', deadline, async (t) => {
  const { publish, subscribe } = await acl(
    t,
    `- deny: { users: [mallory], publish: ["a/secret"], subscribe: ["a/secret"] }
- allow: { publish: ["a/#"], subscribe: ["a/#"] }
- deny: { users: [mallory], publish: ["a/other"] }
`,
  )
  assert.equal(publish(alice, 'a/secret').allow, true)
  assert.equal(publish(mallory, 'a/secret').because, 'acl.yaml:1:3 deny publish a/secret')
  assert.equal(publish(mallory, 'a/other').allow, false)
  assert.equal(publish(mallory, 'a/free').allow, true)
  assert.equal(subscribe(mallory, 'a/secret').allow, false)
})

test('acl-file: all conditions of a rule must hold, and one of each list', deadline, async (t) => {
  const { publish } = await acl(
    t,
    `- allow: { users: [alice, bob], groups: ops, publish: [both] }
- allow: { roles: ["admin:family"], publish: [role] }
- allow: { clients: [tablet], publish: [client] }
- allow: { groups: "*", publish: [grouped] }
`,
  )
  assert.equal(publish(alice, 'both').allow, false)
  assert.equal(publish(bob, 'both').allow, true)
  assert.equal(publish(clientOf('carol', { groups: ['ops'] }), 'both').allow, false)
  assert.equal(publish(alice, 'role').allow, false)
  assert.equal(publish(clientOf('alice', { roles: ['admin:family'] }), 'role').allow, true)
  assert.equal(publish(alice, 'client').allow, false)
  assert.equal(publish(clientOf('alice', { id: 'tablet' }), 'client').allow, true)
  assert.equal(publish(alice, 'grouped').allow, true)
  assert.equal(publish(mallory, 'grouped').allow, false)
})

test('acl-file: {group} is each group of the user, or each of those that the rule lists', deadline, async (t) => {
  const { publish, subscribe } = await acl(
    t,
    `- allow: { groups: "*", subscribe: ["im/g/{group}/#"], publish: ["im/g/{group}/{user}"] }
- allow: { groups: [ops], publish: ["log/{group}"] }
`,
  )
  assert.equal(subscribe(bob, 'im/g/family/#').allow, true)
  assert.equal(subscribe(bob, 'im/g/ops/+').allow, true)
  assert.equal(subscribe(alice, 'im/g/ops/#').allow, false)
  assert.equal(subscribe(alice, 'im/g/+/#').allow, false)
  assert.equal(publish(alice, 'im/g/family/bob').allow, false)
  assert.equal(publish(bob, 'log/ops').allow, true)
  assert.equal(publish(bob, 'log/family').allow, false)
})

test('acl-file: a name that would be more than a part of one level fits no allow', deadline, async (t) => {
  const rules = `- allow: { subscribe: ["u/{user}/#", "c/{client}"], publish: ["u/{user}"] }
- allow: { groups: "*", subscribe: ["g/{group}/#"] }
`
  const { publish, subscribe } = await acl(t, rules)
  for (const name of ['+', '#', 'a/b', '', '$SYS', 'a\u0000', 'a\nb', 'a+']) {
    const strange = clientOf(name, { groups: [name], id: name })
    for (const filter of [`u/${name}/#`, 'u/+/#', 'u/#', `c/${name}`, 'c/+', `g/${name}/#`, 'g/+/#']) {
      assert.equal(subscribe(strange, filter).allow, false, JSON.stringify([name, filter]))
    }
    assert.equal(publish(strange, `u/${name}`).allow, false)
  }
})

test('acl-file: {attr.NAME} is what the user has, and who has nothing gets nothing', deadline, async (t) => {
  const { publish, subscribe } = await acl(
    t,
    `- allow: { publish: ["t/{attr.tenant}/#"], subscribe: ["t/{attr.tenant}/+/{attr.site}"] }
- allow: { subscribe: ["log/#"] }
- deny: { subscribe: ["log/{attr.tenant}/secret"] }
`,
  )
  const acme = clientOf('dave', { attributes: { tenant: 'acme', site: 'north' } })
  assert.equal(publish(acme, 't/acme/x').allow, true)
  assert.equal(publish(acme, 't/other/x').allow, false)
  assert.equal(subscribe(acme, 't/acme/+/north').allow, true)
  assert.equal(subscribe(acme, 't/acme/+/south').allow, false)
  for (const value of ['', '+', '#', 'a/b', '$SYS', 'x\n']) {
    const strange = clientOf('dave', { attributes: { tenant: value, site: value } })
    assert.equal(publish(strange, `t/${value}/x`).allow, false, value)
    assert.equal(subscribe(strange, 't/+/#').allow, false, value)
  }
  // Neither an attribute that is not there, nor what every object has.
  assert.equal(publish(alice, 't//x').allow, false)
  const { publish: byConstructor } = await acl(t, '- allow: { publish: ["t/{attr.constructor}/x"] }\n')
  assert.equal(byConstructor(alice, `t/${String(Object)}/x`).allow, false)
  assert.equal(subscribe(acme, 'log/#').withhold?.('log/acme/secret'), true)
  assert.equal(subscribe(acme, 'log/#').withhold?.('log/other/secret'), false)
  assert.equal(subscribe(alice, 'log/#').withhold?.('log/other/secret'), true)
})

test('acl-file: a muted member reads in the group and writes nothing by it', deadline, async (t) => {
  const { publish, subscribe } = await acl(
    t,
    `- allow: { groups: "*", subscribe: ["im/g/{group}/#"], publish: ["im/g/{group}/{user}"] }
- allow: { groups: [family, ops], publish: ["both"] }
- allow: { publish: ["own/{user}"] }
`,
  )
  const muted = clientOf('bob', { groups: ['family', 'ops'], roles: ['muted:family'] })
  assert.equal(subscribe(muted, 'im/g/family/#').allow, true)
  assert.equal(publish(muted, 'im/g/family/bob').allow, false)
  assert.equal(publish(muted, 'im/g/ops/bob').allow, true)
  assert.equal(publish(muted, 'both').allow, true)
  assert.equal(publish(clientOf('bob', { groups: ['family'], roles: ['muted:family'] }), 'both').allow, false)
  assert.equal(publish(muted, 'own/bob').allow, true)
})

test('acl-file: a rule may ask where a client comes from', deadline, async (t) => {
  const { publish } = await acl(
    t,
    `- allow: { addresses: [10.0.0.0/8, "fd00::/8", 192.168.1.7], publish: [home] }
- allow: { listeners: [tls], publish: [safe] }
- deny: { addresses: 10.6.6.0/24, publish: [home] }
`,
  )
  const from = (address: string, listener = 'tcp') => ({ ...alice, address, listener })
  for (const address of ['10.1.2.3', '::ffff:10.1.2.3', 'fd12::1', '192.168.1.7']) {
    assert.equal(publish(from(address), 'home').allow, true, address)
  }
  for (const address of ['11.0.0.1', '10.6.6.6', '192.168.1.8', 'fe80::1', '', 'nonsense']) {
    assert.equal(publish(from(address), 'home').allow, false, address)
  }
  assert.equal(publish(from('11.0.0.1', 'tls'), 'safe').allow, true)
  assert.equal(publish(from('11.0.0.1', 'tcp'), 'safe').allow, false)
})

test('acl-file: a name with a replacement pattern in it is taken literally', deadline, async (t) => {
  const { publish } = await acl(t, '- allow: { publish: ["u/{user}"] }\n')
  assert.equal(publish(clientOf("a$&b$'"), "u/a$&b$'").allow, true)
  assert.equal(publish(clientOf('{group}'), 'u/{group}').allow, true)
})

test('acl-file: a deny with a name that cannot be expanded denies as much as it could mean', deadline, async (t) => {
  const { publish } = await acl(t, '- allow: { publish: ["u/#"] }\n- deny: { publish: ["u/{user}"] }\n')
  assert.equal(publish(clientOf('a/b'), 'u/x').allow, false)
  assert.equal(publish(alice, 'u/x').allow, true)
  assert.equal(publish(alice, 'u/alice').allow, false)
})

test('acl-file: # and $SYS belong only to whom a rule gives them by name', deadline, async (t) => {
  const { publish, subscribe } = await acl(
    t,
    `- allow: { users: [alice], subscribe: ["#"], publish: ["#", "$SYS/#"] }
- allow: { users: [bob], subscribe: ["$SYS/#"] }
- allow: { users: [mallory], subscribe: ["a/#", "b/#"] }
`,
  )
  assert.equal(subscribe(alice, '#').allow, true)
  assert.equal(subscribe(alice, '$SYS/#').allow, false)
  assert.equal(subscribe(bob, '$SYS/broker/uptime').allow, true)
  assert.equal(subscribe(bob, '#').allow, false)
  assert.equal(subscribe(mallory, '#').allow, false)
  assert.equal(subscribe(mallory, '+/#').allow, false)
  assert.equal(publish(alice, '$SYS/broker/uptime').because, 'acl-file: only the broker publishes to $SYS')
})

test('acl-file: qos and retain limit publishes', deadline, async (t) => {
  const { publish } = await acl(
    t,
    `- allow: { publish: ["cmd/#"], qos: [0, 1], retain: false }
- allow: { publish: ["state/#"] }
- deny: { publish: ["state/#"], retain: true, users: [mallory] }
`,
  )
  assert.equal(publish(alice, 'cmd/x', 1).allow, true)
  assert.equal(publish(alice, 'cmd/x', 2).allow, false)
  assert.equal(publish(alice, 'cmd/x', 1, true).allow, false)
  assert.equal(publish(mallory, 'state/x', 1, true).allow, false)
  assert.equal(publish(mallory, 'state/x', 1).allow, true)
})

test('acl-file: qos limits what a subscription is granted', deadline, async (t) => {
  const { subscribe } = await acl(
    t,
    `- allow: { subscribe: ["a/#"], qos: [0, 1] }
- allow: { subscribe: ["a/best"] }
- allow: { subscribe: ["b/#"] }
- deny: { subscribe: ["b/#"], qos: [2] }
- deny: { subscribe: ["b/none"], qos: [0] }
`,
  )
  assert.equal(subscribe(alice, 'a/x', 2).maxQos, 1)
  assert.equal(subscribe(alice, 'a/best', 2).maxQos, undefined)
  assert.deepEqual(subscribe(alice, 'b/x', 2), { allow: true, because: 'acl.yaml:3:3 allow subscribe b/#', maxQos: 1 })
  assert.equal(subscribe(alice, 'b/x', 1).allow, true)
  assert.equal(subscribe(alice, 'b/none', 1).allow, false)
})

test('acl-file: a deny inside a granted wildcard withholds those messages', deadline, async (t) => {
  const { subscribe } = await acl(
    t,
    `- allow: { subscribe: ["im/g/#"] }
- deny: { users: [mallory], subscribe: ["im/g/board/#", "im/g/+/secret"] }
`,
  )
  assert.equal(subscribe(alice, 'im/g/#').withhold, undefined)
  const { allow, withhold } = subscribe(mallory, 'im/g/#')
  assert.equal(allow, true)
  assert.equal(withhold?.('im/g/board/alice'), true)
  assert.equal(withhold?.('im/g/board'), true)
  assert.equal(withhold?.('im/g/family/secret'), true)
  assert.equal(withhold?.('im/g/family/alice'), false)
  assert.equal(subscribe(mallory, 'im/g/board/#').allow, false)
  assert.equal(subscribe(mallory, 'im/g/family/alice').withhold, undefined)
})

test(
  'acl-file: the shipped rules let people chat, devices report and backends command, and no more',
  deadline,
  async (t) => {
    const rules = await readFile('config/acl.yaml', 'utf8')
    const { publish, subscribe } = await acl(t, rules)
    const sensor = clientOf('sensor1')
    const backend = clientOf('backend', { groups: ['backend'] })
    const admin = clientOf('admin', { roles: ['admin'] })
    const may: [boolean, Decision][] = [
      [true, publish(alice, 'im/u/bob/alice')],
      [false, publish(alice, 'im/u/bob/carol')],
      [true, subscribe(bob, 'im/u/bob/#')],
      [true, subscribe(bob, 'im/u/+/bob')],
      [false, subscribe(mallory, 'im/u/bob/#')],
      [false, subscribe(mallory, 'im/u/+/bob')],
      [false, subscribe(mallory, 'im/#')],
      [true, publish(alice, 'im/g/family/alice')],
      [true, subscribe(alice, 'im/g/family/#')],
      [false, publish(mallory, 'im/g/family/mallory')],
      [false, subscribe(mallory, 'im/g/family/#')],
      [true, subscribe(mallory, 'im/p/+')],
      [false, publish(alice, 'im/p/alice')],
      [true, publish(sensor, 'dev/sensor1/state', 1, true)],
      [false, publish(sensor, 'dev/sensor2/state')],
      [true, subscribe(sensor, 'cmd/sensor1/#')],
      [false, subscribe(sensor, 'dev/#')],
      [true, subscribe(backend, 'dev/#')],
      [true, publish(backend, 'cmd/sensor1/reboot')],
      [false, publish(backend, 'cmd/sensor1/reboot', 1, true)],
      [false, publish(alice, 'cmd/sensor1/reboot')],
      [true, subscribe(admin, '#')],
      [true, subscribe(admin, '$SYS/#')],
      [true, publish(admin, 'anything')],
      [false, publish(admin, '$SYS/x')],
      [false, subscribe(alice, '#')],
      [false, subscribe(alice, '$SYS/#')],
    ]
    for (const [index, [expected, { allow, because }]] of may.entries())
      assert.equal(allow, expected, `${index}: ${because}`)
  },
)

test('acl-file: ten thousand rules and a busy client are answered in a moment', deadline, async (t) => {
  const rules = Array.from({ length: 10_000 }, (_, n) => `- allow: { users: [user${n}], publish: ["t/${n}/#"] }`)
  const { publish } = await acl(t, `${rules.join('\n')}\n`)
  const client = clientOf('user9999')
  const start = performance.now()
  for (let n = 0; n < 100_000; n++) publish(client, `t/9999/${n % 50}`)
  assert.ok(performance.now() - start < 5_000)
  assert.equal(publish(client, 't/9998/x').allow, false)
})

test('acl-file: rules that came with the login hold for it alone, and a deny of the file wins', deadline, async (t) => {
  const { publish, subscribe } = await acl(t, '- deny: { publish: ["plant/off"] }\n')
  const rules = [
    { allow: { publish: ['plant/+', 'own/{user}'], subscribe: 'plant/#' } },
    { deny: { publish: 'plant/b' } },
  ]
  const sensor = clientOf('sensor', { rules })
  assert.deepEqual(publish(sensor, 'plant/a'), {
    allow: true,
    because: 'rule 1 of the login: allow publish plant/+',
  })
  assert.equal(publish(sensor, 'own/sensor').allow, true)
  assert.equal(publish(sensor, 'plant/b').allow, false)
  assert.equal(publish(sensor, 'plant/off').allow, false)
  assert.equal(subscribe(sensor, 'plant/#').allow, true)
  assert.equal(publish(clientOf('other'), 'plant/a').allow, false)
})

test('acl-file: a login with rules that are none may do nothing', deadline, async (t) => {
  const { publish } = await acl(t, '- allow: { publish: ["#"] }\n')
  assert.equal(publish(clientOf('sensor'), 'a').allow, true)
  assert.equal(publish(clientOf('sensor', { rules: [{ alow: {} }] }), 'a').allow, false)
})

test(
  'acl-file: rules that were changed hold for who asked before, with nothing remembered of the old ones',
  deadline,
  async (t) => {
    const { hooks, folder, reload } = await load(t, {
      'oriole.yaml': 'plugins:\n  - acl-file: { rules: acl.yaml }\n',
      'acl.yaml': '- allow: { publish: ["a"], subscribe: ["a"] }\n',
    })
    const may = async (client: ClientInfo) => [
      (await hooks.authorizePublish(client, { topic: 'a', qos: 1, retain: false, will: false })).allow,
      (await hooks.authorizeSubscribe(client, { filter: 'a', qos: 1, share: undefined })).allow,
    ]
    // One that only subscribed, one that published, and one that did both.
    assert.equal((await hooks.authorizeSubscribe(alice, { filter: 'a', qos: 1, share: undefined })).allow, true)
    await hooks.authorizePublish(mallory, { topic: 'a', qos: 1, retain: false, will: false })
    assert.deepEqual(await may(bob), [true, true])
    await replaceFile(join(folder, 'acl.yaml'), '- allow: { publish: ["b"], subscribe: ["b"] }\n')
    assert.deepEqual((await reload()).problems, [])
    for (const client of [alice, bob, mallory]) assert.deepEqual(await may(client), [false, false], client.id)
  },
)
