// `oriole acl`, `plan` and `reload`: asked of files, and of a broker that runs.
import assert from 'node:assert/strict'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { askBroker } from '../../broker/admin/control.ts'
import { makeToken } from '../../broker/password.ts'
import { spawnBroker, temporaryFolder } from '../helpers/broker.ts'
import { connectClient } from '../helpers/client.ts'
import { runCommand } from '../helpers/command.ts'

const timeout = 60_000

const alice = makeToken()

const files = {
  'oriole.yaml': `listeners: [{ name: tcp, type: tcp, port: 0 }]
store: { type: level, path: ./data }
admin: { enabled: false }
log: { format: json }
plugins:
  - auth-file: { users: users.yaml }
  - groups: { file: groups.yaml }
  - acl-file: { rules: acl.yaml }
`,
  'users.yaml': `alice: "${alice.hash}"\nbob: { password: "${makeToken().hash}", groups: [guests], attributes: { site: north } }\n`,
  'groups.yaml': `plant: { members: [alice], admins: [alice] }
all: { groups: [plant, guests] }
guests: { muted: [bob] }
`,
  'acl.yaml': `- allow: { groups: [plant], publish: ["plant/#"], subscribe: ["plant/#"] }
- allow: { groups: [all], publish: ["room/{group}/{user}"], subscribe: ["room/{group}/#"] }
- allow: { groups: [guests], publish: ["guest/{user}"], times: "mon-fri 08:00-18:00 UTC" }
- allow: { publish: ["site/{attr.site}"], addresses: [10.0.0.0/8] }
- deny: { roles: ["admin:plant"], subscribe: ["plant/secret/#"] }
`,
}

async function house(t: TestContext, changed: Partial<typeof files> = {}) {
  const folder = await temporaryFolder(t)
  for (const [name, content] of Object.entries({ ...files, ...changed }))
    await writeFile(join(folder, name), content, { mode: 0o644 })
  const run = (...args: string[]) => runCommand(t, args, { cwd: folder })
  const explain = async (...args: string[]) => {
    const { exitCode, stdout, stderr } = await run('acl', 'explain', ...args)
    assert.equal(exitCode, 0, stderr)
    return stdout
  }
  return { folder, run, explain }
}

test('acl explain: who, the deciding place, what it reads, the way through groups, and what was withheld', {
  timeout,
}, async (t) => {
  const { explain } = await house(t)
  assert.equal(
    await explain('alice', 'subscribe', 'plant/#'),
    `allowed   subscribe plant/#, qos 1
user      alice, client id alice
groups    plant, all
roles     admin:plant
because   acl.yaml:1:3 allow subscribe plant/#
through   alice is in the group plant: groups.yaml:1:20
withheld  acl.yaml:5:3 deny subscribe plant/secret/#
nearest   acl.yaml:5:3 deny subscribe plant/secret/#: plant/# is not covered by plant/secret/#
`,
  )
  assert.match(
    await explain('alice', 'publish', 'room/all/alice'),
    /because {3}acl\.yaml:2:3 allow publish room\/\{group\}\/\{user\}\nreads {5}room\/all\/alice\nthrough {3}alice is in the group plant: groups\.yaml:1:20\nthrough {3}the group plant is a part of all: groups\.yaml:2:17\n/,
  )
  assert.match(
    await explain('alice', 'subscribe', 'plant/secret/x'),
    /^denied .*\n.*\n.*\n.*\nbecause {3}acl\.yaml:5:3 .*\nthrough .*\nthrough {3}the role admin:plant: groups\.yaml:1:37\n/,
  )
})

