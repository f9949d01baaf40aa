// The config loader: every mistake at once, each at its place; the environment; limits of what is read.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the ${…} of the config is what is tested.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { z } from 'zod'
import { type LoadedConfig, loadConfig } from '../../broker/config/load.ts'
import { nearest } from '../../broker/config/nearest.ts'
import type { Problem } from '../../broker/config/problem.ts'
import { readYamlFile } from '../../broker/config/yaml-file.ts'
import { temporaryFolder } from '../helpers/broker.ts'
import { processorMs } from '../helpers/processor-time.ts'

const timeout = 20_000

/** `line:column: message` of each problem. */
function told(problems: readonly Problem[]): string[] {
  return problems.map(({ line, column, message }) => `${line}:${column}: ${message}`)
}

async function load(t: TestContext, text: string | Buffer, env: Record<string, string> = {}): Promise<LoadedConfig> {
  const path = join(await temporaryFolder(t), 'oriole.yaml')
  await writeFile(path, text)
  return loadConfig(path, env)
}

async function read<T>(t: TestContext, text: string | Buffer, schema: z.ZodType<T>, maxBytes?: number) {
  const path = join(await temporaryFolder(t), 'file.yaml')
  await writeFile(path, text)
  return readYamlFile(path, schema, { env: {}, maxBytes })
}

test('config: an empty file is all defaults, frozen to the ground', { timeout }, async (t) => {
  const { config, problems } = await load(t, '# nothing\n')
  assert.deepEqual(problems, [])
  assert.equal(config?.listeners[0]?.name, 'tcp')
  assert.equal(config?.limits.packetMaxBytes, 1_048_576)
  assert.ok(
    Object.isFrozen(config) && Object.isFrozen(config.limits.failedLogins) && Object.isFrozen(config.listeners[0]),
  )
})

test('config: a section with nothing in it is its defaults', { timeout }, async (t) => {
  const { config, problems } = await load(t, 'limits:\n  #packetMaxBytes: 5\nplugins:\n')
  assert.deepEqual(problems, [])
  assert.equal(config?.limits.packetMaxBytes, 1_048_576)
  assert.deepEqual(config?.plugins, [])
})

test('config: mistakes of every kind are told at once, in the order of the file', { timeout }, async (t) => {
  const { config, problems } = await load(
    t,
    `nod: a
listeners:
  - { name: tcp, type: tpc, port: 1 }
  - { name: a, type: tcp, port: "x", acept: {} }
  - name: b
    type: tls
    certificat: x
  - { type: tcp }
store: { type: level, durability: dsk }
limits:
  packetMaxBytes: 0
  topicMaxLevels:
  connectsPerClient: { perS: 1.5 }
log: 5
plugins:
  - a: {}
    b: {}
`,
  )
  assert.equal(config, undefined)
  assert.deepEqual(told(problems), [
    '1:1: nod: is not a setting; did you mean "node"?',
    '3:24: listeners.0.type: must be tcp, tls, ws, wss or unix; did you mean "tcp"?',
    '4:33: listeners.1.port: must be a number, not text',
    '4:38: listeners.1.acept: is not a setting; did you mean "accept"?',
    '5:5: listeners.2.key: is missing',
    '7:5: listeners.2.certificat: is not a setting; did you mean "certificate"?',
    '8:5: listeners.3.name: is missing',
    '9:35: store.durability: must be disk, os or memory; did you mean "disk"?',
    '11:19: limits.packetMaxBytes: must be at least 1',
    '12:3: limits.topicMaxLevels: must be a number, not nothing',
    '13:30: limits.connectsPerClient.perS: must be a whole number',
    '14:6: log: must be a map, not a number',
    '16:5: plugins.0: one plugin for each line: `- name` or `- name: { settings }`',
  ])
})

test('config: a listener without type is told which there are, at the listener', { timeout }, async (t) => {
  const { problems } = await load(t, 'listeners:\n  - { name: a }\n')
  assert.deepEqual(told(problems), ['2:5: listeners.0.type: is missing: tcp, tls, ws, wss or unix'])
})

