// The command line: help, mistakes in what is typed, check, init and passwd.
import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { verifyPassword } from '../../broker/password.ts'
import { makeScramSecret, parseScramSecret } from '../../broker/scram.ts'
import { temporaryFolder } from '../helpers/broker.ts'
import { runCommand } from '../helpers/command.ts'
import { repository } from '../helpers/repository.ts'

const timeout = 60_000
const commands = ['start', 'check', 'init', 'backup', 'restore', 'doctor', 'passwd', 'pub', 'sub']

test('cli: the overview names every command, and each has its help', { timeout }, async (t) => {
  const overview = await runCommand(t, ['--help'])
  assert.equal(overview.exitCode, 0)
  for (const command of commands) {
    assert.match(overview.stdout, new RegExp(`^  ${command} +\\S`, 'm'))
    const help = await runCommand(t, [command, '--help'])
    assert.equal(help.exitCode, 0, command)
    assert.equal(help.stderr, '')
    assert.match(help.stdout, new RegExp(`^oriole ${command}: .+\\n\\nUsage: oriole ${command} `))
    assert.match(help.stdout, /--help +show this\n/)
  }
})

test('cli: --version is the one of the package', { timeout }, async (t) => {
  const { version } = JSON.parse(await readFile(join(repository, 'package.json'), 'utf8')) as { version: string }
  assert.equal((await runCommand(t, ['--version'])).stdout, `${version}\n`)
})

test('cli: a slip of the finger gets one line with the nearest word, and exit code 2', { timeout }, async (t) => {
  const cases: [string[], RegExp][] = [
    [['strat'], /^oriole: there is no command "strat"; did you mean "start"\?\n/],
    [['--versoin'], /^oriole: there is no option "--versoin"; did you mean "--version"\?\n/],
    [['start', '--confg', 'x'], /^oriole: there is no option "--confg"; did you mean "--config"\?\n/],
    [['start', '--config'], /^oriole: -c, --config needs a value\n/],
    [['check', 'a', 'b'], /^oriole: "b" is one argument too many\n/],
    [['init'], /^oriole: name the folder/],
    [['sub'], /^oriole: name a topic or a filter: -t FILTER\n/],
    [['sub', '-t', 'a/#/b', '-q', '3'], /^oriole: --qos: "3" is not a whole number from 0 to 2\n/],
    [['pub', '-t', 'a', '-m', 'x', '-V', '6'], /^oriole: -V is 3\.1, 3\.1\.1 or 5\n/],
    [['pub', '-t', 'a', '-t', 'b'], /^oriole: --topic stands there 2 times; once is enough\n/],
    [['pub', '-t', 'a', '-m', 'x', '-c'], /^oriole: --keep-session needs a client id: -i CLIENT\n/],
  ]
  for (const [args, expected] of cases) {
    const { exitCode, stdout, stderr } = await runCommand(t, args)
    assert.equal(exitCode, 2, args.join(' '))
    assert.equal(stdout, '')
    assert.match(stderr, expected)
    assert.match(stderr, /\n {8}see oriole (\w+ )?--help\n$/)
  }
})

