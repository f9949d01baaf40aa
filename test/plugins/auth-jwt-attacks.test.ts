// auth-jwt: every known trick with tokens, over real sockets. Each row is a token that must not let anybody in.
import assert from 'node:assert/strict'
import { createHash, randomBytes, sign } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { CompactEncrypt } from 'jose'
import { startBroker, type TestBroker, temporaryFolder } from '../helpers/broker.ts'
import { json, startServer, type TestServer } from '../helpers/http-server.ts'
import { tryLogin } from '../helpers/login.ts'
import { writeFiles } from '../helpers/plugins.ts'
import {
  audience,
  claims,
  encode,
  issuer,
  type Json,
  jwks,
  now,
  pairs,
  pem,
  secret,
  signed,
  signedWithSecret,
  strangers,
  token,
  unsigned,
} from '../helpers/tokens.ts'

/** Bad User Name or Password. */
const refused = 0x86
const es256 = { alg: 'ES256', kid: 'p256' }
const rs256 = { alg: 'RS256', kid: 'rsa' }

interface Attack {
  readonly name: string
  readonly token: string
}

/** A broker that trusts two keys, and answers nobody who comes without a token. */
async function startTrusting(t: TestContext): Promise<TestBroker> {
  const folder = await temporaryFolder(t)
  await writeFiles(folder, { 'keys.json': JSON.stringify(jwks(['p256', 'rsa'])) })
  return startBroker(
    t,
    `
listeners: [{ name: tcp, type: tcp, port: 0 }]
store: { type: memory }
admin: { enabled: false }
limits: { failedLogins: { perMinute: 0 }, connectPacketMaxBytes: 65536 }
plugins:
  - auth-jwt: { keys: keys.json, issuer: "${issuer}", audience: ${audience}, groups: groups, rules: rules, username: ignore }
  - acl-open
`,
    folder,
  )
}

