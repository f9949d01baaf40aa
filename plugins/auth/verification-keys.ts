// Keys that tokens are checked with: from a JWKS, from PEM, or a shared secret. Each knows its algorithms, so that no
// token can have a key used for another.
import { createPublicKey, createSecretKey, type JsonWebKey, type KeyObject } from 'node:crypto'
import { isObject, parseStrictJson } from './strict-json.ts'

export interface VerificationKey {
  /** Undefined: for tokens with any `kid`, or none. */
  readonly keyId: string | undefined
  readonly algorithms: readonly Algorithm[]
  readonly key: KeyObject
}

export const algorithms = [
  ...(['HS256', 'HS384', 'HS512', 'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] as const),
  ...(['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'] as const),
] as const
export type Algorithm = (typeof algorithms)[number]

/** More are the wrong file. */
const keysMax = 100
const keyIdMaxLength = 256
const rsaMinBits = 2_048

const rsaAlgorithms: readonly Algorithm[] = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512']
const curveAlgorithms: Readonly<Record<string, readonly Algorithm[]>> = {
  prime256v1: ['ES256'],
  secp384r1: ['ES384'],
  secp521r1: ['ES512'],
}
/** A secret is at least as long as what the hash gives (RFC 7518, 3.2). */
const secretAlgorithms: readonly (readonly [Algorithm, number])[] = [
  ['HS256', 32],
  ['HS384', 48],
  ['HS512', 64],
]

/** What a text with keys holds: the keys, and in plain words what is wrong, with its line from 1. */
export interface ReadKeys {
  readonly keys: readonly VerificationKey[]
  readonly mistakes: readonly { readonly line: number; readonly message: string }[]
}

/** PEM with public keys or certificates, a JWK or a JWKS. `secrets`: shared secrets are keys too. */
export function readKeys(text: string, secrets: boolean): ReadKeys {
  return text.trimStart().startsWith('{') ? readJwks(text, secrets) : readPem(text)
}

/** Why a shared secret is none; undefined when it is good. */
export function secretMistake(secret: Buffer): string | undefined {
  if (secret.length < 32) return 'is shorter than 32 bytes; make one with `openssl rand -base64 48`'
  const text = secret.toString('latin1')
  if (publishedSecrets.has(text) || new Set(secret).size < 10 || isRepetition(text)) {
    return 'can be guessed; make one with `openssl rand -base64 48`'
  }
  return undefined
}

/** Of a secret that has no mistake. */
export function secretKey(secret: Buffer, keyId?: string): VerificationKey {
  const fitting = secretAlgorithms.filter(([, bytes]) => secret.length >= bytes)
  return { keyId, algorithms: fitting.map(([algorithm]) => algorithm), key: createSecretKey(secret) }
}

/** From the pages that everybody copies from. */
const publishedSecrets: ReadonlySet<string> = new Set([
  'a-string-secret-at-least-256-bits-long',
  'a-valid-string-secret-that-is-at-least-384-bits-long',
  'a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long',
  'your-256-bit-secret-your-256-bit-secret',
])

/** A few characters over and over. */
function isRepetition(text: string): boolean {
  for (let period = 1; period <= 16; period++) if (text.slice(period) === text.slice(0, -period)) return true
  return false
}

function readPem(text: string): ReadKeys {
  const keys: VerificationKey[] = []
  const mistakes: { line: number; message: string }[] = []
  for (const { 0: block, 1: label, index } of text.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----[^-]*-----END \1-----/g)) {
    const read = label!.includes('PRIVATE') ? privateKey : publicKey(() => createPublicKey(block))
    if ('mistake' in read) mistakes.push({ line: text.slice(0, index).split('\n').length, message: read.mistake })
    else keys.push({ ...read, keyId: undefined })
  }
  if (keys.length + mistakes.length === 0)
    mistakes.push({ line: 1, message: 'holds no key, neither as PEM nor as a JWKS' })
  return bounded(keys, mistakes)
}

function readJwks(text: string, secrets: boolean): ReadKeys {
  const value = parseStrictJson(text)
  if (!isObject(value)) return { keys: [], mistakes: [{ line: 1, message: 'is no JSON, or has a name twice' }] }
  const entries: unknown = 'keys' in value ? value.keys : [value]
  if (!Array.isArray(entries)) return { keys: [], mistakes: [{ line: 1, message: '"keys" is no list' }] }
  const keys: VerificationKey[] = []
  const mistakes: { line: number; message: string }[] = []
  for (const [index, entry] of entries.slice(0, keysMax + 1).entries()) {
    const read = readJwk(entry, secrets)
    if ('mistake' in read) mistakes.push({ line: 1, message: `key ${index + 1} ${read.mistake}` })
    else keys.push(read)
  }
  if (entries.length === 0) mistakes.push({ line: 1, message: 'holds no key' })
  return bounded(keys, mistakes)
}

function bounded(keys: readonly VerificationKey[], mistakes: ReadKeys['mistakes']): ReadKeys {
  if (keys.length + mistakes.length <= keysMax) return { keys, mistakes }
  return { keys: [], mistakes: [{ line: 1, message: `holds more than ${keysMax} keys` }] }
}

interface Mistake {
  readonly mistake: string
}

const privateKey: Mistake = { mistake: 'is a private key, which only the issuer may have; give the public one' }

function readJwk(jwk: unknown, secrets: boolean): VerificationKey | Mistake {
  if (!isObject(jwk)) return { mistake: 'is no JWK' }
  const { kty, kid, use, alg, key_ops: operations } = jwk
  if (kid !== undefined && (typeof kid !== 'string' || kid.length > keyIdMaxLength))
    return { mistake: 'has no usable "kid"' }
  if (use !== undefined && use !== 'sig') return { mistake: 'is not for signatures ("use")' }
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) {
    return { mistake: 'is not for checking signatures ("key_ops")' }
  }
  const read = kty === 'oct' ? readSecret(jwk, secrets) : readPublicJwk(jwk)
  if ('mistake' in read) return read
  const fitting = alg === undefined ? read.algorithms : read.algorithms.filter((algorithm) => algorithm === alg)
  if (fitting.length === 0) return { mistake: 'has an "alg" that does not fit it, or that is not known here' }
  return { key: read.key, algorithms: fitting, keyId: kid }
}

