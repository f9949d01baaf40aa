// JSON Web Tokens (RFC 7519): which texts are tokens, what their header may say, and whether they hold.
import { isUtf8 } from 'node:buffer'
import { errors, type JWTPayload, jwtVerify } from 'jose'
import { isObject, parseStrictJson } from './strict-json.ts'
import type { Algorithm, VerificationKey } from './verification-keys.ts'

/** A CONNECT may not be larger, and no token that is meant for MQTT is. */
const tokenMaxBytes = 16 * 1024
/** Of one token: keys without a `kid` are tried one after the other. */
const triesMax = 8
const keyIdMaxLength = 256

export interface TokenRules {
  readonly algorithms: readonly Algorithm[]
  /** Undefined: whoever. */
  readonly issuers: readonly string[] | undefined
  readonly audiences: readonly string[] | undefined
  readonly clockSkewS: number
  readonly requireExpiry: boolean
}

export interface TokenHeader {
  readonly algorithm: string
  readonly keyId: string | undefined
}

/** What is wrong: a constant phrase, for the log. */
export interface Refused {
  readonly refused: string
}

/**
 * Whether somebody meant it as a token, right or wrong: what stands before the first dot begins with a brace, as base64.
 * Everything else is a password for another plugin; one of three words with dots between is none of ours.
 */
export function looksLikeToken(text: string): boolean {
  if (/^eyJ[^.]*\./.test(text)) return true
  const [, begin] = /^([A-Za-z0-9_+/-]{2,})=*\./.exec(text.slice(0, tokenMaxBytes)) ?? []
  return begin !== undefined && /^\s*\{/.test(Buffer.from(begin, 'base64url').toString('latin1'))
}

/** Three parts, each base64url in its one form; a header that says nothing that we do not understand. */
export function readHeader(token: string): TokenHeader | Refused {
  if (token.length > tokenMaxBytes) return { refused: 'the token is too long' }
  const parts = token.split('.')
  if (parts.length !== 3) return { refused: 'the token has not three parts' }
  for (const part of parts) if (!isBase64url(part)) return { refused: 'the token is not base64url' }
  const header = parseStrictJson(textOf(parts[0]!))
  if (!isObject(header)) return { refused: 'the header is no JSON, or has a name twice' }
  // Whoever lets the token bring its own key lets everyone in. The last ones: extensions, which nobody here knows.
  for (const name of ['jwk', 'jku', 'x5u', 'x5c', 'crit', 'b64', 'zip', 'cty', 'enc']) {
    if (name in header) return { refused: `the header has "${name}"` }
  }
  const { alg, kid, typ } = header
  if (typeof alg !== 'string') return { refused: 'the header names no algorithm' }
  if (kid !== undefined && (typeof kid !== 'string' || kid.length > keyIdMaxLength)) {
    return { refused: 'the header has a "kid" that is none' }
  }
  // A token that the same issuer made for something else, such as a logout, is none for us.
  if (typ !== undefined && !(typeof typ === 'string' && /^(application\/)?(at\+)?jwt$/i.test(typ))) {
    return { refused: 'the token is for something else ("typ")' }
  }
  return { algorithm: alg, keyId: kid }
}

/** Those that may have signed a token with this header. */
export function fittingKeys(
  keys: readonly VerificationKey[],
  { algorithm, keyId }: TokenHeader,
): readonly VerificationKey[] {
  const fits = ({ algorithms, keyId: own }: VerificationKey): boolean =>
    (algorithms as readonly string[]).includes(algorithm) && (keyId === undefined || own === undefined || own === keyId)
  return keys.filter(fits).slice(0, triesMax)
}

/** The claims, when one of the keys signed the token and it holds now. The header must have been read. */
export async function verifyToken(
  token: string,
  keys: readonly VerificationKey[],
  rules: TokenRules,
): Promise<{ readonly claims: JWTPayload } | Refused> {
  // A name that stands twice is read differently by different readers.
  if (!isObject(parseStrictJson(textOf(token.split('.')[1]!)))) {
    return { refused: 'the claims are no JSON, or have a name twice' }
  }
  for (const { key, algorithms } of keys) {
    const allowed = algorithms.filter((algorithm) => rules.algorithms.includes(algorithm))
    try {
      const { payload } = await jwtVerify(token, key, {
        algorithms: allowed,
        clockTolerance: rules.clockSkewS,
        requiredClaims: rules.requireExpiry ? ['exp'] : [],
        ...(rules.issuers === undefined ? {} : { issuer: [...rules.issuers] }),
        ...(rules.audiences === undefined ? {} : { audience: [...rules.audiences] }),
      })
      return checkTimes(payload, rules.clockSkewS) ?? { claims: payload }
    } catch (error) {
      if (error instanceof errors.JWSSignatureVerificationFailed) continue
      if (error instanceof errors.JOSEError) return { refused: phraseOf(error) }
      throw error
    }
  }
  return { refused: 'the signature is wrong' }
}

/** What jose leaves open: numbers that are none, and tokens from the future. */
function checkTimes({ exp, nbf, iat }: JWTPayload, clockSkewS: number): Refused | undefined {
  for (const time of [exp, nbf, iat]) {
    if (time !== undefined && !(time >= 0 && time <= 8.64e12)) return { refused: 'a time in the token is none' }
  }
  if (iat !== undefined && iat > Date.now() / 1_000 + clockSkewS) return { refused: 'the token is from the future' }
  return undefined
}

function phraseOf(error: errors.JOSEError): string {
  if (error instanceof errors.JWTExpired) return 'the token has expired'
  if (error instanceof errors.JWTClaimValidationFailed) return `the claim "${error.claim}" is not as it must be`
  return 'the token is malformed'
}

/** In the one form: other bits at the end would be another text for the same token. */
function isBase64url(part: string): boolean {
  return part !== '' && Buffer.from(part, 'base64url').toString('base64url') === part
}

/** Bytes that are no UTF-8 are no JSON either. */
function textOf(part: string): string {
  const bytes = Buffer.from(part, 'base64url')
  return isUtf8(bytes) ? bytes.toString('utf8') : ''
}
