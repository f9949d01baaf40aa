// `oriole pub` and `oriole sub` against a real broker: what arrives, and one clear line for each way to fail.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { startBroker, type TestBroker, temporaryFolder } from '../helpers/broker.ts'
import { connectClient } from '../helpers/client.ts'
import { type CommandResult, runCommand, startCommand } from '../helpers/command.ts'

const timeout = 60_000

function pub(t: TestContext, broker: TestBroker, args: string[], input?: string | Buffer): Promise<CommandResult> {
  return runCommand(t, ['pub', '-p', String(broker.port()), ...args], input === undefined ? {} : { input })
}

function sub(t: TestContext, broker: TestBroker, args: string[]): Promise<CommandResult> {
  return runCommand(t, ['sub', '-p', String(broker.port()), ...args])
}

/** A retained message needs nobody to be there at the same moment. */
test('pub and sub: a message from the command line, a file and standard input', { timeout }, async (t) => {
  const broker = await startBroker(t)
  const file = join(await temporaryFolder(t), 'message')
  await writeFile(file, Buffer.from([0, 255, 10]))
  assert.equal((await pub(t, broker, ['-t', 'a/1', '-m', 'wörd', '-r', '-q', '1'])).exitCode, 0)
  assert.equal((await pub(t, broker, ['-t', 'a/2', '-r', '-q', '2', '-V', '3.1.1'], 'from stdin')).exitCode, 0)
  assert.equal((await pub(t, broker, ['-t', 'a/3', '-r', '-f', file, '-q', '1'])).exitCode, 0)
  const text = await sub(t, broker, ['-t', 'a/1', '-t', 'a/2', '-v', '--count', '2'])
  assert.equal(text.exitCode, 0, text.stderr)
  assert.deepEqual(text.stdout.trimEnd().split('\n').sort(), ['a/1 wörd', 'a/2 from stdin'])
  const { client, messages } = await connectClient(t, broker.url())
  await client.subscribeAsync('a/3')
  const [bytes] = await messages(1)
  assert.deepEqual(bytes?.packet.payload, Buffer.from([0, 255, 10]))
})

test('pub: properties of MQTT 5 arrive, and need MQTT 5', { timeout }, async (t) => {
  const broker = await startBroker(t)
  const { client, messages } = await connectClient(t, broker.url(), { protocolVersion: 5 })
  await client.subscribeAsync('p')
  const properties = ['--user-property', 'a=1', '--user-property', 'a=2', '--user-property', 'b=x=y']
  const others = [
    '--content-type',
    'text/plain',
    '--response-topic',
    'r',
    '--correlation-data',
    'c',
    '--message-expiry',
    '9',
  ]
  const sent = await pub(t, broker, ['-t', 'p', '-m', 'x', '-q', '1', ...properties, ...others])
  assert.equal(sent.exitCode, 0, sent.stderr)
  const packet = (await messages(1))[0]!.packet
  assert.deepEqual({ ...packet.properties?.userProperties }, { a: ['1', '2'], b: 'x=y' })
  assert.equal(packet.properties?.contentType, 'text/plain')
  assert.equal(packet.properties?.responseTopic, 'r')
  assert.equal(packet.properties?.correlationData?.toString(), 'c')
  const old = await pub(t, broker, ['-t', 'p', '-m', 'x', '-V', '3.1.1', ...properties])
  assert.equal(old.exitCode, 2)
  assert.match(old.stderr, /^oriole: properties need -V 5\n/)
})

test('pub and sub: over WebSocket', { timeout }, async (t) => {
  const broker = await startBroker(t)
  const url = `ws://127.0.0.1:${broker.port('ws')}`
  assert.equal((await runCommand(t, ['pub', '--url', url, '-t', 'w', '-m', 'web', '-r', '-q', '1'])).exitCode, 0)
  assert.equal((await runCommand(t, ['sub', '--url', url, '-t', 'w', '--count', '1'])).stdout, 'web\n')
})

test('sub: a kept session gets what it missed, and --count takes no message too many', { timeout }, async (t) => {
  const broker = await startBroker(t)
  const session = ['-t', 'k', '-q', '1', '-c', '-i', 'kept']
  assert.equal((await sub(t, broker, [...session, '--timeout', '1'])).exitCode, 0)
  for (const message of ['1', '2', '3', '4']) await pub(t, broker, ['-t', 'k', '-m', message, '-q', '1'])
  assert.equal((await sub(t, broker, [...session, '--count', '2'])).stdout, '1\n2\n')
  assert.equal((await sub(t, broker, [...session, '--count', '2'])).stdout, '3\n4\n')
})