test('config: a mistake in one listener does not hide a clash of two others', { timeout }, async (t) => {
  const { problems } = await load(
    t,
    `listeners:
  - { name: a, type: tcp, port: 1 }
  - { name: a, type: ws, port: 1 }
  - { name: c, type: tcp, prot: 2 }
`,
  )
  assert.deepEqual(told(problems), [
    '3:13: listeners.1.name: "a" is the name of listeners.0 already; choose another',
    '3:32: listeners.1.port: 1 is the port of listeners.0 already; choose another',
    '4:27: listeners.2.prot: is not a setting; did you mean "port"?',
  ])
})

test('config: port 0 may stand several times, and one port on two addresses', { timeout }, async (t) => {
  const { problems } = await load(
    t,
    `listeners:
  - { name: a, type: tcp, port: 0 }
  - { name: b, type: tcp, port: 0 }
  - { name: c, type: tcp, port: 5, host: 127.0.0.1 }
  - { name: d, type: tcp, port: 5, host: 127.0.0.2 }
admin: { port: 0 }
`,
  )
  assert.deepEqual(problems, [])
})

test('config: plain text beyond loopback needs an explicit line', { timeout }, async (t) => {
  const refused = await load(t, 'listeners:\n  - { name: a, type: ws, host: "::" }\nadmin: { host: 0.0.0.0 }\n')
  assert.match(
    told(refused.problems)[0]!,
    /^2:32: listeners\.0\.host: :: is not loopback, .* use type: wss, or say insecure: true$/,
  )
  assert.match(told(refused.problems)[1]!, /^3:16: admin\.host: 0\.0\.0\.0 is not loopback/)
  const allowed = await load(t, 'listeners:\n  - { name: a, type: ws, host: "::", insecure: true }\n')
  assert.deepEqual(allowed.problems, [])
  const loopback = await load(
    t,
    'listeners:\n  - { name: a, type: tcp, host: "::1" }\n  - { name: b, type: tcp, host: localhost, port: 2 }\n',
  )
  assert.deepEqual(loopback.problems, [])
})

test('config: anonymous access beyond loopback is refused, also with insecure and with TLS', { timeout }, async (t) => {
  const { problems } = await load(
    t,
    `listeners:
  - { name: a, type: tcp, host: 10.0.0.1, insecure: true }
  - { name: b, type: tls, host: 10.0.0.1, certificate: c, key: k }
plugins: [acl-open, auth-anonymous]
`,
  )
  assert.equal(problems.length, 2)
  for (const line of told(problems)) assert.match(line, /^4:21: plugins\.1: auth-anonymous lets everybody in/)
})

test('config: client certificates without authorities are refused', { timeout }, async (t) => {
  const listener = '{ name: a, type: tls, certificate: c, key: k, clientCertificate: required }'
  const { problems } = await load(t, `listeners:\n  - ${listener}\n`)
  assert.deepEqual(told(problems), ['2:70: listeners.0.clientCertificate: required needs authorities to trust; set ca'])
})

test('environment: values come from it, numbers and truth values as YAML reads them', { timeout }, async (t) => {
  const { config, problems } = await load(
    t,
    `node: \${NODE}-1
listeners:
  - { name: "\${NAME:-a,b}", type: tcp, port: \${PORT:-1}, proxyProtocol: \${PROXY} }
  - { name: '$\${x}', type: ws, port: \${UNSET:-7} }
store: { type: level, path: \${DIR:-./data} }
`,
    { NODE: 'n', PORT: '1884', PROXY: 'true', DIR: '' },
  )
  assert.deepEqual(told(problems), [])
  assert.equal(config?.node, 'n-1')
  const [first, second] = config?.listeners ?? []
  assert.ok(first?.type === 'tcp' && second?.type === 'ws')
  assert.deepEqual([first.name, first.port, first.proxyProtocol], ['a,b', 1884, true])
  assert.deepEqual([second.name, second.port], ['${x}', 7])
  assert.ok(config?.store.type === 'level' && config.store.path === './data')
})

test('environment: a quoted number stays text', { timeout }, async (t) => {
  const { file } = await readYamlFileWith(t, 'a: "${X}"\nb: ${X}\n', { X: '007' })
  assert.deepEqual(file?.value, { a: '007', b: 7 })
})

