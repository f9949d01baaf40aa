// Devices with tokens: made, listed and revoked by the command, let in and sent away by a running broker.
import assert from 'node:assert/strict'
import { appendFile, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { parse } from 'yaml'
import { makeToken } from '../../broker/password.ts'
import { startBroker, temporaryFolder } from '../helpers/broker.ts'
import { connectClient } from '../helpers/client.ts'
import { type CommandResult, runCommand } from '../helpers/command.ts'
import { tryLogin } from '../helpers/login.ts'
import { credentialsOf, type Loaded, load, writeFiles } from '../helpers/plugins.ts'

const timeout = 60_000
const badPassword = 0x86

const config = `
listeners: [{ name: tcp, type: tcp, port: 0 }]
store: { type: memory }
admin: { enabled: false }
plugins:
  - auth-file: { users: users.yaml, devices: devices.yaml, admin: false }
  - acl-file: { rules: acl.yaml }
`

interface Yard {
  readonly folder: string
  readonly path: string
  device(...args: string[]): Promise<CommandResult>
  deviceWith(input: string, ...args: string[]): Promise<CommandResult>
}

async function makeYard(t: TestContext): Promise<Yard> {
  const folder = await temporaryFolder(t)
  await writeFiles(folder, {
    'users.yaml': '{}\n',
    'devices.yaml': '# ours\n',
    'acl.yaml': '- allow: { groups: pumps, publish: "pump/{user}" }\n',
    'oriole.yaml': config,
  })
  const deviceWith = (input: string, ...args: string[]) => runCommand(t, ['device', ...args], { cwd: folder, input })
  return { folder, path: join(folder, 'devices.yaml'), device: (...args) => deviceWith('', ...args), deviceWith }
}

test('devices: added, let in, and sent away when revoked, while the broker runs', { timeout }, async (t) => {
  const { folder, path, device } = await makeYard(t)
  const broker = await startBroker(t, config, folder)
  const added = await device('add', 'pump-7', '--group', 'pumps')
  assert.equal(added.exitCode, 0, added.stderr)
  const token = added.stdout.trim()
  assert.match(token, /^oriole-[A-Za-z0-9_-]{43}$/)
  assert.ok(!(await readFile(path, 'utf8')).includes(token))
  const other = (await device('add', 'pump-8')).stdout.trim()

  const credentials = { username: 'pump-7', password: token }
  while ((await tryLogin(t, broker.url(), { ...credentials, clientId: 'early' })) !== 0);
  const { client } = await connectClient(t, broker.url(), { ...credentials, protocolVersion: 5 })
  await client.publishAsync('pump/pump-7', 'x', { qos: 1 })
  await assert.rejects(client.publishAsync('pump/pump-8', 'x', { qos: 1 }))
  assert.equal(await tryLogin(t, broker.url(), { username: 'pump-7', password: other }), badPassword)

  const list = await device('list')
  assert.match(list.stdout, /^pump-7 {2}\d{4}-\d\d-\d\d {2}pumps\npump-8 {2}\d{4}-\d\d-\d\d\n$/)

  const closed = new Promise<void>((resolve) => client.once('close', () => resolve()))
  const revoked = await device('revoke', 'pump-7')
  const revokedAt = performance.now()
  assert.equal(revoked.stdout, 'pump-7 is revoked\n')
  await closed
  const tookMs = performance.now() - revokedAt
  assert.ok(tookMs < 1_000, `${tookMs} ms`)
  assert.equal(await tryLogin(t, broker.url(), credentials), badPassword)
  assert.equal(await tryLogin(t, broker.url(), { username: 'pump-8', password: other }), 0)
  assert.match(await readFile(path, 'utf8'), /^# ours\npump-8: /)
})

test('devices: many names at once, and many commands at once', { timeout }, async (t) => {
  const { path, device, deviceWith } = await makeYard(t)
  const names = Array.from({ length: 1_000 }, (_, at) => `sensor-${at}`)
  const many = await deviceWith(`${names.join('\n')}\n`, 'add', '-', '-g', 'sensors')
  assert.equal(many.exitCode, 0, many.stderr)
  const pairs = many.stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.split(' '))
  assert.deepEqual(
    pairs.map(([name]) => name),
    names,
  )
  const several = await Promise.all(Array.from({ length: 4 }, (_, at) => device('add', `late-${at}`)))
  assert.deepEqual(
    several.map(({ exitCode, stderr }) => `${exitCode} ${stderr.includes('told only now')}`),
    new Array(4).fill('0 true'),
  )
  assert.equal((await deviceWith('sensor-3\nsensor-4\n', 'revoke', '-')).exitCode, 0)
  const file = await readFile(path, 'utf8')
  // The file is YAML as well, and says the same to whoever reads it as that.
  const asYaml = parse(file) as Record<string, { groups?: string[] }>
  assert.equal(Object.keys(asYaml).length, 1_002)
  assert.deepEqual(asYaml['sensor-5']?.groups, ['sensors'])
  const { hooks } = await loadDevices(t, file)
  const answer = await hooks.authenticate(credentialsOf(pairs[5]![0], pairs[5]![1]))
  assert.deepEqual('identity' in answer && answer.identity.groups, ['sensors'])
})

test('devices: what the command refuses, it says, and the file stays as it was', { timeout }, async (t) => {
  const { folder, path, device } = await makeYard(t)
  await device('add', 'pump-7')
  const before = await readFile(path, 'utf8')
  const refusals: readonly (readonly [readonly string[], number, RegExp])[] = [
    [['add', 'pump-7'], 1, /pump-7 is there already/],
    [['revoke', 'pump-9'], 1, /there is no device pump-9/],
    [['add'], 2, /name the device/],
    [['list', 'x'], 2, /one argument too many/],
    [['remove', 'x'], 2, /say what/],
    [['revoke', 'pump-7', '-g', 'x'], 2, /--group is for add/],
    [['add', '-'], 1, /holds no name/],
    [['add', 'x', '--file', join(folder, 'no', 'such')], 1, /cannot write/],
    [['list', '--file', join(folder, 'none')], 1, /cannot read/],
    ...['', '+', 'a/b', 'a\nb: {}', '"', '{user}', 'x'.repeat(129)].map(
      (name) => [['add', name], 2, /is no name here/] as const,
    ),
    [['add', 'good', '-g', 'a]'], 2, /is no name here/],
  ]
  for (const [args, exitCode, said] of refusals) {
    const result = await device(...args)
    assert.match(result.stderr, said, args.join(' '))
    assert.equal(result.exitCode, exitCode, args.join(' '))
  }
  assert.equal(await readFile(path, 'utf8'), before)
  await writeFile(join(folder, 'oriole.yaml'), 'plugins: [auth-anonymous, acl-open]\n')
  assert.match((await device('list')).stderr, /names no file of devices; set auth-file: \{ devices: devices\.yaml \}/)
})

test('devices: a new file is for its owner only, and one that is there keeps its mode', { timeout }, async (t) => {
  const { folder, path, device } = await makeYard(t)
  await device('add', 'a', '--file', join(folder, 'fresh.yaml'))
  assert.equal((await stat(join(folder, 'fresh.yaml'))).mode & 0o777, 0o600)
  await device('add', 'a')
  assert.equal((await stat(path)).mode & 0o777, 0o644)
})

function loadDevices(t: TestContext, devices: string, into?: string, users = '{}\n'): Promise<Loaded> {
  const plugins = 'plugins:\n  - auth-file: { users: users.yaml, devices: devices.yaml, admin: false }\n'
  return load(t, { 'oriole.yaml': plugins, 'users.yaml': users, 'devices.yaml': devices }, into)
}

test('devices: lines by hand, with attributes, and a user of the same name comes first', { timeout }, async (t) => {
  const [one, two, three] = [makeToken(), makeToken(), makeToken()]
  const devices = `
"12": "${one.hash}"
pump: { password: "${two.hash}", groups: [pumps, "old ones"], attributes: { site: north } }
off: { password: "${two.hash}", disabled: true }
both: "${two.hash}"
`
  const { hooks } = await loadDevices(t, devices, undefined, `both: "${three.hash}"\n`)
  const ask = async (name: string, token: string) => {
    const answer = await hooks.authenticate(credentialsOf(name, token))
    return 'deny' in answer ? answer.deny : answer.identity
  }
  assert.deepEqual(await ask('12', one.token), { username: '12', groups: [], roles: [], attributes: {} })
  assert.deepEqual(await ask('pump', two.token), {
    username: 'pump',
    groups: ['pumps', 'old ones'],
    roles: [],
    attributes: { site: 'north' },
  })
  assert.equal(await ask('off', two.token), 'auth-file: the user is disabled')
  assert.equal(await ask('both', two.token), 'auth-file: unknown user or wrong password')
  assert.equal(typeof (await ask('both', three.token)), 'object')
  assert.equal(await ask('__proto__', two.token), 'auth-file: unknown user or wrong password')
})

test('devices: a broken line is named, and changes nothing while the broker runs', { timeout }, async (t) => {
  const { token, hash } = makeToken()
  const good = `pump: "${hash}"\n`
  const loaded = await loadDevices(t, good)
  const path = join(loaded.folder, 'devices.yaml')
  const broken: readonly (readonly [string, RegExp])[] = [
    ['half a line', /is no line such as/],
    ['pump2:', /is no line such as/],
    [`pump: "${hash}"`, /pump stands here a second time/],
    ['pump2: "hunter2"', /is no line such as/],
    ['pump2: { password: "hunter2" }', /password: is no token/],
    [`pump2: { password: "${hash}", grups: [a] }`, /grups|Unrecognized|unknown/],
    [`"+": "${hash}"`, /must not contain/],
    [`pump2: { password: "${hash}", added: 2026-01-31, groups: [a/b] }`, /must not contain/],
    [`{ a: { password: "${hash}" }, b: { password: "${hash}" } }`, /is no line such as/],
    ['&a pump2: *a', /is no line such as/],
  ]
  for (const [line, said] of broken) {
    await writeFile(path, good)
    await appendFile(path, `${line}\n`)
    const lines = loaded.log.lines.length
    await loaded.log.until((one) => one.fields.line === 2 && loaded.log.lines.indexOf(one) >= lines)
    const problem = String(loaded.log.lines.find((one, at) => at >= lines && one.fields.line === 2)?.fields.problem)
    assert.match(problem, said, line)
    assert.ok(!problem.includes('hunter2'))
    const answer = await loaded.hooks.authenticate(credentialsOf('pump', token))
    assert.ok('identity' in answer, line)
  }
})
