// SCRAM-SHA-256 (RFC 5802, RFC 7677): what is kept instead of a password, and the mathematics of the server.
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { saslprep } from './saslprep.ts'

/** What a server keeps of a password. It is not enough to log in with. */
export interface ScramSecret {
  readonly iterations: number
  readonly salt: Buffer
  readonly storedKey: Buffer
  readonly serverKey: Buffer
}

/** The least is that of RFC 7677, 4; the most is what a client has to compute at each login: about a second. */
export const scramIterations = { min: 4_096, max: 1_000_000 } as const

const saltBytes = 16
const keyBytes = 32

const pattern = /^SCRAM-SHA-256\$(\d{1,7}):([A-Za-z0-9+/]{8,128}={0,2})\$([A-Za-z0-9+/]{43}=):([A-Za-z0-9+/]{43}=)$/

/**
 * `SCRAM-SHA-256$<iterations>:<salt base64>$<StoredKey base64>:<ServerKey base64>`, the form of PostgreSQL.
 * Undefined: the password has characters that SASLprep prohibits.
 */
export async function makeScramSecret(
  password: string,
  iterations: number = scramIterations.min,
  salt: Buffer = randomBytes(saltBytes),
): Promise<string | undefined> {
  const prepared = saslprep(password)
  if (prepared === undefined || prepared === '') return undefined
  const salted = await promisify(pbkdf2)(prepared, salt, iterations, keyBytes, 'sha256')
  const storedKey = sha256(hmac(salted, 'Client Key'))
  const serverKey = hmac(salted, 'Server Key')
  const [salt64, stored64, server64] = [salt, storedKey, serverKey].map((bytes) => bytes.toString('base64'))
  return `SCRAM-SHA-256$${iterations}:${salt64}$${stored64}:${server64}`
}

/** Undefined: malformed, or iterations out of bounds. */
export function parseScramSecret(text: string): ScramSecret | undefined {
  const match = pattern.exec(text)
  if (match === null) return undefined
  const iterations = Number(match[1])
  if (iterations < scramIterations.min || iterations > scramIterations.max) return undefined
  const [salt, storedKey, serverKey] = match.slice(2).map((part) => Buffer.from(part, 'base64')) as [
    Buffer,
    Buffer,
    Buffer,
  ]
  return { iterations, salt, storedKey, serverKey }
}

/** In constant time: whether who made this proof knows the password. */
export function isScramProof({ storedKey }: ScramSecret, authMessage: string, proof: Buffer): boolean {
  const signature = hmac(storedKey, authMessage)
  if (proof.length !== signature.length) return false
  const clientKey = signature.map((byte, index) => byte ^ proof[index]!)
  return timingSafeEqual(sha256(clientKey), storedKey)
}

/** Shows the client that the server knows its secret too. */
export function scramServerSignature({ serverKey }: ScramSecret, authMessage: string): Buffer {
  return hmac(serverKey, authMessage)
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest()
}