function readSecret(
  { k }: Readonly<Record<string, unknown>>,
  allowed: boolean,
): Omit<VerificationKey, 'keyId'> | Mistake {
  if (!allowed) return { mistake: 'is a shared secret, which does not come from there' }
  if (typeof k !== 'string' || !/^[A-Za-z0-9_-]+$/.test(k)) return { mistake: 'is a damaged secret' }
  const secret = Buffer.from(k, 'base64url')
  const mistake = secretMistake(secret)
  return mistake === undefined ? secretKey(secret) : { mistake }
}

function readPublicJwk(jwk: Readonly<Record<string, unknown>>): Omit<VerificationKey, 'keyId'> | Mistake {
  if ('d' in jwk) return privateKey
  return publicKey(() => createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' }))
}

function publicKey(make: () => KeyObject): Omit<VerificationKey, 'keyId'> | Mistake {
  let key: KeyObject
  try {
    key = make()
  } catch {
    // The text of OpenSSL's error helps nobody.
    return { mistake: 'is damaged, or of a kind that is not known here' }
  }
  const fitting = algorithmsOf(key)
  return 'mistake' in fitting ? fitting : { key, algorithms: fitting }
}

function algorithmsOf(key: KeyObject): readonly Algorithm[] | Mistake {
  const { modulusLength = 0, publicExponent = 0n, namedCurve = '' } = key.asymmetricKeyDetails ?? {}
  switch (key.asymmetricKeyType) {
    case 'rsa':
      if (modulusLength < rsaMinBits) return { mistake: `is an RSA key with fewer than ${rsaMinBits} bits` }
      // With 1 anybody signs.
      return publicExponent < 3n || publicExponent % 2n === 0n ? { mistake: 'has an unsafe exponent' } : rsaAlgorithms
    case 'rsa-pss':
      return { mistake: 'is for RSA-PSS alone; give it as an RSA key with "alg"' }
    case 'ec':
      return (
        curveAlgorithms[namedCurve] ?? { mistake: `is on the curve ${namedCurve}; there are P-256, P-384 and P-521` }
      )
    case 'ed25519':
      return ['EdDSA', 'Ed25519']
    default:
      return { mistake: `is of the kind ${key.asymmetricKeyType}, which is not known here` }
  }
}
