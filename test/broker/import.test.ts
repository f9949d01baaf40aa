// `oriole import`: files that mosquitto's own tools made, a broker that starts with them, and passwords that still let in.
import assert from 'node:assert/strict'
import { chmod, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { isPasswordHash, verifyPassword } from '../../broker/password.ts'
import { temporaryFolder } from '../helpers/broker.ts'
import { runCommand } from '../helpers/command.ts'
import { credentialsOf, load, type NotedLog } from '../helpers/plugins.ts'

const timeout = 60_000

/** What mosquitto_passwd 2.0.11 wrote, with `-b -H sha512` and `-b -H sha512-pbkdf2`. Its package would start a broker. */
const passwords = `alice:$6$retJZ08NuCojcyuJ$UWmhu8Ix0fY7wTaDbuc9yxU4zfH1afDFidHMKd2M0yc5xVLsCdv5lkIApfh7WrLjuXlCQmxG3KY42CUt0Zf01g==
bob:$7$101$YBzlBciQ6nyoMfGV$76TwmL/3BQu6U4SKyW4/pFtY7qx+mvHbUq5Qn3frGyo0kn1LKxB7GGGOrYDJI7GZgaST6vK1LT1QsDPyGioc1w==
`

async function passwordFile(folder: string): Promise<string> {
  const path = join(folder, 'passwords')
  await writeFile(path, passwords, { mode: 0o600 })
  return path
}

test('import: hashes of mosquitto let in with the right password only', { timeout }, async (t) => {
  const text = await readFile(await passwordFile(await temporaryFolder(t)), 'utf8')
  const hashOf = (name: string) => new RegExp(`^${name}:(.*)$`, 'm').exec(text)![1]!
  assert.match(hashOf('alice'), /^\$6\$/)
  assert.match(hashOf('bob'), /^\$7\$/)
  for (const [name, password] of [
    ['alice', 'wonderland'],
    ['bob', 'the:builder'],
  ] as const) {
    assert.deepEqual(await verifyPassword(Buffer.from(password), hashOf(name)), { ok: true, outdated: true })
    assert.deepEqual(await verifyPassword(Buffer.from('wrong'), hashOf(name)), { ok: false, outdated: false })
  }
  for (const damaged of [
    '$6$',
    '$6$YWJj$YWJj',
    hashOf('alice').slice(0, -3),
    hashOf('bob').replace('$7$101$', '$7$99999999$'),
    hashOf('bob').replace('$7$', '$8$'),
  ]) {
    assert.equal(isPasswordHash(damaged), false, damaged)
  }
})

test('import: password file and acl_file become files that a broker starts with', { timeout }, async (t) => {
  const folder = await temporaryFolder(t)
  await passwordFile(folder)
  await writeFile(
    join(folder, 'passwords'),
    `${await readFile(join(folder, 'passwords'), 'utf8')}carol:in-plain-text\n`,
  )
  await writeFile(
    join(folder, 'acl'),
    `topic read public/#
user alice
topic readwrite plant/#
topic deny plant/secret
topic write two words/x
user bob
topic plant/b
pattern write dev/%u/state
pattern read cmd/%c/#
topic read odd/{x}
`,
  )
  const { exitCode, stdout, stderr } = await runCommand(
    t,
    ['import', 'new', '--passwords', 'passwords', '--acl', 'acl'],
    { cwd: folder },
  )
  assert.equal(exitCode, 0, stderr)
  assert.match(stdout, /^new: 2 users, 0 groups, 6 rules\n/)
  assert.match(stdout, /^note: passwords:3: left out, it is no user with a hash/m)
  assert.ok(!stdout.includes('in-plain-text'))
  assert.match(stdout, /^note: acl:10: left out, braces in a filter are placeholders here: odd\/\{x\}$/m)
  assert.match(stdout, /^note: acl: 1 topics before the first user left out/m)
  assert.equal((await stat(join(folder, 'new/users.yaml'))).mode & 0o777, 0o600)

  await writeFile(
    join(folder, 'table.yaml'),
    `- user: alice
  allow: { publish: [plant/a, two words/x, dev/alice/state], subscribe: { filter: "plant/#", withholds: plant/secret } }
  deny: { publish: [plant/secret, dev/bob/state, public/x], subscribe: [two words/x, public/x] }
- { user: bob, client: pump, allow: { publish: plant/b, subscribe: [plant/b, "cmd/pump/#"] }, deny: { publish: plant/a, subscribe: "cmd/bob/#" } }
`,
  )
  const table = await runCommand(t, ['acl', 'test', 'table.yaml', '--config', 'new/oriole.yaml'], { cwd: folder })
  assert.equal(table.stdout, '14 of 14 as expected\n')

  const again = await runCommand(t, ['import', 'new', '--acl', 'acl'], { cwd: folder })
  assert.equal(again.exitCode, 1)
  assert.match(again.stderr, /cannot write into new/)
})

test('import: clients, groups and roles of the dynamic security plugin', { timeout }, async (t) => {
  const folder = await temporaryFolder(t)
  const [, salt, hash] = /^bob:\$7\$101\$([^$]+)\$(.*)$/m.exec(await readFile(await passwordFile(folder), 'utf8'))!
  const client = { password: hash, salt, iterations: 101 }
  const acl = (acltype: string, topic: string, allow = true) => ({ acltype, topic, allow })
  const dynsec = {
    defaultACLAccess: { publishClientSend: false, publishClientReceive: true, subscribe: false, unsubscribe: true },
    clients: [
      { username: 'bob', ...client, roles: [{ rolename: 'writer' }] },
      { username: 'old', ...client, disabled: true },
      { username: 'fixed', ...client, clientid: 'pump' },
      { username: 'nobody' },
      { username: 'a/b', ...client },
    ],
    groups: [{ groupname: 'readers', roles: [{ rolename: 'reader' }], clients: [{ username: 'bob' }] }],
    roles: [
      {
        rolename: 'writer',
        acls: [
          acl('publishClientSend', 'plant/%u/#'),
          acl('publishClientSend', 'plant/bob/no', false),
          acl('unsubscribePattern', '#'),
        ],
      },
      {
        rolename: 'reader',
        acls: [
          acl('subscribePattern', 'plant/#'),
          acl('publishClientReceive', 'plant/secret', false),
          acl('publishClientSend', '$CONTROL/dynamic-security/#'),
        ],
      },
      { rolename: 'evil\n- allow: { publish: ["#"] }', acls: [acl('publishClientSend', '{x}'), acl('nonsense', 'x')] },
    ],
  }
  await writeFile(join(folder, 'dynsec.json'), JSON.stringify(dynsec))
  const { exitCode, stdout, stderr } = await runCommand(t, ['import', 'new', '--dynsec', 'dynsec.json'], {
    cwd: folder,
  })
  // A name that the broker refuses is told with its place, not changed into another one.
  assert.equal(exitCode, 1)
  assert.match(stderr, /^new\/users\.yaml:5:1: a\/b: as a name: must not contain/m)
  assert.match(stdout, /the client nobody has no password and is left out/)
  assert.match(stdout, /the client fixed had to use the client id pump/)
  assert.match(stdout, /role writer: priorities are not carried over/)
  assert.ok(!(await readFile(join(folder, 'new/acl.yaml'), 'utf8')).includes('\n- allow: { publish: ["#"] }'))

  await writeFile(
    join(folder, 'new/users.yaml'),
    (await readFile(join(folder, 'new/users.yaml'), 'utf8')).replace('"a/b"', '"a-b"'),
  )
  await writeFile(
    join(folder, 'table.yaml'),
    `- user: bob
  allow: { publish: plant/bob/x, subscribe: { filter: "plant/#", withholds: plant/secret, delivers: plant/x } }
  deny: { publish: [plant/bob/no, plant/alice/x], subscribe: plant/secret }
- { user: old, deny: { publish: plant/old/x } }
`,
  )
  const table = await runCommand(t, ['acl', 'test', 'table.yaml', '--config', 'new/oriole.yaml'], { cwd: folder })
  assert.equal(table.stdout, '6 of 6 as expected\n', table.stderr)

  await writeFile(join(folder, 'broken.json'), '{ "clients": 7 }')
  const broken = await runCommand(t, ['import', 'other', '--dynsec', 'broken.json'], { cwd: folder })
  assert.equal(broken.exitCode, 1)
  assert.match(broken.stderr, /broken\.json is no file of the dynamic security plugin: clients/)
})

const replaced = (log: NotedLog) => log.until(({ phrase }) => phrase === 'outdated password hashes were replaced')

async function imported(t: TestContext) {
  const passwords = await readFile(await passwordFile(await temporaryFolder(t)), 'utf8')
  const users = passwords.replace(/^(\w+):(.*)$/gm, '# $1 came over\n$1: "$2"  # mine')
  return load(t, {
    'oriole.yaml': 'plugins:\n  - auth-file: { users: users.yaml, admin: false }\n',
    'users.yaml': users,
  })
}

test('import: a hash is replaced at the first login, everything else in the file stays, and nobody is disconnected', {
  timeout,
}, async (t) => {
  const { hooks, folder, log, clients, disconnected } = await imported(t)
  const login = async (username: string, password: string) => {
    const answer = await hooks.authenticate(credentialsOf(username, password))
    if ('identity' in answer)
      clients.push({
        id: `${username}-phone`,
        identity: answer.identity,
        address: '',
        listener: '',
        protocolVersion: 5,
        cleanStart: true,
        connectedAt: 0,
      })
    return 'identity' in answer
  }
  const path = join(folder, 'users.yaml')
  const before = await readFile(path, 'utf8')
  assert.equal(await login('bob', 'wrong'), false)
  assert.equal(await login('alice', 'wonderland'), true)
  assert.equal(await login('bob', 'the:builder'), true)
  await replaced(log)
  await log.until(({ phrase }) => phrase === 'changed file is in use')
  const after = await readFile(path, 'utf8')
  const hashes = /"[^"]*"/g
  assert.equal(after.replace(hashes, '""'), before.replace(hashes, '""'))
  assert.equal(after.match(/"scrypt\$/g)?.length, 2)
  assert.equal((await stat(path)).mode & 0o777, 0o644)
  assert.deepEqual(disconnected, [])
  assert.equal(await login('alice', 'wonderland'), true)
  assert.equal(await login('alice', 'wrong'), false)
})

test('import: where the file is not ours to write, the outdated hash is reported and goes on letting in', {
  timeout,
}, async (t) => {
  const { hooks, folder, log } = await imported(t)
  const path = join(folder, 'users.yaml')
  const before = await readFile(path, 'utf8')
  await chmod(path, 0o444)
  assert.ok('identity' in (await hooks.authenticate(credentialsOf('alice', 'wonderland'))))
  await log.until(({ phrase }) => phrase.startsWith('password hash is outdated'))
  assert.equal(await readFile(path, 'utf8'), before)
})
