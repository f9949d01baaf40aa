// auth-jwt: tokens that are right, what they say of a client, and settings that are not safe.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { AuthenticateAnswer, Identity } from '../../broker/plugin.ts'
import { checkPlugins } from '../../broker/plugins.ts'
import { startBroker, type TestBroker } from '../helpers/broker.ts'
import { connectClient } from '../helpers/client.ts'
import { tryLogin } from '../helpers/login.ts'
import { credentialsOf, load, readConfig, replaceFile, temporaryFolder, writeFiles } from '../helpers/plugins.ts'
import { connectPacket, openRaw, type RawClient } from '../helpers/raw-client.ts'
import {
  audience,
  claims,
  issuer,
  type Json,
  jwks,
  now,
  pairOf,
  pairs,
  pem,
  secret,
  shortRsa,
  signedWithSecret,
  token,
} from '../helpers/tokens.ts'

const timeout = 30_000
const must = `issuer: "${issuer}", audience: ${audience}`

async function loadJwt(t: TestContext, settings = '', more: Readonly<Record<string, string>> = {}) {
  const config = `plugins:\n  - auth-jwt: { keys: keys.json, ${must}, ${settings} }\n`
  return load(t, { 'oriole.yaml': config, 'keys.json': JSON.stringify(jwks()), ...more })
}

const because = (answer: AuthenticateAnswer): string => ('deny' in answer ? answer.deny : answer.identity.username)

async function identityFrom(t: TestContext, settings: string, more: Json): Promise<Identity> {
  const { hooks } = await loadJwt(t, settings)
  const answer = await hooks.authenticate(credentialsOf('alice', await token(claims(more))))
  assert.ok('identity' in answer, because(answer))
  return answer.identity
}

async function startJwtBroker(t: TestContext, settings = ''): Promise<TestBroker> {
  const folder = await temporaryFolder(t)
  await writeFiles(folder, {
    'keys.json': JSON.stringify(jwks()),
    'acl.yaml': '- allow: { groups: ops, publish: plant/#, subscribe: plant/# }\n',
  })
  const config = `
listeners: [{ name: tcp, type: tcp, port: 0 }]
store: { type: memory }
admin: { enabled: false }
plugins:
  - auth-jwt: { keys: keys.json, ${must}, ${settings} }
  - acl-file: { rules: acl.yaml }
`
  return startBroker(t, config, folder)
}

test('auth-jwt: every algorithm lets in, over a real socket, with MQTT 3.1.1 and 5', { timeout }, async (t) => {
  const broker = await startJwtBroker(t)
  for (const alg of Object.keys(pairOf)) {
    const password = await token(claims(), { alg })
    for (const protocolVersion of [4, 5] as const) {
      assert.equal(await tryLogin(t, broker.url(), { username: 'alice', password, protocolVersion }), 0, alg)
    }
  }
})

test('auth-jwt: keys in PEM, one file for several', { timeout }, async (t) => {
  const keys = Object.values(pairs).map(({ publicKey }) => pem(publicKey))
  const { hooks } = await loadJwt(t, '', { 'keys.json': `# of our own login\n${keys.join('\n')}` })
  for (const alg of Object.keys(pairOf)) {
    const right = await token(claims(), { alg, kid: 'whatever' })
    assert.equal(because(await hooks.authenticate(credentialsOf('alice', right))), 'alice', alg)
  }
})

test('auth-jwt: a shared secret of 64 bytes is good for all of HS', { timeout }, async (t) => {
  const config = `plugins:\n  - auth-jwt: { secret: "${secret}", ${must} }\n`
  const { hooks } = await load(t, { 'oriole.yaml': config })
  for (const alg of ['HS256', 'HS384', 'HS512']) {
    assert.equal(because(await hooks.authenticate(credentialsOf('alice', await token(claims(), { alg })))), 'alice')
  }
  const guessed = signedWithSecret('HS256', claims(), 'another secret')
  assert.equal(because(await hooks.authenticate(credentialsOf('alice', guessed))), 'auth-jwt: the signature is wrong')
})