test('check: ten planted mistakes are ten lines at the right places, and exit code 1', { timeout }, async (t) => {
  const folder = await temporaryFolder(t)
  await writeFile(
    join(folder, 'bad.yaml'),
    `node: a b
listeners:
  - { name: tcp, type: tcp, host: 0.0.0.0, port: 1883 }
  - name: ws
    type: websocket
  - { name: tls, type: tcp, port: 70000 }
stroe: { type: memory }
limits:
  packetMaxByte: 100
  topicMaxLevels: many
log: { level: \${LEVEL:-loud} }
plugins:
  - auth-fiel: { users: users.yaml }
  - acl-file: { rules: acl.yaml }
`,
  )
  await writeFile(join(folder, 'acl.yaml'), '- allow: { publish: ["a/#"] }\n- alow: { publish: ["b"] }\n')
  const { exitCode, stdout, stderr } = await runCommand(t, ['check', 'bad.yaml'], { cwd: folder })
  const lines = stdout.trimEnd().split('\n')
  assert.equal(exitCode, 1)
  assert.equal(stderr, '')
  const expected: [string, RegExp][] = [
    ['bad.yaml:1:7', /node: letters, digits/],
    ['bad.yaml:3:35', /listeners\.0\.host: 0\.0\.0\.0 is not loopback/],
    ['bad.yaml:5:11', /listeners\.1\.type: must be tcp, tls, ws, wss or unix$/],
    ['bad.yaml:6:35', /listeners\.2\.port: must be at most 65535/],
    ['bad.yaml:7:1', /stroe: is not a setting; did you mean "store"\?/],
    ['bad.yaml:9:3', /limits\.packetMaxByte: is not a setting; did you mean "packetMaxBytes"\?/],
    ['bad.yaml:10:19', /limits\.topicMaxLevels: must be a number, not text/],
    ['bad.yaml:11:15', /log\.level: must be trace, debug/],
    ['bad.yaml:13:5', /there is no plugin "auth-fiel"; did you mean "auth-file"\?/],
    ['acl.yaml:2:3', /alow/],
  ]
  assert.equal(lines.length, expected.length, stdout)
  for (const [index, [place, message]] of expected.entries()) {
    assert.ok(lines[index]!.startsWith(`${place}: `), `${lines[index]} is not at ${place}`)
    assert.match(lines[index]!, message)
  }
})

test('check: a good config is OK, and a missing one is one line', { timeout }, async (t) => {
  const good = await runCommand(t, ['check', join(repository, 'config/oriole.yaml')])
  assert.deepEqual(good, { exitCode: 0, stdout: 'OK\n', stderr: '' })
  const missing = await runCommand(t, ['check', 'no.yaml'])
  assert.deepEqual(missing, { exitCode: 1, stdout: 'no.yaml:1:1: there is no such file\n', stderr: '' })
  const nothing = await runCommand(t, ['check'], { cwd: await temporaryFolder(t) })
  assert.equal(nothing.exitCode, 1)
  assert.match(nothing.stderr, /^oriole: there is no oriole\.yaml .* oriole init \.\n$/)
})

test('check: a certificate that is missing is told before the start', { timeout }, async (t) => {
  const folder = await temporaryFolder(t)
  const listener = '{ name: a, type: tls, certificate: no.pem, key: no.key }'
  await writeFile(join(folder, 'oriole.yaml'), `listeners:\n  - ${listener}\n`)
  const { exitCode, stdout } = await runCommand(t, ['check'], { cwd: folder })
  assert.equal(exitCode, 1)
  assert.match(stdout, /^oriole\.yaml:2:40: listeners\.0\.certificate: .*no\.pem.*\n$/)
})

test('start: a config with mistakes prints them all, starts nothing, and names the code', { timeout }, async (t) => {
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'oriole.yaml'), 'nod: a\nlog: { level: lud }\nstore: { type: level }\n')
  const { exitCode, stdout, stderr } = await runCommand(t, ['start'], { cwd: folder })
  assert.equal(exitCode, 1)
  assert.equal(stdout, '')
  const [first, second, third, ...rest] = stderr.trimEnd().split('\n')
  assert.match(first ?? '', /oriole\.yaml:1:1: nod: /)
  assert.match(second ?? '', /oriole\.yaml:2:15: log\.level: /)
  assert.match(third ?? '', /^oriole: ORI_CONFIG_INVALID: 2 mistakes/)
  assert.deepEqual(rest, [])
  assert.deepEqual(await readdir(folder), ['oriole.yaml'])
})

