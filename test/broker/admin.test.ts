// The admin server: alive, ready with reasons, numbers, and who may ask.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { type TestContext, test } from 'node:test'
import { type Admin, openAdmin } from '../../broker/admin/server.ts'
import { createMetrics } from '../../broker/metrics/metrics.ts'
import type { PluginLog } from '../../broker/plugin.ts'

const timeout = 10_000

interface Answer {
  readonly status: number
  readonly headers: string
  readonly body: string
}

test('admin: /live answers as long as the process does', { timeout }, async (t) => {
  const { url } = await open(t, { readyReasons: () => ['store is broken'] })
  const response = await fetch(`${url}/live`)
  assert.equal(response.status, 200)
  assert.deepEqual(await response.json(), { live: true })
})

test('admin: /ready says yes, or no with the reasons', { timeout }, async (t) => {
  let reasons: string[] = []
  const { url } = await open(t, { readyReasons: () => reasons })
  const yes = await fetch(`${url}/ready`)
  assert.equal(yes.status, 200)
  assert.deepEqual(await yes.json(), { ready: true })
  reasons = ['the store cannot write', 'the event loop is late']
  const no = await fetch(`${url}/ready`)
  assert.equal(no.status, 503)
  assert.deepEqual(await no.json(), { ready: false, reasons })
})

test('admin: /metrics is in the text format of Prometheus', { timeout }, async (t) => {
  const { url } = await open(t)
  const response = await fetch(`${url}/metrics`)
  assert.equal(response.status, 200)
  assert.match(response.headers.get('content-type') ?? '', /^text\/plain; .*version=0\.0\.4/)
  assert.match(await response.text(), /^oriole_commits_total 42$/m)
})

test('admin: no cookie, nothing kept by caches', { timeout }, async (t) => {
  const { url } = await open(t)
  for (const path of ['/live', '/ready', '/metrics', '/nothing']) {
    const { headers } = await fetch(`${url}${path}`)
    assert.equal(headers.get('set-cookie'), null)
    assert.equal(headers.get('cache-control'), 'no-store')
    assert.equal(headers.get('x-content-type-options'), 'nosniff')
    assert.equal(headers.get('access-control-allow-origin'), null)
  }
})

test('admin: another path or method gets one line that lists the routes', { timeout }, async (t) => {
  const { url } = await open(t)
  for (const [method, path] of [
    ['GET', '/'],
    ['POST', '/live'],
    ['GET', '/../live/x'],
  ] as const) {
    const response = await fetch(`${url}${path}`, { method })
    assert.equal(response.status, 404)
    assert.deepEqual(await response.json(), { error: 'nothing here; there are GET /live, GET /ready, GET /metrics' })
  }
})

test('admin: only loopback names as Host, so that no web page can ask through a name of its own', {
  timeout,
}, async (t) => {
  const { port } = await open(t)
  for (const host of ['localhost', `LocalHost:${port}`, `127.0.0.1:${port}`, '[::1]', `[::1]:${port}`, '127.1.2.3']) {
    assert.equal((await ask(port, `GET /live HTTP/1.1\r\nHost: ${host}\r\n`)).status, 200, host)
  }
  const strangers = ['evil.example', '127.0.0.1.evil.example', 'localhost.evil.example', '10.0.0.1', '[::2]', '']
  for (const host of strangers) {
    const answer = await ask(port, `GET /metrics HTTP/1.1\r\nHost: ${host}\r\n`)
    assert.equal(answer.status, 421, host)
    assert.doesNotMatch(answer.body, /oriole_/)
  }
  assert.equal((await ask(port, 'GET /metrics HTTP/1.0\r\n')).status, 421)
  assert.equal((await ask(port, 'GET http://evil.example/metrics HTTP/1.1\r\nHost: evil.example\r\n')).status, 421)
})

test('admin: garbage gets 400 and nothing else happens', { timeout }, async (t) => {
  const { port, url } = await open(t)
  assert.equal((await ask(port, '\x10\x0c\0\x04MQTT\r\n')).status, 400)
  assert.equal((await ask(port, 'GET /%zz HTTP/1.1\r\nHost: localhost\r\n')).status, 400)
  assert.equal((await fetch(`${url}/live`)).status, 200)
})

test('admin: a question that fails is answered 500 and logged', { timeout }, async (t) => {
  const phrases: string[] = []
  const log = {
    ...silent,
    error: (fields: object, phrase: string) => phrases.push(`${phrase} ${JSON.stringify(fields)}`),
  }
  const readyReasons = (): string[] => {
    throw new Error('planted')
  }
  const { url } = await open(t, { log, readyReasons })
  const response = await fetch(`${url}/ready`)
  assert.equal(response.status, 500)
  assert.doesNotMatch(await response.text(), /planted/)
  assert.deepEqual(phrases, ['admin request failed {"error":"planted"}'])
})

test('admin: a port that is taken is named, with the setting to change', { timeout }, async (t) => {
  const other = createServer().listen(0, '127.0.0.1')
  t.after(() => other.close())
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo
  await assert.rejects(open(t, {}, port), {
    code: 'ORI_PORT_TAKEN',
    message: `port ${port} is taken (admin); set admin.port`,
  })
})

test('admin: an address that is not loopback is refused', { timeout }, async (t) => {
  for (const host of ['0.0.0.0', '::', 'example.com', '192.0.2.1']) {
    await assert.rejects(open(t, {}, 0, host), {
      code: 'ORI_LISTEN_FAILED',
      message: /set admin\.host to 127\.0\.0\.1/,
    })
  }
})

test('admin: close ends connections that wait', { timeout }, async (t) => {
  const admin = await open(t)
  const socket = connect({ port: admin.port, host: '127.0.0.1' })
  socket.on('error', () => {})
  await once(socket, 'connect')
  const ended = new Promise((resolve) => socket.once('close', resolve))
  socket.resume()
  await fetch(`${admin.url}/live`)
  await admin.close()
  await ended
})

const silent: PluginLog = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

interface Overrides {
  readonly log?: PluginLog
  readonly readyReasons?: () => readonly string[]
}

async function open(t: TestContext, overrides: Overrides = {}, port = 0, host = '127.0.0.1'): Promise<Admin> {
  const metrics = createMetrics()
  t.after(() => metrics.close())
  metrics.counts.commits = 42
  const deps = { log: silent, metrics, readyReasons: () => [], ...overrides }
  const admin = await openAdmin({ enabled: true, host, port }, deps)
  t.after(() => admin.close())
  return admin
}

/** As raw text, because fetch lets nobody write the Host. */
async function ask(port: number, head: string): Promise<Answer> {
  const socket = connect({ port, host: '127.0.0.1' })
  socket.write(`${head}Connection: close\r\n\r\n`)
  let text = ''
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
  })
  await once(socket, 'close')
  const [headers = '', body = ''] = text.split('\r\n\r\n', 2)
  return { status: Number(headers.split(' ', 2)[1]), headers, body }
}
