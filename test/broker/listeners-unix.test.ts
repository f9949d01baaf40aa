// Unix sockets: the file, its mode, and what to do with one that is there already.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { makeFolder, openTestListener, receive } from '../helpers/listener.ts'

const timeout = 10_000

test('unix: bytes come through, the file is 0600 and gone after close', { timeout }, async (t) => {
  const path = join(await makeFolder(t), 'oriole.sock')
  const { listener, port, nextConnection } = await openTestListener(t, { type: 'unix', path })
  assert.equal((await stat(path)).mode & 0o777, 0o600)
  const socket = connect(path)
  t.after(() => socket.destroy())
  socket.write('hello')
  assert.equal(String(await receive(socket, 5)), 'hello')
  const connection = await nextConnection()
  assert.equal(connection.address, '')
  assert.equal(connection.port, 0)
  assert.equal(port, 0)
  assert.equal(listener.url, `unix:${path}`)
  await listener.close()
  assert.equal(existsSync(path), false)
})

test('unix: a socket file that nobody listens on is replaced', { timeout }, async (t) => {
  const path = join(await makeFolder(t), 'oriole.sock')
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => console.log('up'))`
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  child.kill('SIGKILL')
  await once(child, 'exit')
  assert.equal(existsSync(path), true, 'the killed process left its file')
  await openTestListener(t, { type: 'unix', path })
  const socket = connect(path)
  t.after(() => socket.destroy())
  socket.write('x')
  assert.equal(String(await receive(socket, 1)), 'x')
})

test('unix: a socket file that somebody listens on is left alone', { timeout }, async (t) => {
  const path = join(await makeFolder(t), 'oriole.sock')
  await openTestListener(t, { type: 'unix', path })
  await assert.rejects(openTestListener(t, { type: 'unix', path }), {
    code: 'ORI_PORT_TAKEN',
    message: `socket "${path}" is taken (listener "test"); set listeners.0.path`,
  })
  const socket = connect(path)
  t.after(() => socket.destroy())
  socket.write('x')
  assert.equal(String(await receive(socket, 1)), 'x')
})

test('unix: a file that is no socket is left alone', { timeout }, async (t) => {
  const path = join(await makeFolder(t), 'letter.txt')
  await writeFile(path, 'dear diary')
  await assert.rejects(openTestListener(t, { type: 'unix', path }), { code: 'ORI_LISTEN_FAILED', message: /no socket/ })
  assert.equal(await readFile(path, 'utf8'), 'dear diary')
})

test('unix: a folder that is not there and a path that is too long are named', { timeout }, async (t) => {
  const folder = await makeFolder(t)
  const missing = join(folder, 'no', 'oriole.sock')
  await assert.rejects(openTestListener(t, { type: 'unix', path: missing }), {
    code: 'ORI_LISTEN_FAILED',
    message: /cannot make the socket file ".*no\/oriole\.sock".*set listeners\.0\.path/,
  })
  const long = join(folder, 'x'.repeat(120))
  await assert.rejects(openTestListener(t, { type: 'unix', path: long }), { message: /longer than 103 bytes/ })
})

test('unix: a proxy may say who the client is', { timeout }, async (t) => {
  const path = join(await makeFolder(t), 'oriole.sock')
  const { nextConnection } = await openTestListener(t, { type: 'unix', path, proxyProtocol: true })
  const socket = connect(path)
  t.after(() => socket.destroy())
  socket.write('PROXY TCP4 203.0.113.9 10.0.0.1 5000 1883\r\nhello')
  assert.equal(String(await receive(socket, 5)), 'hello')
  assert.equal((await nextConnection()).address, '203.0.113.9')
})
