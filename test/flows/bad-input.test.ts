// What strangers and mistakes bring: each gets one clear line, nothing is let in, and the others notice nothing.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { connect as connectTcp, type Socket } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { connect } from 'mqtt'
import { type BrokerProcess, spawnBroker, temporaryFolder } from '../helpers/broker.ts'
import { connectClient } from '../helpers/client.ts'
import { makeCompany, passwordOf, type Transport, transports } from './company.ts'

const cli = fileURLToPath(new URL('../../broker/cli.js', import.meta.url))
const limits = 'limits: { connectTimeoutMs: 1000 }'

test('bad input: a wrong password is refused with a line that says so, without the password', {
  timeout: 30_000,
}, async (t) => {
  const house = await makeHouse(t)
  const wrong = 'Tr0ub4dor and three'
  for (const [protocolVersion, code] of [
    [4, 4],
    [5, 0x86],
  ] as const) {
    const client = connect(house.url('tcp'), {
      username: 'alice',
      password: wrong,
      protocolVersion,
      clientId: `stranger-${protocolVersion}`,
      reconnectPeriod: 0,
    })
    t.after(() => client.endAsync(true))
    const [error] = (await once(client as unknown as NodeJS.EventEmitter, 'error')) as [Error & { code?: number }]
    assert.equal(error.code, code)
    const line = await house.line((entry) => entry.clientId === `stranger-${protocolVersion}`)
    assert.equal(line.msg, 'connect refused')
    assert.match(String(line.because), /wrong password/)
    assert.equal(line.address, '127.0.0.1')
  }
  assert.ok(!house.broker.output().includes(wrong))
  await house.assertUndisturbed()
})

test('bad input: garbage bytes end their connection with one line each', { timeout: 30_000 }, async (t) => {
  const house = await makeHouse(t)
  const samples = {
    noise: Buffer.concat([Buffer.from([0xf7]), randomBytes(2_000)]),
    http: Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'),
    'a publish first': Buffer.from('3003000161', 'hex'),
    'a connect of 200 MB': Buffer.from('10ffffff5f00044d515454', 'hex'),
  }
  for (const bytes of Object.values(samples)) {
    const socket = connectTcp(house.port('tcp'), '127.0.0.1')
    const { localPort } = await closedAfter(socket, bytes)
    assert.ok(localPort > 0)
  }
  const secure = connectTls({ port: house.port('tls'), host: '127.0.0.1', ca: house.ca })
  await closedAfter(secure, samples.noise)
  await house.lines((entry) => String(entry.msg).startsWith('connection ended'), Object.keys(samples).length + 1)
  await house.assertUndisturbed()
})

for (const [what, isHalf] of [
  ['half a TLS handshake', true],
  ['MQTT without TLS on a TLS port', false],
] as const) {
  test(`bad input: ${what} is cut with one line`, { timeout: 30_000 }, async (t) => {
    const house = await makeHouse(t)
    const bytes = isHalf
      ? (await clientHello(t)).subarray(0, 60)
      : Buffer.from('101000044d5154540402003c00046162', 'hex')
    await closedAfter(connectTcp(house.port('tls'), '127.0.0.1'), bytes)
    const [line] = await house.lines((entry) => entry.listener === 'tls', 1)
    assert.equal(line?.msg, 'connection refused')
    assert.match(String(line.reason), isHalf ? /^(timeout|tls)$/ : /^tls$/)
    assert.equal(line.address, '127.0.0.1')
    await house.assertUndisturbed()
  })
}

test('bad input: a taken port is one line with the setting, and the broker that has it goes on', {
  timeout: 30_000,
}, async (t) => {
  const house = await makeHouse(t)
  const port = house.port('tcp')
  const failed = await failToStart(t, `listeners: [{ name: second, type: tcp, port: ${port} }]`)
  assert.equal(failed.text, `oriole: ORI_PORT_TAKEN: port ${port} is taken (listener "second"); set listeners.0.port\n`)
  assert.equal(failed.code, 1)
  await house.assertUndisturbed()
})

test('bad input: a data folder that cannot be used is one line with the setting', { timeout: 30_000 }, async (t) => {
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'a-file'), '')
  // The superuser may write into any folder, but into no file.
  const paths = [join(folder, 'a-file', 'data')]
  if (process.getuid?.() !== 0) {
    paths.push(join(folder, 'read-only', 'data'))
    await mkdir(join(folder, 'read-only'), { mode: 0o500 })
  }
  for (const path of paths) {
    const failed = await failToStart(t, `store: { type: level, path: ${path} }`)
    assert.equal(failed.code, 1)
    assert.match(
      failed.text,
      /^oriole: ORI_STORE_OPEN: cannot use .*\/data for the data: .*; set store\.path to a folder that this user may write\n$/,
    )
  }
})

