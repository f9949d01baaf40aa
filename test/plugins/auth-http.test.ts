// auth-http: a real HTTP server that answers well, and one that misbehaves in every way.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { type TestContext, test } from 'node:test'
import type { AuthenticateAnswer, Credentials } from '../../broker/plugin.ts'
import { checkPlugins } from '../../broker/plugins.ts'
import { startBroker, temporaryFolder } from '../helpers/broker.ts'
import { makeCertificates } from '../helpers/certificates.ts'
import { connectClient } from '../helpers/client.ts'
import { type Answer, endless, json, startServer } from '../helpers/http-server.ts'
import { tryLogin } from '../helpers/login.ts'
import { credentialsOf, type Loaded, load, readConfig, writeFiles } from '../helpers/plugins.ts'

const timeout = 60_000
const serverBusy = 0x89
const badPassword = 0x86

const noAnswer = 'busy: auth-http: the service gave no usable answer'
const leftAlone = 'busy: auth-http: the service failed too often and is left alone'

const said = (answer: AuthenticateAnswer): string =>
  'deny' in answer ? `${answer.busy === true ? 'busy: ' : ''}${answer.deny}` : answer.identity.username

function loadHttp(t: TestContext, url: string, settings = ''): Promise<Loaded> {
  return load(t, { 'oriole.yaml': `plugins:\n  - auth-http: { url: "${url}", ${settings} }\n` })
}

async function login({ hooks }: Loaded, username = 'alice', password = 'word', more?: Partial<Credentials>) {
  return said(await hooks.authenticate(credentialsOf(username, password, more)))
}

test('auth-http: the service is told all that is known of a client', { timeout }, async (t) => {
  const server = await startServer(t, json({ allow: true }))
  const loaded = await loadHttp(t, server.url, 'bearer: "s3cret of ours", cacheS: 0')
  const certificate = {
    commonName: 'device-1',
    subjectAltNames: ['DNS:a'],
    fingerprint: 'ab',
    endsAt: 0,
  }
  assert.equal(await login(loaded, 'alice', 'wörd', { certificate }), 'alice')
  assert.equal(
    said(await loaded.hooks.authenticate({ ...credentialsOf('bob'), password: Buffer.from([0xff, 0]) })),
    'bob',
  )
  const [first, second] = server.requests
  assert.equal(first?.method, 'POST')
  assert.equal(first.headers.authorization, 'Bearer s3cret of ours')
  assert.equal(first.headers['content-type'], 'application/json')
  assert.deepEqual(JSON.parse(first.body), {
    clientid: 'phone',
    username: 'alice',
    password: 'wörd',
    address: '127.0.0.1',
    listener: 'tcp',
    protocolVersion: 5,
    certificate,
  })
  const { password, passwordBase64 } = JSON.parse(second?.body ?? '') as Record<string, unknown>
  assert.deepEqual([password, passwordBase64], [null, '/wA='])
})

test('auth-http: what the service says of a client is who it is', { timeout }, async (t) => {
  const rules = [{ allow: { publish: ['own/{user}'] } }]
  const says = { username: 'a.lice', groups: ['ops'], roles: ['night'], attributes: { site: 'north' }, rules }
  const server = await startServer(t, json({ allow: true, ...says, lifetimeS: 60 }))
  const { hooks } = await loadHttp(t, server.url)
  const begun = Date.now()
  const answer = await hooks.authenticate(credentialsOf('alice', 'word'))
  assert.ok('identity' in answer)
  const { expiresAt, ...identity } = answer.identity
  assert.deepEqual(identity, says)
  assert.ok(expiresAt !== undefined && expiresAt >= begun + 60_000 && expiresAt <= Date.now() + 60_000)
})

test('auth-http: "no" is a failed login, 204 leaves it to the next plugin', { timeout }, async (t) => {
  const server = await startServer(t, json({ allow: false }))
  const { hooks } = await load(t, {
    'oriole.yaml': `plugins:\n  - auth-http: { url: "${server.url}" }\n  - auth-anonymous\n`,
  })
  assert.equal(said(await hooks.authenticate(credentialsOf('alice', 'word'))), 'auth-http: the service says no')
  server.answer = (response) => void response.writeHead(204).end()
  assert.equal(said(await hooks.authenticate(credentialsOf('alice', 'word'))), 'alice')
})