test('auth-jwt: `algorithms` leaves the others out, and a JWK with "alg" is for that one', { timeout }, async (t) => {
  const [key] = jwks(['rsa']).keys as Json[]
  const { hooks } = await loadJwt(t, 'algorithms: [PS256, RS256]', {
    'keys.json': JSON.stringify({ keys: [{ ...key, alg: 'PS256' }, ...(jwks(['p256']).keys as Json[])] }),
  })
  const ask = async (alg: string) =>
    because(await hooks.authenticate(credentialsOf('alice', await token(claims(), { alg }))))
  assert.equal(await ask('PS256'), 'alice')
  assert.equal(await ask('RS256'), 'auth-jwt: no key fits the token')
  assert.equal(await ask('ES256'), 'auth-jwt: the algorithm is not allowed')
})

test('auth-jwt: nothing but the user is taken from a token unless a setting names the claim', {
  timeout,
}, async (t) => {
  const exp = now() + 100
  const generous = { exp, groups: ['admins'], roles: ['admin'], rules: [{ allow: { publish: '#' } }], publish: ['#'] }
  assert.deepEqual(await identityFrom(t, '', generous), {
    username: 'alice',
    groups: [],
    roles: [],
    attributes: {},
    expiresAt: exp * 1_000,
  })
})

test('auth-jwt: claims for user, groups, roles and attributes, also inside others', { timeout }, async (t) => {
  const settings =
    'username: ignore, user: email_name, groups: scope, roles: [realm_access, roles], ' +
    'attributes: { site: "https://example.org/site", floor: floor, room: room }'
  const identity = await identityFrom(t, settings, {
    email_name: 'Amélie',
    scope: 'ops  night',
    realm_access: { roles: ['operator'] },
    'https://example.org/site': 'north',
    floor: 3,
  })
  const { expiresAt: _, ...rest } = identity
  assert.deepEqual(rest, {
    username: 'Amélie',
    groups: ['ops', 'night'],
    roles: ['operator'],
    attributes: { site: 'north', floor: '3' },
  })
})

test('auth-jwt: a claim that every object has by nature is not there', { timeout }, async (t) => {
  const { hooks } = await loadJwt(t, 'user: [realm, constructor, name], groups: toString')
  assert.equal(
    because(await hooks.authenticate(credentialsOf('Object', await token(claims({ realm: {} }))))),
    'auth-jwt: the username is no name',
  )
})

test('auth-jwt: the username of CONNECT must be that of the token, or does not count', { timeout }, async (t) => {
  const right = await token()
  const strict = await loadJwt(t)
  assert.equal(because(await strict.hooks.authenticate(credentialsOf('alice', right))), 'alice')
  assert.equal(because(await strict.hooks.authenticate(credentialsOf(undefined, right))), 'alice')
  for (const other of ['bob', 'Alice', '']) {
    const answer = await strict.hooks.authenticate(credentialsOf(other, right))
    assert.equal(because(answer), 'auth-jwt: the username is not that of the token')
  }
  const loose = await loadJwt(t, 'username: ignore')
  assert.equal(because(await loose.hooks.authenticate(credentialsOf('bob', right))), 'alice')
})

test('auth-jwt: exp is when the proof ends; within the tolerance, when that ends', { timeout }, async (t) => {
  const late = now() - 5
  assert.equal((await identityFrom(t, 'clockSkewS: 60', { exp: late })).expiresAt, (late + 60) * 1_000)
  assert.equal((await identityFrom(t, 'requireExpiry: false', { exp: undefined })).expiresAt, undefined)
})

test('auth-jwt: `issuer: false` and `audience: false` take every one', { timeout }, async (t) => {
  const { hooks } = await load(t, {
    'oriole.yaml': 'plugins:\n  - auth-jwt: { keys: keys.json, issuer: false, audience: false }\n',
    'keys.json': JSON.stringify(jwks()),
  })
  const anybody = await token(claims({ iss: undefined, aud: 'somebody' }))
  assert.equal(because(await hooks.authenticate(credentialsOf('alice', anybody))), 'alice')
})

test('auth-jwt: what is no token is left to the next plugin', { timeout }, async (t) => {
  const { hooks } = await load(t, {
    'oriole.yaml': `plugins:\n  - auth-jwt: { keys: keys.json, ${must} }\n  - auth-anonymous\n`,
    'keys.json': JSON.stringify(jwks()),
  })
  for (const password of ['a word', 'correct horse. battery. staple!', 'correct.horse.staple', undefined]) {
    assert.equal(because(await hooks.authenticate(credentialsOf('bob', password))), 'bob')
  }
  // Headers with spaces before and after the brace, and what begins as one.
  for (const token of [
    'eyJhbGciOiJub25lIn0.e30.',
    'IHsgImFsZyI6Im5vbmUifQ.e30.',
    'eyAiYWxnIjoibm9uZSJ9.e30.',
    'eyJ!.x',
  ]) {
    assert.match(because(await hooks.authenticate(credentialsOf('bob', token))), /^auth-jwt: /, token)
  }
})