type Line = Readonly<Record<string, unknown>>

interface House {
  readonly broker: BrokerProcess
  readonly ca: Buffer
  url(transport: Transport): string
  port(transport: Transport): number
  /** The first line of the log for which this holds; waits for it. */
  line(isIt: (entry: Line) => boolean): Promise<Line>
  /** All such lines, and there must be exactly this many. */
  lines(isIt: (entry: Line) => boolean, count: number): Promise<readonly Line[]>
  /** Alice and bob, connected since the beginning, still talk, and lost nothing. */
  assertUndisturbed(): Promise<void>
}

/** A company's broker with two of its people in conversation. */
async function makeHouse(t: TestContext): Promise<House> {
  const { configPath, folder, certificates } = await makeCompany(t, limits)
  const broker = await spawnBroker(t, configPath, folder)
  const url = (transport: Transport): string => broker.urls[transports.indexOf(transport)]!
  const entries = (): Line[] =>
    broker
      .output()
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as Line)
  const find = async (isIt: (entry: Line) => boolean, count: number): Promise<Line[]> => {
    for (;;) {
      const found = entries().filter(isIt)
      if (found.length >= count) return found
      await once(broker.child.stdout!, 'data')
    }
  }
  const login = (username: 'alice' | 'bob') => ({ username, password: passwordOf(username) })
  const alice = await connectClient(t, url('tcp'), login('alice'))
  const bob = await connectClient(t, url('tcp'), login('bob'))
  await bob.client.subscribeAsync('im/u/bob/#', { qos: 1 })
  await alice.client.publishAsync('im/u/bob/alice', 'before', { qos: 1 })
  let cuts = 0
  for (const { client } of [alice, bob]) client.on('close', () => (cuts += 1))
  return {
    broker,
    ca: await readFile(certificates.ca),
    url,
    port: (transport) => Number(new URL(url(transport)).port),
    line: async (isIt) => (await find(isIt, 1))[0]!,
    async lines(isIt, count) {
      const found = await find(isIt, count)
      assert.equal(found.length, count, JSON.stringify(found, null, 2))
      return found
    },
    async assertUndisturbed() {
      await alice.client.publishAsync('im/u/bob/alice', 'after', { qos: 1 })
      const received = await bob.messages(2)
      assert.deepEqual(
        received.map(({ text }) => text),
        ['before', 'after'],
      )
      assert.equal(cuts, 0)
    },
  }
}

/** Sends, and resolves when the broker has closed. */
async function closedAfter(socket: Socket, bytes: Buffer): Promise<{ readonly localPort: number }> {
  const closed = once(socket, 'close')
  socket.on('error', () => {})
  await once(socket, socket instanceof Object && 'encrypted' in socket ? 'secureConnect' : 'connect')
  const { localPort = 0 } = socket
  socket.resume()
  socket.write(bytes)
  await closed
  return { localPort }
}

/** What a TLS client says first. */
async function clientHello(t: TestContext): Promise<Buffer> {
  const { createServer } = await import('node:net')
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const { port } = server.address() as { port: number }
  const client = connectTls({ port, host: '127.0.0.1' })
  client.on('error', () => {})
  const [accepted] = (await once(server, 'connection')) as [Socket]
  const [bytes] = (await once(accepted, 'data')) as [Buffer]
  accepted.destroy()
  client.destroy()
  return bytes
}

/** What `oriole start` says on standard error, and its exit code. */
async function failToStart(t: TestContext, config: string): Promise<{ readonly text: string; readonly code: number }> {
  const folder = await temporaryFolder(t)
  const configPath = join(folder, 'oriole.yaml')
  const plugins = 'plugins: [auth-anonymous, acl-open]\nadmin: { enabled: false }\n'
  const rest = config.startsWith('listeners') ? '' : 'listeners: [{ name: tcp, type: tcp, port: 0 }]\n'
  await writeFile(configPath, `${config}\n${rest}${plugins}`)
  return new Promise((resolve) => {
    execFile(process.execPath, [cli, 'start', '--config', configPath], { cwd: folder }, (error, _stdout, stderr) => {
      resolve({ text: stderr, code: Number(error?.code ?? 0) })
    })
  })
}