test('init: writes a config that is right, and overwrites nothing', { timeout }, async (t) => {
  const folder = await temporaryFolder(t)
  const first = await runCommand(t, ['init', 'mine'], { cwd: folder })
  assert.equal(first.exitCode, 0, first.stderr)
  const names = [
    'acl-test.yaml',
    'acl.yaml',
    'cluster.yaml',
    'devices.yaml',
    'groups.yaml',
    'oriole.schema.json',
    'oriole.yaml',
    'users.yaml',
  ]
  assert.deepEqual((await readdir(join(folder, 'mine'))).sort(), names)
  const check = await runCommand(t, ['check'], { cwd: join(folder, 'mine') })
  assert.deepEqual(check, { exitCode: 0, stdout: 'OK\n', stderr: '' })

  await mkdir(join(folder, 'other'))
  await writeFile(join(folder, 'other/users.yaml'), 'mine: 1\n')
  const second = await runCommand(t, ['init', 'other'], { cwd: folder })
  assert.equal(second.exitCode, 1)
  assert.match(second.stderr, /^oriole: other\/users\.yaml is there already/)
  assert.deepEqual(await readdir(join(folder, 'other')), ['users.yaml'])
})

test('passwd: prints a line for users.yaml whose hash fits the password', { timeout }, async (t) => {
  const { exitCode, stdout, stderr } = await runCommand(t, ['passwd', 'alice'], { input: 'pässword 1\nignored\n' })
  assert.deepEqual([exitCode, stderr], [0, ''])
  const hash = /^alice: "(scrypt\$[^"]+)"\n$/.exec(stdout)?.[1]
  assert.ok(hash !== undefined, stdout)
  assert.deepEqual(await verifyPassword(Buffer.from('pässword 1'), hash), { ok: true, outdated: false })
  assert.deepEqual(await verifyPassword(Buffer.from('pässword 2'), hash), { ok: false, outdated: false })
})

test('passwd: without a user it prints the hash alone; an empty password is refused', { timeout }, async (t) => {
  assert.match((await runCommand(t, ['passwd'], { input: 'long enough\r\n' })).stdout, /^scrypt\$[^"\r]+\n$/)
  assert.match((await runCommand(t, ['passwd', 'no'], { input: 'long enough' })).stdout, /^"no": "scrypt\$/)
  const empty = await runCommand(t, ['passwd'], { input: '\n' })
  assert.deepEqual(empty, { exitCode: 1, stdout: '', stderr: 'oriole: the password is empty\n' })
})

test('passwd: --token makes a password, tells it once beside the line, and asks for nothing', {
  timeout,
}, async (t) => {
  const { exitCode, stdout, stderr } = await runCommand(t, ['passwd', '--token', 'sensor1'], { input: '' })
  assert.equal(exitCode, 0)
  const hash = /^sensor1: "(token\$[^"]+)"\n$/.exec(stdout)?.[1]
  const token = /^oriole: the password of sensor1, told only now: (oriole-\S{43})\n$/.exec(stderr)?.[1]
  assert.ok(hash !== undefined && token !== undefined, stdout + stderr)
  assert.deepEqual(await verifyPassword(Buffer.from(token), hash), { ok: true, outdated: false })
  const again = await runCommand(t, ['passwd', '--token', 'sensor1'], { input: '' })
  assert.notEqual(again.stdout, stdout)
  assert.equal((await runCommand(t, ['passwd', '--token', '--scram'], { input: '' })).exitCode, 2)
})

test('passwd: --scram prints a line for the users file of auth-scram, in the form in which names are looked up', {
  timeout,
}, async (t) => {
  const typed = 'jo\u0308rg'
  const { exitCode, stdout, stderr } = await runCommand(t, ['passwd', '--scram', typed], { input: 'pässword 1\n' })
  assert.deepEqual([exitCode, stderr], [0, ''])
  const secret = /^"j\u00f6rg": "(SCRAM-SHA-256\$4096:[^"]+)"\n$/.exec(stdout)?.[1]
  assert.ok(secret !== undefined, stdout)
  const { salt } = parseScramSecret(secret)!
  assert.equal(await makeScramSecret('pässword 1', 4096, salt), secret)
  assert.notEqual(await makeScramSecret('pässword 2', 4096, salt), secret)
  const prohibited = await runCommand(t, ['passwd', '--scram'], { input: 'password\u0007\n' })
  assert.equal(prohibited.exitCode, 1)
  assert.match(prohibited.stderr, /characters that SCRAM does not allow/)
})
