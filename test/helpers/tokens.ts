// An issuer of tokens for tests: real keys of every kind, and the means to sign what no honest issuer would.
import { createHmac, createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { SignJWT } from 'jose'

export type Json = Record<string, unknown>

export const issuer = 'https://login.example.org'
export const audience = 'oriole'
export const secret = randomBytes(64).toString('base64')

interface Pair {
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
}

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const ec = (namedCurve: string): Pair => generateKeyPairSync('ec', { namedCurve })
const ed = generateKeyPairSync('ed25519')

export const pairs = { rsa, p256: ec('P-256'), p384: ec('P-384'), p521: ec('P-521'), ed } as const satisfies Record<
  string,
  Pair
>
/** Of nobody whom the broker trusts. */
export const strangers = { rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }), p256: ec('P-256') }

export const pairOf: Readonly<Record<string, Pair>> = {
  ...{ RS256: rsa, RS384: rsa, RS512: rsa, PS256: rsa, PS384: rsa, PS512: rsa },
  ...{ ES256: pairs.p256, ES384: pairs.p384, ES512: pairs.p521, EdDSA: ed, Ed25519: ed },
}

export function now(): number {
  return Math.floor(Date.now() / 1_000)
}

/** Good for an hour, for alice. */
export function claims(more: Json = {}): Json {
  return { iss: issuer, aud: audience, sub: 'alice', iat: now(), exp: now() + 3_600, ...more }
}

/** The `kid` of a pair is its name in `pairs`. */
export function jwks(names: readonly (keyof typeof pairs)[] = Object.keys(pairs) as (keyof typeof pairs)[]): Json {
  return { keys: names.map((name) => ({ ...pairs[name].publicKey.export({ format: 'jwk' }), kid: name, use: 'sig' })) }
}

/** A right token; a claim that is undefined is left out. */
export function token(payload: Json = claims(), header: Json = {}): Promise<string> {
  const alg = (header.alg as string | undefined) ?? 'ES256'
  const pair = pairOf[alg]
  const key = pair?.privateKey ?? Buffer.from(secret)
  return new SignJWT(payload).setProtectedHeader({ alg, ...header }).sign(key)
}

/** Signed with ES256 and the right key, whatever stands in it: an object, or the text or the bytes themselves. */
export function signed(
  header: Json | string | Buffer,
  payload: Json | string | Buffer,
  key: KeyObject = pairs.p256.privateKey,
): string {
  const input = `${encode(header)}.${encode(payload)}`
  const signature = sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' })
  return `${input}.${signature.toString('base64url')}`
}

/** Signed with a secret that the forger chose. */
export function signedWithSecret(
  alg: 'HS256' | 'HS512',
  payload: Json,
  key: string | Buffer,
  header: Json = {},
): string {
  const input = `${encode({ alg, ...header })}.${encode(payload)}`
  const hash = alg === 'HS256' ? 'sha256' : 'sha512'
  return `${input}.${createHmac(hash, key).update(input).digest('base64url')}`
}

export function unsigned(header: Json, payload: Json = claims()): string {
  return `${encode(header)}.${encode(payload)}.`
}

export function encode(value: Json | string | Buffer): string {
  if (Buffer.isBuffer(value)) return value.toString('base64url')
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
}

export function pem(key: KeyObject): string {
  return key.export({ type: 'spki', format: 'pem' }) as string
}

/** An RSA key too short to be trusted. */
export function shortRsa(): Pair {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 })
  return { publicKey, privateKey: createPrivateKey(privateKey.export({ type: 'pkcs8', format: 'pem' })) }
}
