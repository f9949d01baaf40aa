// auth-jwt: the keys that an issuer publishes, when it rotates them, misbehaves, or is away.
import assert from 'node:assert/strict'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { AuthenticateAnswer } from '../../broker/plugin.ts'
import { makeCertificates } from '../helpers/certificates.ts'
import { type Answer, endless, json, startServer } from '../helpers/http-server.ts'
import { credentialsOf, type Loaded, load, temporaryFolder, writeFiles } from '../helpers/plugins.ts'
import { audience, claims, issuer, jwks, pairs, token } from '../helpers/tokens.ts'

const timeout = 30_000

const said = (answer: AuthenticateAnswer): string =>
  'deny' in answer ? `${answer.busy === true ? 'busy: ' : ''}${answer.deny}` : answer.identity.username

async function loadFrom(t: TestContext, url: string, settings = '', into?: string): Promise<Loaded> {
  const config = `plugins:\n  - auth-jwt: { jwks: "${url}", issuer: "${issuer}", audience: ${audience}, ${settings} }\n`
  return load(t, { 'oriole.yaml': config }, into)
}

async function login({ hooks }: Loaded, alg = 'ES256', kid = 'p256'): Promise<string> {
  return said(await hooks.authenticate(credentialsOf('alice', await token(claims(), { alg, kid }))))
}

test('auth-jwt: for a kid that is not known the issuer is asked again, but not before its time', {
  timeout,
}, async (t) => {
  const server = await startServer(t, json(jwks(['rsa'])))
  const loaded = await loadFrom(t, server.url, 'cooldownS: 2')
  assert.equal(await login(loaded, 'RS256', 'rsa'), 'alice')
  assert.equal(server.requests.length, 1)
  server.answer = json(jwks(['rsa', 'p256']))
  // The start was just now: who comes with unknown keys cannot have us ask on and on.
  for (let round = 0; round < 20; round += 1) assert.equal(await login(loaded), 'auth-jwt: no key fits the token')
  assert.equal(server.requests.length, 1)
  while ((await login(loaded)) !== 'alice') assert.ok(server.requests.length === 1)
  assert.equal(server.requests.length, 2)
})

test('auth-jwt: a key that is not known is no failed login while the issuer cannot be asked for it', {
  timeout,
}, async (t) => {
  const server = await startServer(t, json(jwks(['rsa'])))
  const loaded = await loadFrom(t, server.url, 'cooldownS: 1')
  server.answer = json('no', 503)
  let answer = await login(loaded)
  while (answer === 'auth-jwt: no key fits the token') answer = await login(loaded)
  const away = 'busy: auth-jwt: no known key fits the token, and the issuer cannot be asked for newer ones'
  assert.equal(answer, away)
  assert.equal(await login(loaded, 'RS256', 'rsa'), 'alice')
})

test('auth-jwt: a rotated key is found by the first token with it, asked for once', { timeout }, async (t) => {
  const server = await startServer(t, json(jwks(['rsa'])))
  const folder = await temporaryFolder(t)
  await (await loadFrom(t, server.url, '', folder)).stop()
  const waiting: (() => void)[] = []
  server.answer = (response, request) => waiting.push(() => json(jwks(['rsa', 'p256']))(response, request))
  // With kept keys the start does not wait; a hundred tokens with the new key wait for the one answer.
  const loaded = await loadFrom(t, server.url, '', folder)
  const logins = Array.from({ length: 100 }, () => login(loaded))
  await server.asked(2)
  waiting[0]!()
  assert.deepEqual(new Set(await Promise.all(logins)), new Set(['alice']))
  assert.equal(server.requests.length, 2)
})

test('auth-jwt: the last good keys survive a restart without the issuer, for their time', { timeout }, async (t) => {
  const server = await startServer(t, json(jwks()))
  const folder = await temporaryFolder(t)
  const first = await loadFrom(t, server.url, '', folder)
  assert.equal(await login(first), 'alice')
  await first.stop()
  await server.stop()
  const path = join(folder, 'data', 'auth-jwt', 'jwks.json')
  assert.equal((await stat(path)).mode & 0o777, 0o600)

  const second = await loadFrom(t, server.url, '', folder)
  assert.equal(await login(second), 'alice')
  await second.stop()

  const unknown = 'busy: auth-jwt: the keys of the issuer are not known yet'
  const kept = JSON.parse(await readFile(path, 'utf8')) as { fetchedAt: number }
  const useless = {
    'too old': { ...kept, fetchedAt: Date.now() - 8 * 86_400_000 },
    'from the future': { ...kept, fetchedAt: Date.now() + 86_400_000 },
    'of another issuer': { ...kept, url: 'https://other.example.org/' },
    damaged: { ...kept, jwks: 5 },
    'without a key': { ...kept, jwks: '{"keys":[]}' },
  }
  for (const [name, content] of Object.entries(useless)) {
    await writeFile(path, JSON.stringify(content))
    const loaded = await loadFrom(t, server.url, '', folder)
    assert.equal(await login(loaded), unknown, name)
    await loaded.stop()
  }
})

