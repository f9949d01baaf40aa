// auth-certificate: real certificates over real TLS, and lists of those that were revoked.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import type { IClientOptions, MqttClient } from 'mqtt'
import { generate } from 'mqtt-packet'
import { checkAll } from '../../broker/check.ts'
import { startBroker, type TestBroker, temporaryFolder } from '../helpers/broker.ts'
import {
  issueCertificate,
  makeCertificates,
  type TestCertificates,
  writeRevocationList,
} from '../helpers/certificates.ts'
import { connectClient } from '../helpers/client.ts'
import { tryLogin } from '../helpers/login.ts'
import { credentialsOf, load, writeFiles } from '../helpers/plugins.ts'

const timeout = 60_000
const badPassword = 0x86
const notAuthorized = 0x87

interface House {
  readonly folder: string
  readonly crl: string
  readonly certificates: TestCertificates
  readonly broker: TestBroker
  login(pair: Pair, options?: IClientOptions & { readonly listener?: string }): Promise<number>
  options(pair: Pair): Promise<IClientOptions>
}
type Pair = TestCertificates['client']

interface Wish {
  readonly plugins: string
  /** Names of revoked certificates; undefined: there is no list. */
  readonly revoked?: readonly string[]
  readonly crlDays?: number
}

/** Listeners `tls`, `wss` and `open`, the last of which asks for no certificate. */
async function startHouse(t: TestContext, { plugins, revoked, crlDays }: Wish): Promise<House> {
  const folder = await temporaryFolder(t)
  const certificates = await makeCertificates(folder)
  const crl = join(folder, 'revoked.pem')
  if (revoked !== undefined) await writeRevocationList(folder, crl, revoked, crlDays)
  const { certificate, key } = certificates.server
  const tls = `port: 0, certificate: "${certificate}", key: "${key}"`
  const mutual = `${tls}, ca: "${certificates.ca}", clientCertificate: optional${revoked === undefined ? '' : `, crl: "${crl}"`}`
  const broker = await startBroker(
    t,
    `
listeners:
  - { name: tls, type: tls, ${mutual} }
  - { name: wss, type: wss, ${mutual} }
  - { name: open, type: tls, ${tls} }
store: { type: memory }
admin: { enabled: false }
limits: { failedLogins: { perMinute: 0 } }
plugins: ${plugins}
`,
    folder,
  )
  const ca = await readFile(certificates.ca)
  const options = async (pair: Pair): Promise<IClientOptions> => ({
    ca: [ca],
    cert: await readFile(pair.certificate),
    key: await readFile(pair.key),
    protocolVersion: 5,
  })
  return {
    folder,
    crl,
    certificates,
    broker,
    options,
    login: async (pair, { listener = 'tls', ...more } = {}) =>
      tryLogin(t, broker.url(listener), { ...(await options(pair)), ...more }),
  }
}

test('auth-certificate: the common name is the user, over TLS and WebSocket', { timeout }, async (t) => {
  const { broker, certificates, login, options, folder } = await startHouse(t, {
    plugins: '[auth-certificate, acl-open]',
  })
  for (const listener of ['tls', 'wss']) assert.equal(await login(certificates.client, { listener }), 0)
  assert.equal(await login(certificates.client, { username: 'device-1', password: 'whatever' }), 0)
  assert.equal(await login(certificates.client, { username: 'device-2' }), badPassword)
  // The session belongs to the user of the certificate.
  await connectClient(t, broker.url('tls'), { ...(await options(certificates.client)), clientId: 'own' })
  const other = await issueCertificate(folder, 'other', 'device-2', '')
  assert.equal(await login(other, { clientId: 'own' }), notAuthorized)
  assert.equal(await login(other, { clientId: 'another' }), 0)
})

test('auth-certificate: without a certificate the next plugin is asked; a strange one is none', {
  timeout,
}, async (t) => {
  const { broker, certificates, login } = await startHouse(t, { plugins: '[auth-certificate, acl-open]' })
  const ca = [await readFile(certificates.ca)]
  assert.equal(await tryLogin(t, broker.url('tls'), { ca }), badPassword)
  assert.equal(await tryLogin(t, broker.url('open'), { ca }), badPassword)
  assert.equal(await login(certificates.client, { listener: 'open' }), badPassword, 'nobody asked for it')
  await assert.rejects(login(certificates.stranger))
})