test('sub: the end of the time is a failure only when messages were counted', { timeout }, async (t) => {
  const broker = await startBroker(t)
  assert.deepEqual(await sub(t, broker, ['-t', 'x', '--timeout', '1']), { exitCode: 0, stdout: '', stderr: '' })
  const counted = await sub(t, broker, ['-t', 'x', '--timeout', '1', '--count', '1'])
  assert.deepEqual(counted, { exitCode: 1, stdout: '', stderr: 'oriole: no message came in 1 s\n' })
})

test('pub and sub: a broker that says CONNACK and nothing more is given up at the end of the time', {
  timeout,
}, async (t) => {
  const silent = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => socket.write(Buffer.from([0x20, 3, 0, 0, 0])))
  })
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.after(() => silent.close())
  const to = ['-p', String((silent.address() as AddressInfo).port), '-t', 'x', '--timeout', '1']
  const [published, subscribed] = await Promise.all([
    runCommand(t, ['pub', ...to, '-m', 'x', '-q', '1']),
    runCommand(t, ['sub', ...to]),
  ])
  assert.deepEqual(
    [published.exitCode, published.stderr],
    [1, 'oriole: the broker did not acknowledge the message in 1 s\n'],
  )
  assert.deepEqual(
    [subscribed.exitCode, subscribed.stderr],
    [1, 'oriole: the broker did not acknowledge the subscription in 1 s\n'],
  )
})

test('sub: an interrupt ends it with exit code 0, the end of the broker with one line', { timeout }, async (t) => {
  const broker = await startBroker(t)
  await pub(t, broker, ['-t', 'x', '-m', 'there', '-r', '-q', '1'])
  const start = async () => {
    const command = startCommand(t, ['sub', '-p', String(broker.port()), '-t', 'x'])
    await once(command.child.stdout!, 'data')
    return command
  }
  const interrupted = await start()
  interrupted.child.kill('SIGINT')
  assert.equal((await interrupted.ended).exitCode, 0)
  const left = await start()
  await broker.stop()
  const { exitCode, stderr } = await left.ended
  assert.deepEqual([exitCode, stderr], [1, 'oriole: the broker ended the connection: server shutting down (0x8b)\n'])
})

test('pub and sub: nobody listens, a refused login, a denied topic: one line each', { timeout }, async (t) => {
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'users.yaml'), '')
  await writeFile(join(folder, 'acl.yaml'), '- allow: { subscribe: ["ok/#"], publish: ["ok/#"] }\n')
  const listeners = '- { name: tcp, type: tcp, port: 0 }'
  const rest = 'store: { type: memory }\nadmin: { enabled: false }'
  const strict = `listeners:\n  ${listeners}\n${rest}\nplugins: [{ auth-file: { users: users.yaml, admin: false } }]\n`
  const locked = await startBroker(t, strict, folder)
  const rules = `listeners:\n  ${listeners}\n${rest}\nplugins: [auth-anonymous, { acl-file: { rules: acl.yaml } }]\n`
  const ruled = await startBroker(t, rules, folder)

  const cases: [Promise<CommandResult>, RegExp][] = [
    [
      runCommand(t, ['pub', '-p', '1', '-t', 'a', '-m', 'x']),
      /^oriole: nobody listens at mqtt:\/\/127\.0\.0\.1:1; is the broker running\?\n$/,
    ],
    [pub(t, locked, ['-u', 'a', '-P', 'b', '-t', 'a', '-m', 'x']), /refused the connection: .*\(0x8[67]\)\n$/],
    [
      pub(t, locked, ['-u', 'a', '-P', 'b', '-t', 'a', '-m', 'x', '-V', '3.1.1']),
      /refused the connection: .*\(0x0[45]\)\n$/,
    ],
    [
      pub(t, ruled, ['-t', 'no', '-m', 'x', '-q', '1']),
      /^oriole: the broker refused the message to no: not authorized \(0x87\)\n$/,
    ],
    [
      sub(t, ruled, ['-t', 'ok/1', '-t', 'no']),
      /^oriole: the broker refused the subscription to no: not authorized \(0x87\)\n$/,
    ],
    [
      sub(t, ruled, ['-t', 'no', '-V', '3.1.1']),
      /^oriole: the broker refused the subscription to no: not granted \(0x80\)\n$/,
    ],
  ]
  for (const [command, expected] of cases) {
    const { exitCode, stdout, stderr } = await command
    assert.deepEqual([exitCode, stdout], [1, ''], stderr)
    assert.match(stderr, expected)
  }
  const invalid = await sub(t, ruled, ['-t', 'a/#/b'])
  assert.equal(invalid.exitCode, 2)
  assert.match(invalid.stderr, /^oriole: -t: Invalid topic a\/#\/b\n/)
})