async function readYamlFileWith(t: TestContext, text: string, env: Record<string, string>) {
  const path = join(await temporaryFolder(t), 'file.yaml')
  await writeFile(path, text)
  return readYamlFile(path, z.record(z.string(), z.unknown()), { env })
}

test('environment: what is not set or misspelt is told where it stands', { timeout }, async (t) => {
  const { problems } = await load(t, 'node: ${NOPE}\nstore: { type: level, path: "x/${1X}" }\n# ${COMMENT}\n')
  assert.deepEqual(told(problems), [
    '1:7: the environment variable NOPE is not set; set it, or write ${NOPE:-default}',
    '2:29: "${1X}" is not an environment variable; write ${NAME}, ${NAME:-default}, or $${ for the text',
  ])
})

test('environment: a value cannot bring in YAML of its own', { timeout }, async (t) => {
  const { file } = await readYamlFileWith(t, 'a: ${X}\n', { X: '{ b: 1 }' })
  assert.deepEqual(file?.value, { a: '{ b: 1 }' })
})

test('yaml: what is no YAML is told with its place', { timeout }, async (t) => {
  const anything = z.unknown()
  const cases: [string | Buffer, RegExp][] = [
    ['a: 1\nb: 2\na: 3\n', /^3:1: the key "a" stands here a second time; keep one$/],
    ['1: x\n"1": y\n', /^2:1: the key "1" stands here a second time/],
    ['a:\n\tb: 1\n', /^2:1: Tabs are not allowed as indentation$/],
    ['a: [1\n', /^2:1: Flow sequence/],
    ['a: !thing 1\n', /^1:4: Unresolved tag: !thing$/],
    ['? [a]\n: 1\n', /^1:3: a key must be plain text$/],
    ['__proto__: 1\n', /^1:1: the key "__proto__" is not allowed$/],
    ['a: *b\n', /^1:4: \*b points at no &b before it$/],
    ['a: 1\n---\nb: 1\n', /^2:1: .*multiple documents/],
    [Buffer.from([0x61, 0x3a, 0x20, 0xff]), /^1:1: is not UTF-8 text/],
    ['['.repeat(100_000), /nested too deep to be read$/],
    [`a: &a [x,x]\n${chain(40)}`, /more than 1000 aliases unfolded$/],
  ]
  for (const [text, expected] of cases) {
    const { file, problems } = await read(t, text, anything)
    assert.equal(file, undefined, String(text).slice(0, 40))
    assert.match(told(problems)[0] ?? '', expected)
  }
})

test('yaml: a few lines of aliases cannot ask for hours', { timeout }, async (t) => {
  const long = Array.from({ length: 20_000 }, (_, index) => `x${index}`).join()
  const nested = `${'&b ['.repeat(500)}${long}${']'.repeat(500)}`
  const cases: [string, RegExp][] = [
    [`a: &a [${long}]\nb: [${'*a,'.repeat(900)}]\n`, /aliases unfold to more than 100000 values$/],
    [`a: [&a x, ${'*a, '.repeat(50_000)}]\n`, /more than 10000 aliases$/],
    [`a: ${nested}\nb: [${'*b,'.repeat(900)}]\n`, /unfold/],
    [`a: &a [*a]\n`, /unfold/],
  ]
  for (const [text, expected] of cases) {
    const begun = processorMs()
    const { file, problems } = await read(t, text, z.unknown())
    assert.equal(file, undefined, text.slice(0, 40))
    assert.match(told(problems)[0] ?? '', expected)
    assert.ok(processorMs() - begun < 5_000, `${processorMs() - begun} ms`)
  }
  const { problems } = await read(t, `a: &a [${long}]\nb: *a\nc: [*a, *a]\n`, z.unknown())
  assert.deepEqual(problems, [])
})

/** Each line doubles the one before. */
function chain(length: number): string {
  const name = (index: number): string => (index === 0 ? 'a' : `a${index}`)
  return Array.from({ length }, (_, i) => `k${i}: &${name(i + 1)} [*${name(i)}, *${name(i)}]\n`).join('')
}

