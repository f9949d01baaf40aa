// The password hashes of mosquitto, for users that were imported: they let in, and are replaced at the first login.
import { createHash, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto'

/** What a hash may ask for; mosquitto itself writes 101, and 2,000,000 take a second. */
const iterationsMax = 2_000_000
const hashBytes = 64

const pattern = /^\$(?:6|7\$([1-9]\d{0,6}))\$([A-Za-z0-9+/]{4,128}={0,2})\$([A-Za-z0-9+/]{86}==)$/

interface MosquittoHash {
  /** Of PBKDF2; undefined: one SHA-512. */
  readonly iterations: number | undefined
  readonly salt: Buffer
  readonly expected: Buffer
}

/** `$6$salt$hash` is SHA-512 of password and salt, `$7$iterations$salt$hash` PBKDF2 with it; salt and hash in base64. */
export function parseMosquittoHash(text: string): MosquittoHash | undefined {
  const match = pattern.exec(text)
  if (match === null) return undefined
  const iterations = match[1] === undefined ? undefined : Number(match[1])
  if (iterations !== undefined && iterations > iterationsMax) return undefined
  return { iterations, salt: Buffer.from(match[2]!, 'base64'), expected: Buffer.from(match[3]!, 'base64') }
}

/** In constant time. */
export async function verifyMosquitto(password: Buffer, hash: MosquittoHash): Promise<boolean> {
  const { iterations, salt, expected } = hash
  const actual =
    iterations === undefined
      ? createHash('sha512').update(password).update(salt).digest()
      : await derive(password, salt, iterations)
  return timingSafeEqual(actual, expected)
}

/** Nobody's, that costs as much. */
export function mosquittoDecoy({ iterations, salt }: MosquittoHash): string {
  const kind = iterations === undefined ? '6' : `7$${iterations}`
  return `$${kind}$${randomBytes(salt.length).toString('base64')}$${randomBytes(hashBytes).toString('base64')}`
}

function derive(password: Buffer, salt: Buffer, iterations: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    pbkdf2(password, salt, iterations, hashBytes, 'sha512', (error, hash) =>
      error === null ? resolve(hash) : reject(error),
    )
  })
}