test('acl explain: the nearest rule, and what it lacked', { timeout }, async (t) => {
  const { explain } = await house(t)
  const nearest = async (...args: string[]) => /^denied[\s\S]*\nnearest {3}(.*)\n/.exec(await explain(...args))?.[1]
  assert.equal(
    await nearest('carol', 'publish', 'plant/a'),
    'acl.yaml:1:3 allow publish plant/#: carol is not in the group plant',
  )
  assert.equal(
    await nearest('bob', 'publish', 'guest/bob', '--at', '2026-11-28T12:00:00Z'),
    'acl.yaml:3:3 allow publish guest/{user}: bob is muted in guests; it holds only mon-fri 08:00-18:00 UTC',
  )
  assert.equal(
    await nearest('bob', 'publish', 'site/north', '--address', '11.0.0.1'),
    'acl.yaml:4:3 allow publish site/{attr.site}: the address 11.0.0.1 is not in 10.0.0.0/8',
  )
  assert.equal(
    await nearest('bob', 'publish', 'room/all/alice'),
    'acl.yaml:2:3 allow publish room/{group}/{user}: room/all/alice is not matched by room/all/bob',
  )
})

test('acl explain: what if', { timeout }, async (t) => {
  const { explain, run } = await house(t)
  assert.match(await explain('bob', 'publish', 'site/north', '--address', '10.1.1.1'), /^allowed/)
  assert.match(
    await explain('bob', 'publish', 'site/south', '--address', '10.1.1.1', '--attribute', 'site=south'),
    /^allowed/,
  )
  assert.match(
    await explain('dave', 'publish', 'plant/x', '--group', 'plant'),
    /^allowed[\s\S]*note {6}no file knows the user dave\n/,
  )
  assert.match(
    await explain('dave', 'publish', 'guest/dave', '--group', 'guests', '--at', '2026-11-27T12:00:00Z'),
    /^allowed/,
  )
  assert.match(await explain('alice', 'subscribe', '$share/x/plant/a'), /^allowed/)
  for (const args of [
    ['alice', 'publish', 'a/+'],
    ['alice', 'subscribe', 'a#'],
    ['alice', 'read', 'a'],
    ['alice', 'publish'],
  ]) {
    assert.equal((await run('acl', 'explain', ...args)).exitCode, 2, args.join(' '))
  }
  const json = JSON.parse(await explain('alice', 'publish', 'plant/x', '--json')) as { allow: boolean; isLive: boolean }
  assert.deepEqual([json.allow, json.isLive], [true, false])
})

test('acl test: the shipped table holds for the shipped files', { timeout }, async (t) => {
  const folder = await temporaryFolder(t)
  assert.equal((await runCommand(t, ['init', folder])).exitCode, 0)
  const result = await runCommand(t, ['acl', 'test', 'acl-test.yaml'], { cwd: folder })
  assert.deepEqual(result, { exitCode: 0, stdout: '35 of 35 as expected\n', stderr: '' })
})

test('acl test: each difference is told with its place, and the exit code is 1', { timeout }, async (t) => {
  const { folder, run } = await house(t)
  await writeFile(
    join(folder, 'table.yaml'),
    `- user: alice
  allow:
    publish: [plant/a, other/a]
    subscribe:
      - { filter: "plant/#", withholds: plant/secret/x, delivers: plant/open }
      - { filter: "plant/#", withholds: plant/open }
      - { filter: "plant/#", delivers: [plant/open, plant/secret/x] }
  deny:
    publish: plant/b
- { user: bob, at: "2026-11-27T12:00:00Z", deny: { publish: guest/bob } }
`,
  )
  const { exitCode, stdout } = await run('acl', 'test', 'table.yaml')
  assert.equal(exitCode, 1)
  assert.equal(
    stdout,
    `table.yaml:3:24: alice publish other/a is denied, not allowed: acl.yaml: no rule allows it
table.yaml:6:9: alice subscribe plant/# delivers plant/open
table.yaml:7:9: alice subscribe plant/# does not deliver plant/secret/x
table.yaml:9:14: alice publish plant/b is allowed, not denied: acl.yaml:1:3 allow publish plant/#
3 of 7 as expected
`,
  )
  await writeFile(join(folder, 'broken.yaml'), '- { user: alice, alow: {} }\n')
  const broken = await run('acl', 'test', 'broken.yaml')
  assert.equal(broken.exitCode, 1)
  assert.match(broken.stderr, /^broken\.yaml:1:18: 0\.alow: is not a setting; did you mean "allow"\?/m)
})