test('auth-http: over real sockets, with rules, and a service that goes away', { timeout }, async (t) => {
  const server = await startServer(
    t,
    json({ allow: true, rules: [{ allow: { publish: 'own/#', subscribe: 'own/#' } }] }),
  )
  const folder = await temporaryFolder(t)
  await writeFiles(folder, { 'acl.yaml': '[]\n' })
  const config = `
listeners: [{ name: tcp, type: tcp, port: 0 }]
store: { type: memory }
admin: { enabled: false }
limits: { failedLogins: { perMinute: 3, banS: 60 } }
plugins:
  - auth-http: { url: "${server.url}", cacheS: 0, failuresMax: 1000 }
  - acl-file: { rules: acl.yaml }
`
  const broker = await startBroker(t, config, folder)
  const options = { username: 'alice', password: 'word', protocolVersion: 5 } as const
  const { client, messages } = await connectClient(t, broker.url(), options)
  await client.subscribeAsync('own/a', { qos: 1 })
  await client.publishAsync('own/a', 'hello', { qos: 1 })
  assert.equal((await messages(1))[0]?.text, 'hello')
  await assert.rejects(client.publishAsync('other', 'x', { qos: 1 }))

  server.answer = json({ allow: false })
  assert.equal(await tryLogin(t, broker.url(), options), badPassword)
  await server.stop()
  // It counts for nothing that nobody was asked: who comes back with the service is not banned.
  for (let attempt = 0; attempt < 10; attempt += 1) assert.equal(await tryLogin(t, broker.url(), options), serverBusy)
  assert.equal(client.connected, true, 'who is in stays in')
  await startServer(t, json({ allow: true }), undefined, server.port)
  assert.equal(await tryLogin(t, broker.url(), options), 0)
})

const header = { 'content-type': 'application/json' }
const raw =
  (text: string, status = 200, headers: Record<string, string> = header): Answer =>
  (response) =>
    void response.writeHead(status, headers).end(text)

function misbehaviours(elsewhere: string): Record<string, Answer> {
  const yes = '{"allow":true}'
  return {
    'a redirect': raw('', 302, { location: elsewhere }),
    'a redirect that keeps the method': raw(yes, 307, { ...header, location: elsewhere }),
    'a permanent redirect': raw('', 308, { location: elsewhere }),
    'a yes with status 201': raw(yes, 201),
    'a yes with status 401': raw(yes, 401),
    'a yes with status 500': raw(yes, 500),
    'a yes as text': raw(yes, 200, { 'content-type': 'text/plain' }),
    'a yes without a type': raw(yes, 200, {}),
    'a page of HTML': raw('<html>login</html>', 200, { 'content-type': 'text/html' }),
    nothing: raw(''),
    'no JSON': raw('allow'),
    'two answers': raw('{"allow":true}{"allow":false}'),
    'allow twice': raw('{"allow":false,"allow":true}'),
    'allow as a text': raw('{"allow":"true"}'),
    'allow as a number': raw('{"allow":1}'),
    'no allow': raw('{"username":"alice"}'),
    'true alone': raw('true'),
    'a list': raw('[{"allow":true}]'),
    'a key that is not known': raw('{"allow":true,"admin":true}'),
    'allow of the prototype': raw('{"__proto__":{"allow":true}}'),
    'no UTF-8': (response) =>
      void response.writeHead(200, header).end(Buffer.from('{"allow":true,"username":"Am\xe9"}', 'latin1')),
    'a user that is a wildcard': raw('{"allow":true,"username":"#"}'),
    'a user that is empty': raw('{"allow":true,"username":""}'),
    'a user that is null and a number': raw('{"allow":true,"username":5}'),
    'groups that are a text': raw('{"allow":true,"groups":"ops"}'),
    'a group that is a wildcard': raw('{"allow":true,"groups":["+"]}'),
    'attributes with numbers': raw('{"allow":true,"attributes":{"floor":3}}'),
    'rules that are none': raw('{"allow":true,"rules":[{"alow":{}}]}'),
    'a lifetime of nothing': raw('{"allow":true,"lifetimeS":0}'),
    'a lifetime before now': raw('{"allow":true,"lifetimeS":-5}'),
    'a lifetime as a text': raw('{"allow":true,"lifetimeS":"60"}'),
    'a lifetime without end': raw('{"allow":true,"lifetimeS":1e999}'),
    'a yes of a megabyte': raw(`{"allow":true${' '.repeat(1024 * 1024)}}`),
    ...endless(' '),
    'silence after the head': (response) => void response.writeHead(200, header).write('{"allow":'),
    'a yes that is cut short': (response) => {
      response.writeHead(200, { ...header, 'content-length': '50' })
      response.write(yes)
      setImmediate(() => response.destroy())
    },
    'a compressed yes': raw(yes, 200, { ...header, 'content-encoding': 'gzip' }),
    'a closed connection': (response) => void response.destroy(),
    'no HTTP': (response) => void response.socket?.end('220 mail.example.org ESMTP\r\n'),
    'a head of a megabyte': (response) =>
      void response.socket?.end(`HTTP/1.1 200 OK\r\nx: ${'x'.repeat(1024 * 1024)}\r\n\r\n${yes}`),
  }
}