test('auth-certificate: from alternative names, each listener in its own way', { timeout }, async (t) => {
  const plugins = `
  - auth-certificate:
      listeners:
        tls: { user: uri, prefix: "urn:oriole:", groups: [devices] }
        wss: { user: dns }
  - acl-open
`
  const { folder, login } = await startHouse(t, { plugins })
  const device = await issueCertificate(
    folder,
    'one',
    'x',
    'URI:urn:oriole:pump-7,URI:urn:other:x,DNS:pump.example.org',
  )
  const username = (name: string, listener: string) => login(device, { listener, username: name })
  assert.equal(await username('pump-7', 'tls'), 0)
  assert.equal(await username('pump.example.org', 'tls'), badPassword)
  assert.equal(await username('pump.example.org', 'wss'), 0)
  const twice = await issueCertificate(
    folder,
    'two',
    'x',
    'URI:urn:oriole:a,URI:urn:oriole:b,DNS:a.example.org,DNS:b.example.org',
  )
  for (const listener of ['tls', 'wss']) assert.equal(await login(twice, { listener }), badPassword)
  const none = await issueCertificate(folder, 'none', 'x', 'email:a@example.org')
  for (const listener of ['tls', 'wss']) assert.equal(await login(none, { listener }), badPassword)
})

test('auth-certificate: a name that could be more than a name lets nobody in', { timeout }, async (t) => {
  const { folder, login } = await startHouse(t, { plugins: '[auth-certificate, acl-open]' })
  const subjects = [
    '/CN=\\+',
    '/CN=#',
    '/CN=a\\/b',
    '/CN=$SYS',
    '/O=nobody',
    '/CN=a/CN=b',
    '/CN=a\u200bb',
    '/CN= a',
    '/CN=*',
  ]
  for (const [at, subject] of subjects.entries()) {
    assert.equal(await login(await issueCertificate(folder, `hostile${at}`, subject, '')), badPassword, subject)
  }
  assert.equal(await login(await issueCertificate(folder, 'good', 'Amélie', '')), 0)
})

test('auth-certificate: the proof ends with the certificate', { timeout }, async (t) => {
  const { hooks } = await load(t, { 'oriole.yaml': 'plugins: [auth-certificate]\n' })
  const certificate = { commonName: 'device-1', subjectAltNames: [], fingerprint: 'x', endsAt: 1_900_000_000_000 }
  assert.deepEqual(await hooks.authenticate(credentialsOf(undefined, undefined, { certificate })), {
    identity: { username: 'device-1', groups: [], roles: [], attributes: {}, expiresAt: 1_900_000_000_000 },
  })
})

test('crl: who was revoked is not let in, nor who of those that are in', { timeout }, async (t) => {
  const house = await startHouse(t, { plugins: '[auth-certificate, acl-open]', revoked: ['gone'] })
  const { folder, crl, certificates, broker, login, options } = house
  const gone = await issueCertificate(folder, 'gone', 'device-9', '')
  await assert.rejects(login(gone), 'revoked before the start')

  const keeper = await issueCertificate(folder, 'keeper', 'device-2', '')
  const stays = await connectClient(t, broker.url('tls'), { ...(await options(keeper)), clientId: 'keeper' })
  const leaving = await Promise.all(
    (['tls', 'wss'] as const).map(async (listener) => {
      const own = { ...(await options(certificates.client)), clientId: `leaving-${listener}` }
      return connectClient(t, broker.url(listener), own)
    }),
  )
  const told = leaving.map(({ client }) => goodbye(client))
  await writeRevocationList(folder, crl, ['gone', 'client'])
  assert.deepEqual(await Promise.all(told), [notAuthorized, notAuthorized])
  for (const listener of ['tls', 'wss']) await assert.rejects(login(certificates.client, { listener }))
  assert.equal(await login(keeper, { clientId: 'other' }), 0)
  assert.equal(stays.client.connected, true)
  await stays.client.publishAsync('a', 'x', { qos: 1 })
})