test('plan, reload and explain: of a broker that runs, with what its clients have', { timeout }, async (t) => {
  const { folder, run, explain } = await house(t)
  assert.match((await run('plan')).stderr, /^oriole: no broker runs with this config or has run with it/)
  assert.match((await run('reload')).stderr, /^oriole: no broker runs on /)

  const broker = await spawnBroker(t, 'oriole.yaml', folder)
  const options = { username: 'alice', password: alice.token, clientId: 'pump' }
  const { client } = await connectClient(t, broker.urls[0]!, options)
  assert.equal((await client.subscribeAsync('plant/a')).length, 1)
  assert.match(await explain('alice', 'publish', 'plant/a'), /\nuser {6}alice, client id pump, connected\n/)
  assert.equal((await run('plan')).stdout, 'nothing would change\n')

  // Held back by a broken file beside it, so that there is something to plan for as long as the test looks.
  await writeFile(join(folder, 'acl.yaml'), 'nonsense\n')
  await writeFile(join(folder, 'groups.yaml'), files['groups.yaml'].replace('members: [alice], ', ''))
  const broken = await run('reload')
  assert.equal(broken.exitCode, 1)
  assert.match(broken.stderr, /acl\.yaml:1:1: the file must be a list/)
  assert.equal((await run('plan')).exitCode, 1)
  assert.match(await explain('alice', 'publish', 'plant/a'), /^allowed/)
})

test('plan: of a broker that is stopped, against what it had in use', { timeout }, async (t) => {
  const { folder, run } = await house(t)
  const broker = await spawnBroker(t, 'oriole.yaml', folder)
  assert.equal(await broker.kill('SIGTERM'), 0)
  assert.equal((await run('plan')).stdout, 'nothing changed since the last run\n')
  await writeFile(
    join(folder, 'acl.yaml'),
    files['acl.yaml'].replace('groups: [plant], publish: ["plant/#"], ', 'groups: [plant], '),
  )
  await writeFile(
    join(folder, 'groups.yaml'),
    files['groups.yaml'].replace('guests: { muted: [bob] }', 'guests: { muted: [bob], members: [carol] }'),
  )
  const { stdout, exitCode } = await run('plan')
  assert.equal(exitCode, 0)
  assert.equal(
    stdout,
    `${join(folder, 'groups.yaml')} changed since the last run
${join(folder, 'acl.yaml')} changed since the last run
alice loses publish plant/#
carol joins the group guests
carol joins the group all
carol gains publish room/all/{user}
carol gains subscribe room/all/#
carol gains publish guest/{user} times mon-fri 08:00-18:00 UTC
`,
  )
})

test('archive: what was in use is kept with the time, for its owner only, and not without bound', {
  timeout,
}, async (t) => {
  const { folder } = await house(t)
  await spawnBroker(t, 'oriole.yaml', folder)
  for (let version = 0; version < 25; version++) {
    await writeFile(join(folder, 'acl.yaml'), `- allow: { publish: [v${version}] }\n`)
    await askBroker(join(folder, 'data'), { do: 'reload' })
  }
  const versions = join(folder, 'data/plugins/acl-file/versions')
  const kept = (await readdir(versions)).sort()
  assert.equal(kept.length, 20)
  assert.match(kept.at(-1)!, /^\d{8}T\d{6}\.\d{3}Z-acl\.yaml$/)
  assert.equal(await readFile(join(versions, kept.at(-1)!), 'utf8'), '- allow: { publish: [v24] }\n')
  assert.equal((await stat(join(versions, kept[0]!))).mode & 0o777, 0o600)
})