test('auth-jwt: rules in the token hold for this login, for as long as it is there', { timeout }, async (t) => {
  const broker = await startJwtBroker(t, 'publish: publ, subscribe: subs, rules: acl')
  const password = await token(
    claims({ publ: ['own/{user}'], subs: ['own/#'], acl: [{ deny: { subscribe: ['own/secret'] } }] }),
  )
  const { client, messages } = await connectClient(t, broker.url(), { username: 'alice', password, protocolVersion: 5 })
  const granted = await client
    .subscribeAsync(['own/#', 'own/secret', 'plant/#'], { qos: 1 })
    .catch((error) => error.packet)
  assert.deepEqual(Array.isArray(granted) ? granted.map(({ qos }) => qos) : granted.granted, [1, 0x87, 0x87])
  await client.publishAsync('own/alice', 'hello', { qos: 1 })
  assert.equal((await messages(1))[0]?.text, 'hello')
  await assert.rejects(client.publishAsync('own/bob', 'hello', { qos: 1 }))
})

const auth = (reasonCode: number, data: string) => ({
  cmd: 'auth' as const,
  reasonCode,
  properties: { authenticationMethod: 'jwt', authenticationData: Buffer.from(data) },
})

/** Logged in by enhanced authentication. */
async function exchange(t: TestContext, broker: TestBroker, data: string): Promise<RawClient> {
  const client = await openRaw(t, broker.port())
  const properties = { authenticationMethod: 'jwt', authenticationData: Buffer.from(data) }
  client.send(connectPacket({ properties }))
  return client
}

test('auth-jwt: enhanced authentication, and a newer token that brings newer rights', { timeout }, async (t) => {
  const broker = await startJwtBroker(t, 'groups: groups')
  const client = await exchange(t, broker, await token(claims({ groups: ['ops'] })))
  assert.equal((await client.expect('connack')).reasonCode, 0)
  assert.deepEqual(await client.subscribe('plant/#'), [0])
  client.publish('plant/a', 'x')
  assert.deepEqual(await client.texts(1), ['x'])

  client.send(auth(0x19, await token(claims({ groups: ['guests'] }))) as never)
  assert.equal((await client.expect('auth')).reasonCode, 0)
  client.publish('plant/a', 'y')
  assert.deepEqual(await client.subscribe('plant/#'), [0x87])
  await client.nothing()
})

test('auth-jwt: who renews as somebody else, or with a wrong token, is sent away', { timeout }, async (t) => {
  const broker = await startJwtBroker(t)
  for (const next of [await token(claims({ sub: 'bob' })), await token(claims({ exp: 1 })), 'eyJ.x', '']) {
    const client = await exchange(t, broker, await token())
    assert.equal((await client.expect('connack')).reasonCode, 0)
    client.send(auth(0x19, next) as never)
    await client.disconnected(0x87)
  }
  const stranger = await exchange(t, broker, 'eyJhbGciOiJub25lIn0.e30.')
  assert.equal((await stranger.expect('connack')).reasonCode, 0x87)
})

test('auth-jwt: who renews stays, and who does not is disconnected when the token ends', { timeout }, async (t) => {
  const broker = await startJwtBroker(t)
  const exp = now() + 2
  const [stays, goes] = await Promise.all(
    [0, 1].map(async () => {
      const client = await exchange(t, broker, await token(claims({ exp })))
      assert.equal((await client.expect('connack')).reasonCode, 0)
      return client
    }),
  )
  stays!.send(auth(0x19, await token()) as never)
  assert.equal((await stays!.expect('auth')).reasonCode, 0)
  await goes!.expect('disconnect')
  const lateMs = Date.now() - exp * 1_000
  assert.ok(lateMs >= 0 && lateMs < 1_500, `${lateMs} ms`)
  await stays!.nothing()
})