/** With a key of the forger's own in the header, or a URL to one. */
function ownKeys(server: TestServer): Attack[] {
  const jwk = strangers.p256.publicKey.export({ format: 'jwk' })
  const x5c = [strangers.p256.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')]
  const headers: Record<string, Json> = {
    'a key in the header (jwk)': { alg: 'ES256', jwk },
    'a key in the header, under the kid of a real one': { ...es256, jwk: { ...jwk, kid: 'p256' } },
    'a URL to keys (jku)': { ...es256, jku: server.url },
    'a URL to keys on the host of the issuer (jku)': { ...es256, jku: `${issuer}@127.0.0.1:${server.port}/` },
    'a certificate in the header (x5c)': { alg: 'ES256', x5c },
    'a URL to a certificate (x5u)': { ...es256, x5u: server.url },
    'a kid that is a URL': { alg: 'ES256', kid: server.url },
  }
  return Object.entries(headers).map(([name, header]) => ({
    name,
    token: signed(header, claims(), strangers.p256.privateKey),
  }))
}

/** Without a signature, or with one of another kind. */
async function algorithms(right: string): Promise<Attack[]> {
  const [header, payload, signature] = right.split('.') as [string, string, string]
  const none = ['none', 'None', 'NONE', 'nOnE', '', 'null'].map((alg) => ({
    name: `alg "${alg}" without a signature`,
    token: unsigned({ alg, typ: 'JWT' }),
  }))
  const publicPem = pem(pairs.rsa.publicKey)
  const confused = [publicPem, publicPem.trimEnd(), pem(pairs.p256.publicKey), '', 'null', 'secret', secret].map(
    (key, at) => ({
      name: `HS256 with what everybody knows, ${at}`,
      token: signedWithSecret('HS256', claims(), key, { kid: 'rsa' }),
    }),
  )
  const der = pairs.rsa.publicKey.export({ type: 'spki', format: 'der' })
  return [
    ...none,
    { name: 'alg none over a right signature', token: `${encode({ alg: 'none' })}.${payload}.${signature}` },
    ...confused,
    { name: 'HS256 with the public key in DER', token: signedWithSecret('HS256', claims(), der) },
    { name: 'HS512 with the JWK', token: signedWithSecret('HS512', claims(), JSON.stringify(jwks(['rsa']))) },
    { name: 'no alg', token: signed({ typ: 'JWT' }, claims()) },
    { name: 'alg is a list', token: signed({ alg: ['ES256'] }, claims()) },
    { name: 'alg is a number', token: signed({ alg: 5 }, claims()) },
    { name: 'alg in lower case', token: signed({ alg: 'es256', kid: 'p256' }, claims()) },
    { name: 'alg with a space', token: signed({ alg: 'ES256 ', kid: 'p256' }, claims()) },
    { name: 'alg of another curve', token: signed({ alg: 'ES384', kid: 'p256' }, claims()) },
    { name: 'alg of RSA for a signature of a curve', token: signed({ alg: 'RS256', kid: 'rsa' }, claims()) },
    { name: 'ES256K', token: signed({ alg: 'ES256K', kid: 'p256' }, claims()) },
    { name: 'signed by a stranger', token: signed(es256, claims(), strangers.p256.privateKey) },
    { name: 'signed by a stranger with RSA', token: rsaSigned(rs256, claims()) },
    { name: 'an empty signature', token: `${header}.${payload}.` },
    {
      name: 'a signature of zeros (CVE-2022-21449)',
      token: `${header}.${payload}.${Buffer.alloc(64).toString('base64url')}`,
    },
    { name: 'half a signature', token: `${header}.${payload}.${signature.slice(0, 43)}` },
    { name: 'a signature in DER', token: signed(es256, claims()).replace(/[^.]*$/, derSignature(header, payload)) },
    { name: 'a signature with other bits behind its end', token: `${header}.${payload}.${otherTail(signature)}` },
    { name: 'a signature in base64 with padding', token: `${header}.${payload}.${signature}==` },
    { name: 'no signature part', token: `${header}.${payload}` },
    { name: 'a fourth part', token: `${right}.${signature}` },
    { name: 'other claims under the signature', token: `${header}.${encode(claims({ sub: 'admin' }))}.${signature}` },
    { name: 'another header over the signature', token: `${encode({ ...es256, typ: 'JWT' })}.${payload}.${signature}` },
  ]
}

/** Headers that a right key signed, and that say what is not understood here. */
function headers(): Attack[] {
  const rows: Record<string, Json | string | Buffer> = {
    'crit with an unknown extension': { ...es256, crit: ['exp'], exp: now() + 60 },
    'crit that is empty': { ...es256, crit: [] },
    'crit that is no list': { ...es256, crit: 'b64' },
    'b64 false': { ...es256, b64: false, crit: ['b64'] },
    'b64 false without crit': { ...es256, b64: false },
    'a compressed payload (zip)': { ...es256, zip: 'DEF' },
    'a token inside the token (cty)': { ...es256, cty: 'JWT' },
    'a logout token (typ)': { ...es256, typ: 'logout+jwt' },
    'a typ that is no text': { ...es256, typ: true },
    'a kid that is a path': { alg: 'ES256', kid: '../../../../dev/null' },
    'a kid that is a path to the key': { alg: 'ES256', kid: '/proc/self/environ' },
    'a kid with SQL': { alg: 'ES256', kid: "p256' UNION SELECT 'key" },
    'a kid with a command': { alg: 'ES256', kid: 'p256|curl 127.0.0.1' },
    'a kid with U+0000': { alg: 'ES256', kid: 'p256\0' },
    'a kid of all objects': { alg: 'ES256', kid: '__proto__' },
    'a kid that is a list': { alg: 'ES256', kid: ['p256'] },
    'a kid that is null': { alg: 'ES256', kid: null },
    'a kid of a kilobyte': { alg: 'ES256', kid: 'p'.repeat(1_024) },
    'alg twice': '{"alg":"none","alg":"ES256","kid":"p256"}',
    'alg twice, once written with an escape': '{"\\u0061lg":"none","alg":"ES256","kid":"p256"}',
    'a header that is a list': '[{"alg":"ES256"}]',
    'a header that is null': 'null',
    'a header with a comment': '{"alg":"ES256"/**/}',
    'a header that is no UTF-8': Buffer.from(JSON.stringify({ ...es256, x: '\u00ff' }), 'latin1'),
  }
  return Object.entries(rows).map(([name, header]) => ({ name, token: signed(header, claims()) }))
}

/** Claims that a right key signed. */
function wrongClaims(): Attack[] {
  const rows: Record<string, Json | string | Buffer> = {
    'expired an hour ago': { exp: now() - 3_600 },
    'expired a moment past the tolerance': { exp: now() - 11 },
    'no exp': { exp: undefined },
    'exp is a text': { exp: String(now() + 3_600) },
    'exp is null': { exp: null },
    'exp is a list': { exp: [now() + 3_600] },
    'exp is negative': { exp: -1 },
    'exp is no number that a clock can show': { exp: 1e300 },
    'not yet valid': { nbf: now() + 3_600 },
    'nbf is a text': { nbf: '0' },
    'issued in the future': { iat: now() + 3_600 },
    'iat is a text': { iat: 'now' },
    'another issuer': { iss: 'https://login.example.com' },
    'an issuer that begins as ours': { iss: `${issuer}.evil.example` },
    'an issuer with a slash': { iss: `${issuer}/` },
    'no issuer': { iss: undefined },
    'a list of issuers': { iss: [issuer] },
    'an issuer that is null': { iss: null },
    'another audience': { aud: 'billing' },
    'no audience': { aud: undefined },
    'an empty list of audiences': { aud: [] },
    'a list without us': { aud: ['billing', 'oriole2'] },
    'a list in a list': { aud: [[audience]] },
    'an audience that is an object': { aud: { oriole: true } },
    'an audience with a space': { aud: 'oriole billing' },
    'no user': { sub: undefined },
    'a user that is a number': { sub: 7 },
    'a user that is a list': { sub: ['alice'] },
    'a user that is an object': { sub: { toString: 'alice' } },
    'a user that is empty': { sub: '' },
    'a user that is null': { sub: null },
    'a user that is +': { sub: '+' },
    'a user that is #': { sub: '#' },
    'a user with a level of its own': { sub: 'alice/#' },
    'a user that begins with $': { sub: '$SYS' },
    'a user with U+0000': { sub: 'alice\0' },
    'a user with a line feed': { sub: 'alice\nadmin' },
    'a user that is not NFC': { sub: 'Ame\u0301lie' },
    'a user with letters that nobody sees': { sub: 'al\u200bice' },
    'a user with half a character': JSON.stringify(claims({ sub: 'x' })).replace('"x"', '"\\ud800"'),
    'a user of ten thousand letters': { sub: 'a'.repeat(10_000) },
    'groups that are an object': { groups: { admins: true } },
    'a group that is a wildcard': { groups: ['family', '+'] },
    'a group that is a number': { groups: [1] },
    'groups without end': { groups: Array.from({ length: 1_001 }, (_, at) => `g${at}`) },
    'rules that are none': { rules: [{ allow: { publish: 'a/#/b' } }] },
    'rules that are a text': { rules: '[]' },
    'rules with a misspelt key': { rules: [{ deny: { publsh: ['#'] } }] },
    'sub twice': JSON.stringify(claims()).replace('{', '{"sub":"admin",'),
    'sub twice, once written with an escape': JSON.stringify(claims()).replace('{', '{"s\\u0075b":"admin",'),
    'exp twice': JSON.stringify(claims({ exp: undefined })).replace('{', `{"exp":1,"exp":${now() + 60},`),
    'claims that are no UTF-8': Buffer.from(JSON.stringify(claims({ sub: 'Am\u00e9lie' })), 'latin1'),
    'claims that are a list': '[]',
    'claims that are a text': '"alice"',
    'claims that are null': 'null',
    'claims that are no JSON': 'alice',
    'claims behind a byte order mark': `\ufeff${JSON.stringify(claims())}`,
  }
  return Object.entries(rows).map(([name, row]) => ({
    name,
    token: signed(es256, typeof row === 'string' || Buffer.isBuffer(row) ? row : claims(row)),
  }))
}

async function otherForms(right: string): Promise<Attack[]> {
  const [header, payload, signature] = right.split('.') as [string, string, string]
  const key = createHash('sha256').update(pem(pairs.rsa.publicKey)).digest()
  const encrypted = await new CompactEncrypt(Buffer.from(JSON.stringify(claims())))
    .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
    .encrypt(key)
  const forPublicKey = await new CompactEncrypt(Buffer.from(JSON.stringify(claims())))
    .setProtectedHeader({ alg: 'RSA-OAEP-256', enc: 'A256GCM', kid: 'rsa', cty: 'JWT' })
    .encrypt(pairs.rsa.publicKey)
  const flattened = JSON.stringify({ payload, protected: header, signature })
  return [
    { name: 'an encrypted token (JWE) with a key that everybody knows', token: encrypted },
    { name: 'an encrypted token (JWE) for the public key', token: forPublicKey },
    { name: 'a token as JSON', token: flattened },
    { name: 'a huge token', token: signed(es256, claims({ padding: 'x'.repeat(20_000) })) },
    { name: 'claims nested ten thousand deep', token: signed(es256, `{"a":${'['.repeat(5_000)}${']'.repeat(5_000)}}`) },
    { name: 'a space before', token: ` ${right}` },
    { name: 'a line feed behind', token: `${right}\n` },
    { name: 'with "Bearer"', token: `Bearer ${right}` },
    { name: 'two dots', token: '..' },
    { name: 'random bytes', token: randomBytes(300).toString('latin1') },
    { name: 'nothing', token: '' },
  ]
}

test('auth-jwt: every known trick is refused', { timeout: 120_000 }, async (t) => {
  const server = await startServer(t, json({ keys: [strangers.p256.publicKey.export({ format: 'jwk' })] }))
  const broker = await startTrusting(t)
  const login = (password: string) => tryLogin(t, broker.url(), { username: 'alice', password })
  const right = await token(claims(), es256)
  assert.equal(await login(right), 0, 'a right token is welcome')
  assert.equal(await login(await token(claims({ aud: ['billing', audience], groups: ['family'] }), rs256)), 0)

  const attacks = [
    ...ownKeys(server),
    ...(await algorithms(right)),
    ...headers(),
    ...wrongClaims(),
    ...(await otherForms(right)),
  ]
  assert.ok(attacks.length >= 100, `${attacks.length}`)
  assert.equal(new Set(attacks.map(({ name }) => name)).size, attacks.length)
  for (const { name, token } of attacks) assert.equal(await login(token), refused, name)
  assert.equal(server.requests.length, 0, 'nobody asked a URL that a token named')
  assert.equal(await login(right), 0, 'a right token is still welcome')
})

function rsaSigned(header: Json, payload: Json): string {
  const input = `${encode(header)}.${encode(payload)}`
  return `${input}.${sign('sha256', Buffer.from(input), strangers.rsa.privateKey).toString('base64url')}`
}

function derSignature(header: string, payload: string): string {
  return sign('sha256', Buffer.from(`${header}.${payload}`), pairs.p256.privateKey).toString('base64url')
}

/** 64 bytes are 86 characters, of whose last one four bits say nothing. */
function otherTail(signature: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return `${signature.slice(0, -1)}${alphabet[alphabet.indexOf(signature.at(-1)!) ^ 1]}`
}