test('auth-jwt: while the issuer is away from the start nobody is let in, and it is asked again', {
  timeout,
}, async (t) => {
  const server = await startServer(t, json('no', 503))
  const loaded = await loadFrom(t, server.url)
  assert.match(await login(loaded), /^busy: /)
  server.answer = json(jwks())
  await loaded.log.until(({ phrase }) => phrase === 'keys of tokens fetched')
  assert.equal(await login(loaded), 'alice')
})

test('auth-jwt: whatever the issuer answers instead of keys, the last good ones stay', {
  timeout: 60_000,
}, async (t) => {
  const elsewhere = await startServer(t, json(jwks(['rsa'])))
  const server = await startServer(t, json(jwks(['p256'])))
  const folder = await temporaryFolder(t)
  await (await loadFrom(t, server.url, '', folder)).stop()
  const header = { 'content-type': 'application/json' }
  const [publicJwk] = jwks(['p256']).keys as object[]
  const misbehaviours: Record<string, Answer> = {
    'a redirect to other keys': (response) => response.writeHead(302, { location: elsewhere.url }).end(),
    'a permanent redirect': (response) => response.writeHead(308, { location: elsewhere.url }).end(),
    'an error with keys in it': json(jwks(['rsa']), 500),
    'a page of HTML': (response) => response.end('<html>login</html>'),
    nothing: (response) => response.end(),
    'half of it': (response) => response.writeHead(200, header).end(JSON.stringify(jwks(['rsa'])).slice(0, 100)),
    'no keys': json({ keys: [] }),
    'no list of keys': json({ keys: { kid: 'rsa' } }),
    'a shared secret': json({ keys: [{ kty: 'oct', k: Buffer.alloc(64, 'abcdefghijklmnop').toString('base64url') }] }),
    'private keys': json({ keys: [pairs.p256.privateKey.export({ format: 'jwk' })] }),
    'keys for encryption': json({ keys: [{ ...publicJwk, use: 'enc' }] }),
    'far too much': (response) => {
      response.writeHead(200, header)
      response.end(`{"keys":[],"x":"${'x'.repeat(300_000)}"}`)
    },
    ...endless('x'),
    'a promise of more than comes': (response) => {
      response.writeHead(200, { ...header, 'content-length': '5000' })
      response.write('{"keys":')
      response.destroy()
    },
    compressed: (response) => {
      response.writeHead(200, { ...header, 'content-encoding': 'gzip' })
      response.end(JSON.stringify(jwks(['rsa'])))
    },
    'a closed connection': (response) => void response.destroy(),
    'no HTTP': (response) => void response.socket?.end('220 mail.example.org ESMTP\r\n'),
  }
  for (const [name, answer] of Object.entries(misbehaviours)) {
    server.answer = answer
    const loaded = await loadFrom(t, server.url, 'timeoutMs: 300', folder)
    await loaded.log.until(({ phrase }) => phrase === 'keys of tokens not fetched, the last good ones stay')
    assert.equal(await login(loaded), 'alice', name)
    assert.match(await login(loaded, 'RS256', 'rsa'), /^busy: auth-jwt: no known key fits the token/, name)
    await loaded.stop()
  }
  assert.equal(elsewhere.requests.length, 0)
})

test('auth-jwt: an unusable key among others does no harm', { timeout }, async (t) => {
  const keys = [{ kty: 'oct', k: 'x' }, { kty: 'new' }, 5, null, ...(jwks(['p256']).keys as object[])]
  const server = await startServer(t, json({ keys }))
  assert.equal(await login(await loadFrom(t, server.url)), 'alice')
})

test('auth-jwt: over TLS only from a server whose certificate is trusted', { timeout }, async (t) => {
  const folder = await temporaryFolder(t)
  const certificates = await makeCertificates(folder)
  await writeFiles(folder, {})
  const pair = async ({ certificate, key }: { certificate: string; key: string }) => ({
    cert: await readFile(certificate),
    key: await readFile(key),
  })
  const server = await startServer(t, json(jwks()), await pair(certificates.server))
  const ca = `ca: "${certificates.ca}"`
  assert.equal(await login(await loadFrom(t, server.url, ca)), 'alice')
  assert.match(await login(await loadFrom(t, server.url)), /^busy: /, 'not by the authorities of the system')
  const impostor = await startServer(t, json(jwks()), await pair(certificates.stranger))
  assert.match(await login(await loadFrom(t, impostor.url, ca)), /^busy: /)
  // The right authority, another name: the certificate is for device-1.
  const other = await startServer(t, json(jwks()), await pair(certificates.client))
  assert.match(await login(await loadFrom(t, other.url, ca)), /^busy: /)
})