test('auth-http: whatever the service answers instead of yes is "no"', { timeout }, async (t) => {
  const elsewhere = await startServer(t, json({ allow: true }))
  const server = await startServer(t, json({ allow: true }))
  const loaded = await loadHttp(t, server.url, 'timeoutMs: 300, failuresMax: 1000, cacheS: 0')
  for (const [name, answer] of Object.entries(misbehaviours(elsewhere.url))) {
    server.answer = answer
    assert.equal(await login(loaded), noAnswer, name)
  }
  assert.equal(elsewhere.requests.length, 0, 'no redirect was followed')
  server.answer = json({ allow: true })
  assert.equal(await login(loaded), 'alice')
})

test('auth-http: a service that fails is left alone, then tried with one question', { timeout }, async (t) => {
  const server = await startServer(t, json('no', 503))
  const loaded = await loadHttp(t, server.url, 'failuresMax: 3, pauseS: 1, cacheS: 0')
  for (let attempt = 0; attempt < 3; attempt += 1) assert.equal(await login(loaded), noAnswer)
  for (let attempt = 0; attempt < 50; attempt += 1) assert.equal(await login(loaded), leftAlone)
  assert.equal(server.requests.length, 3)

  let answerNow = (): void => {}
  server.answer = (response, request) => {
    answerNow = () => json({ allow: true })(response, request)
  }
  let trial = login(loaded)
  // Until the pause is over each of them is told so at once.
  while ((await Promise.race([trial, server.asked(4).then(() => 'asked')])) !== 'asked') trial = login(loaded)
  for (let attempt = 0; attempt < 50; attempt += 1) assert.equal(await login(loaded, `user${attempt}`), leftAlone)
  answerNow()
  assert.equal(await trial, 'alice')
  server.answer = json({ allow: true })
  assert.equal(await login(loaded), 'alice')
  assert.equal(server.requests.length, 5)
})

test('auth-http: an allowed login is remembered, with all that was said of the client', { timeout }, async (t) => {
  const server = await startServer(t, json({ allow: true, groups: ['ops'] }))
  const loaded = await loadHttp(t, server.url)
  for (let round = 0; round < 10; round += 1) assert.equal(await login(loaded), 'alice')
  assert.equal(server.requests.length, 1)
  const others: Partial<Credentials>[] = [
    { clientId: 'other' },
    { address: '10.0.0.1' },
    { listener: 'tls' },
    { certificate: { commonName: 'x', subjectAltNames: [], fingerprint: 'x', endsAt: 0 } },
  ]
  for (const [at, other] of others.entries()) {
    assert.equal(await login(loaded, 'alice', 'word', other), 'alice')
    assert.equal(server.requests.length, at + 2)
  }
  server.answer = json({ allow: false })
  assert.equal(await login(loaded, 'alice', 'wrong'), 'auth-http: the service says no')
  assert.equal(await login(loaded, 'alice', 'word'), 'alice')
  server.answer = json({ allow: true })
  assert.equal(await login(loaded, 'alice', 'wrong'), 'alice', 'a "no" is never remembered')
})