test('auth-jwt: a changed file of keys is in use at once, a broken one is not', { timeout }, async (t) => {
  const { hooks, folder, log } = await loadJwt(t, '', { 'keys.json': JSON.stringify(jwks(['rsa'])) })
  const ask = async (alg: string) =>
    because(await hooks.authenticate(credentialsOf('alice', await token(claims(), { alg }))))
  assert.equal(await ask('RS256'), 'alice')
  assert.equal(await ask('ES256'), 'auth-jwt: no key fits the token')
  await replaceFile(join(folder, 'keys.json'), JSON.stringify(jwks(['p256'])))
  await log.until(({ phrase }) => phrase === 'changed file is in use')
  assert.equal(await ask('ES256'), 'alice')
  assert.equal(await ask('RS256'), 'auth-jwt: no key fits the token')
  await replaceFile(join(folder, 'keys.json'), '{ "keys": [')
  await log.until(({ phrase }) => phrase.startsWith('changed file is broken'))
  assert.equal(await ask('ES256'), 'alice')
})

/** The settings of auth-jwt, and what must be said of them. */
const unsafe: readonly (readonly [string, RegExp])[] = [
  [`secret: short, ${must}`, /shorter than 32 bytes/],
  [`secret: ${'a'.repeat(40)}, ${must}`, /can be guessed/],
  [`secret: ${'secret'.repeat(8)}, ${must}`, /can be guessed/],
  [`secret: a-string-secret-at-least-256-bits-long, ${must}`, /can be guessed/],
  [`secret: "", ${must}`, /shorter than 32 bytes/],
  [must, /has no keys/],
  [`keys: keys.json, issuer: x`, /audience/],
  [`keys: keys.json, audience: x`, /issuer/],
  [`keys: keys.json, ${must}, algorithms: [none]`, /algorithms/],
  [`jwks: "http://login.example.org/keys", ${must}`, /must begin with https/],
  [`jwks: "https://user:word@login.example.org/keys", ${must}`, /must not hold a user/],
  [`jwks: "file:///etc/passwd", ${must}`, /must begin with https/],
]

const brokenKeys: readonly (readonly [string, RegExp])[] = [
  ['', /holds no key/],
  ['{ "keys": [] }', /holds no key/],
  ['{ "keys": 5 }', /is no list/],
  ['{ "keys": [{}] }', /key 1 is damaged/],
  ['{ "keys": [', /is no JSON/],
  [JSON.stringify({ keys: [{ kty: 'oct', k: randomBytes(16).toString('base64url') }] }), /shorter than 32 bytes/],
  [JSON.stringify({ keys: [{ kty: 'oct', k: '' }] }), /damaged secret/],
  [JSON.stringify({ keys: [{ ...pairs.p256.publicKey.export({ format: 'jwk' }), use: 'enc' }] }), /not for signatures/],
  [JSON.stringify({ keys: [{ ...pairs.p256.publicKey.export({ format: 'jwk' }), alg: 'RS256' }] }), /"alg"/],
  [JSON.stringify({ keys: [{ ...pairs.p256.publicKey.export({ format: 'jwk' }), kid: 5 }] }), /"kid"/],
  [JSON.stringify(pairs.p256.privateKey.export({ format: 'jwk' })), /private key/],
  [pairs.rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string, /private key/],
  [pem(shortRsa().publicKey), /fewer than 2048 bits/],
  [JSON.stringify({ kty: 'RSA', n: pairs.rsa.publicKey.export({ format: 'jwk' }).n, e: 'AQ' }), /exponent|damaged/],
  [JSON.stringify({ keys: Array.from({ length: 101 }, () => (jwks(['p256']).keys as Json[])[0]) }), /more than 100/],
]

async function problemsOf(t: TestContext, settings: string, keys = JSON.stringify(jwks())): Promise<string> {
  const folder = await temporaryFolder(t)
  await writeFiles(folder, { 'oriole.yaml': `plugins:\n  - auth-jwt: { ${settings} }\n`, 'keys.json': keys })
  const file = await readConfig(folder)
  return (await checkPlugins(file.value, file, {})).map(({ file, message }) => `${file}: ${message}`).join('\n')
}

test('auth-jwt: settings that are not safe, and keys that are none, are refused at the start', {
  timeout,
}, async (t) => {
  assert.equal(await problemsOf(t, `keys: keys.json, ${must}`), '')
  for (const [settings, expected] of unsafe) assert.match(await problemsOf(t, settings), expected, settings)
  for (const [keys, expected] of brokenKeys) {
    assert.match(await problemsOf(t, `keys: keys.json, ${must}`, keys), expected, keys)
  }
  assert.ok(!(await problemsOf(t, `secret: hunter2, ${must}`)).includes('hunter2'), 'the secret is not repeated')
})