test('crl: a TLS session from before does not bring a revoked certificate back', { timeout }, async (t) => {
  const house = await startHouse(t, { plugins: '[auth-certificate, acl-open]', revoked: [] })
  const { folder, crl, certificates, broker, options } = house
  const { ca, cert, key } = await options(certificates.client)
  const pair = { ca, cert, key } as { ca: Buffer[]; cert: Buffer; key: Buffer }
  const tls = (version: 'TLSv1.2' | 'TLSv1.3') => ({
    ...pair,
    ...{ host: '127.0.0.1', port: broker.port('tls'), minVersion: version, maxVersion: version },
  })
  const sessions: { readonly session: Buffer; readonly version: 'TLSv1.2' | 'TLSv1.3' }[] = []
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const socket = connectTls(tls(version))
    t.after(() => socket.destroy())
    const [session] = (await once(socket, 'session')) as [Buffer]
    sessions.push({ session, version })
    // A session can be taken up as long as nothing was revoked: so it is that list which ends it below.
    const again = connectTls({ ...tls(version), session })
    t.after(() => again.destroy())
    await once(again, 'secureConnect')
    assert.equal(again.isSessionReused(), true, version)
  }
  const watcher = await connectClient(t, broker.url('tls'), await options(certificates.client))
  const told = goodbye(watcher.client)
  await writeRevocationList(folder, crl, ['client'])
  await told
  for (const { session, version } of sessions) {
    const socket = connectTls({ ...tls(version), session })
    t.after(() => socket.destroy())
    const answered: Buffer[] = []
    socket.on('error', () => {})
    socket.on('data', (bytes: Buffer) => answered.push(bytes))
    socket.write(generate({ cmd: 'connect', clientId: 'back', keepalive: 60, protocolVersion: 4, clean: true }))
    await new Promise((resolve) => socket.once('close', resolve))
    assert.deepEqual(answered, [], version)
  }
})

/** The reason with which the broker says goodbye. */
function goodbye(client: MqttClient): Promise<number | undefined> {
  return new Promise((resolve) => {
    client.once('disconnect', ({ reasonCode }) => resolve(reasonCode))
  })
}

test('crl: a broken list changes nothing, and an ended one lets nobody in', { timeout }, async (t) => {
  const house = await startHouse(t, { plugins: '[auth-certificate, acl-open]', revoked: ['gone'] })
  const { folder, crl, certificates, login } = house
  const gone = await issueCertificate(folder, 'gone', 'device-9', '')
  for (const broken of ['', 'no list', `${(await readFile(crl, 'utf8')).slice(0, 200)}\n-----END X509 CRL-----\n`]) {
    await writeFile(crl, broken)
    await assert.rejects(login(gone))
    assert.equal(await login(certificates.client), 0)
  }
  const ended = await startHouse(t, { plugins: '[auth-certificate, acl-open]', revoked: [], crlDays: 1 / 86_400 })
  // A second has to pass until the list has ended.
  while ((await ended.login(ended.certificates.client).catch(() => -1)) === 0);
  await assert.rejects(ended.login(ended.certificates.client))
})

test('crl: a start with a list that is none, or without certificates to check, is refused', { timeout }, async (t) => {
  const folder = await temporaryFolder(t)
  const { server, ca } = await makeCertificates(folder)
  const problemsWith = async (settings: string): Promise<string> => {
    const tls = `port: 0, certificate: "${server.certificate}", key: "${server.key}"`
    const config = `listeners: [{ name: tls, type: tls, ${tls}, ${settings} }]\nplugins: [auth-certificate]\n`
    await writeFiles(folder, { 'oriole.yaml': config })
    return (await checkAll(join(folder, 'oriole.yaml'), {})).map(({ message }) => message).join('\n')
  }
  const crl = join(folder, 'revoked.pem')
  const mutual = `ca: "${ca}", clientCertificate: required`
  assert.match(await problemsWith(`${mutual}, crl: "${crl}"`), /cannot read crl .*set crl to a readable PEM file/)
  await writeFile(crl, await readFile(ca))
  assert.match(await problemsWith(`${mutual}, crl: "${crl}"`), /is not a valid PEM file .*give revocation lists/)
  await writeRevocationList(folder, crl, [])
  assert.equal(await problemsWith(`${mutual}, crl: "${crl}"`), '')
  assert.match(await problemsWith(`crl: "${crl}"`), /none is asked for.*set listeners\.0\.clientCertificate/)
})