test('auth-http: a login is remembered no longer than it lasts', { timeout }, async (t) => {
  const server = await startServer(t, json({ allow: true, lifetimeS: 0.2 }))
  const loaded = await loadHttp(t, server.url)
  const begun = performance.now()
  assert.equal(await login(loaded), 'alice')
  while (server.requests.length === 1) await login(loaded)
  assert.ok(performance.now() - begun >= 190, `${performance.now() - begun} ms`)
})

test('auth-http: so many questions at a time and no more; the same one is asked once', { timeout }, async (t) => {
  let open = 0
  let most = 0
  const server = await startServer(t, (response, request) => {
    open += 1
    most = Math.max(most, open)
    setImmediate(() => {
      open -= 1
      json({ allow: true })(response, request)
    })
  })
  const loaded = await loadHttp(t, server.url, 'requestsMax: 4, timeoutMs: 30000')
  const same = Array.from({ length: 100 }, () => login(loaded))
  assert.deepEqual(new Set(await Promise.all(same)), new Set(['alice']))
  assert.equal(server.requests.length, 1)

  const many = await Promise.all(Array.from({ length: 1_500 }, (_, at) => login(loaded, `user${at}`)))
  // On a busy machine the last of the thousand that wait may be late for their hook; they were not turned away.
  assert.ok(many.slice(0, 4).every((answer) => answer.startsWith('user')))
  assert.equal(many.filter((answer) => answer === 'busy: auth-http: too many logins at once').length, 496)
  assert.ok(most <= 4, `${most} at a time`)
})

test('auth-http: over TLS, with a certificate of our own, and only to who can prove its name', {
  timeout,
}, async (t) => {
  const folder = await temporaryFolder(t)
  const { ca, server: pair, client, stranger } = await makeCertificates(folder)
  const pem = async ({ certificate, key }: typeof pair) => ({
    cert: await readFile(certificate),
    key: await readFile(key),
  })
  const mutual = { ca: await readFile(ca), requestCert: true, rejectUnauthorized: true }
  const server = await startServer(t, json({ allow: true }), { ...(await pem(pair)), ...mutual })
  const own = `ca: "${ca}", certificate: "${client.certificate}", key: "${client.key}"`
  assert.equal(await login(await loadHttp(t, server.url, own)), 'alice')
  assert.equal(await login(await loadHttp(t, server.url, `ca: "${ca}"`)), noAnswer, 'without a certificate')
  assert.equal(await login(await loadHttp(t, server.url)), noAnswer, 'by the authorities of the system')
  for (const other of [stranger, client]) {
    const impostor = await startServer(t, json({ allow: true }), await pem(other))
    assert.equal(await login(await loadHttp(t, impostor.url, `ca: "${ca}"`)), noAnswer)
    assert.equal(impostor.requests.length, 0, 'no password was sent')
  }
})

test('auth-http: no password goes over the network in plain text, and none into the log', { timeout }, async (t) => {
  const folder = await temporaryFolder(t)
  const urls = {
    'http://auth.example.org/': /https/,
    'https://a:b@auth.example.org/': /user/,
    'ftp://x/': /https/,
    x: /URL/,
  }
  for (const [url, expected] of Object.entries(urls)) {
    await writeFiles(folder, { 'oriole.yaml': `plugins:\n  - auth-http: { url: "${url}" }\n` })
    const file = await readConfig(folder)
    const [problem] = await checkPlugins(file.value, file, {})
    assert.match(problem?.message ?? '', expected, url)
  }
  const server = await startServer(t, json('no', 500))
  const loaded = await loadHttp(t, server.url, 'bearer: s3cret')
  await login(loaded, 'alice', 'hunter2')
  assert.ok(loaded.log.lines.length > 0)
  assert.ok(!/hunter2|s3cret/.test(JSON.stringify(loaded.log.lines)))
})