test('yaml: several syntax mistakes are told at once', { timeout }, async (t) => {
  const { problems } = await read(t, 'a: 1\na: 2\nb: !x 1\nc: 1\nc: 2\n', z.unknown())
  assert.deepEqual(
    problems.map(({ line }) => line),
    [2, 3, 5],
  )
})

test('yaml: a byte order mark and Windows line ends change no place', { timeout }, async (t) => {
  const { problems } = await read(t, '\ufeffa: 1\r\nb: x\r\n', z.strictObject({ a: z.number(), b: z.number() }))
  assert.deepEqual(told(problems), ['2:4: b: must be a number, not text'])
})

test('yaml: a file that is missing, a folder, or too large is one clear problem', { timeout }, async (t) => {
  const folder = await temporaryFolder(t)
  const missing = await readYamlFile(join(folder, 'no.yaml'), z.unknown())
  assert.deepEqual(told(missing.problems), ['1:1: there is no such file'])
  const directory = await readYamlFile(folder, z.unknown())
  assert.deepEqual(told(directory.problems), ['1:1: is a folder; name a file'])
  const large = await read(t, `a: ${'x'.repeat(100)}\n`, z.unknown(), 100)
  assert.deepEqual(told(large.problems), ['1:1: is larger than 100 bytes; is it the right file?'])
})

test('yaml: an empty file is an empty map or list, whichever is wanted', { timeout }, async (t) => {
  assert.deepEqual((await read(t, '# none\n', z.array(z.string()))).file?.value, [])
  assert.deepEqual((await read(t, '', z.record(z.string(), z.string()))).file?.value, {})
  assert.deepEqual(told((await read(t, '', z.strictObject({ a: z.string() }))).problems), [
    '1:1: the file must be a map, not nothing',
  ])
})

test('yaml: a union speaks with the branch that was meant', { timeout }, async (t) => {
  const user = z.union([z.string(), z.strictObject({ password: z.string(), groups: z.array(z.string()).default([]) })])
  const { problems } = await read(
    t,
    'alice: { password: x, group: [a] }\nbob: 5\ncarol:\n  groups: [1]\n  password: y\ndave: { }\n',
    z.record(z.string(), user),
  )
  assert.deepEqual(told(problems), [
    '1:23: alice.group: is not a setting; did you mean "groups"?',
    '2:6: bob: must be text or a map, not a number',
    '4:12: carol.groups.0: must be text, not a number',
    '6:7: dave.password: is missing',
  ])
})

test('yaml: a problem never shows the value, which may be a secret', { timeout }, async (t) => {
  const { problems } = await read(t, 'password: 4711\n', z.strictObject({ password: z.string() }))
  assert.deepEqual(told(problems), ['1:11: password: must be text, not a number'])
  for (const text of [
    'a: "x"\n"hunter2"\n',
    'a: "x" "hunter2"\n',
    'a: |hunter2\n',
    '"a": "\\hunter2"\n',
    'a: {}\n} hunter2\n',
  ]) {
    const { problems: mistakes } = await read(t, text, z.unknown())
    assert.ok(mistakes.length > 0, text)
    assert.doesNotMatch(told(mistakes).join(), /hunter/, text)
  }
})

test('yaml: locate leads to the value, through aliases too', { timeout }, async (t) => {
  const { file } = await read(t, 'a: &x\n  b: 1\nc: *x\nd: [1, 2]\n', z.unknown())
  const places = [['a', 'b'], ['c', 'b'], ['d', 1], ['d', 9], []].map((path) =>
    file?.locate(path).replace(/^.*yaml:/, ''),
  )
  assert.deepEqual(places, ['2:6', '2:6', '4:8', '4:4', '1:1'])
})

test('nearest: slips of the finger are found, other words are not', () => {
  const words = ['listeners', 'limits', 'packetMaxBytes', 'log']
  assert.equal(nearest('listners', words), 'listeners')
  assert.equal(nearest('packet-max-bytes', words), 'packetMaxBytes')
  assert.equal(nearest('lgo', words), 'log')
  assert.equal(nearest('something', words), undefined)
  assert.equal(nearest('x'.repeat(10_000), words), undefined)
})
