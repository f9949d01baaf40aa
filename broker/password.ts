// Passwords: scrypt hashes with their parameters inside, made and checked a few at a time; and tokens, which need none.
import { createHash, randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto'
import { mosquittoDecoy, parseMosquittoHash, verifyMosquitto } from './mosquitto-hash.ts'

/** OWASP's floor for a login that happens often; about 40 ms. Raise it, and old hashes are reported as outdated. */
const current = { N: 16_384, r: 8, p: 1 } as const
const saltBytes = 16
const hashBytes = 32

/** What a hash in a file may ask for: 128 · N · r bytes of memory, so 256 MiB, and p times the work. */
const costMax = { memoryBytes: 256 * 1024 * 1024, p: 16 } as const

/** scrypt runs on the four threads that also sync the disk; two stay free for it. */
const runningMax = 2

const pattern =
  /^scrypt\$N=(\d{1,9}),r=(\d{1,4}),p=(\d{1,4})\$([A-Za-z0-9+/]{8,128}={0,2})\$([A-Za-z0-9+/]{16,256}={0,2})$/

/** `scrypt$N=16384,r=8,p=1$<salt base64>$<hash base64>` */
export async function hashPassword(password: string | Buffer): Promise<string> {
  const salt = randomBytes(saltBytes)
  const hash = await derive(Buffer.from(password), salt, hashBytes, current)
  return `scrypt$N=${current.N},r=${current.r},p=${current.p}$${salt.toString('base64')}$${hash.toString('base64')}`
}

const tokenBytes = 32
const tokenPattern = /^oriole-[A-Za-z0-9_-]{43}$/
const tokenHashPattern = /^token\$[A-Za-z0-9+/]{43}=$/

/** A password for a machine, made by us, and what stands in a file for it. 256 random bits: nobody guesses them. */
export function makeToken(): { readonly token: string; readonly hash: string } {
  const token = `oriole-${randomBytes(tokenBytes).toString('base64url')}`
  return { token, hash: `token$${digest(Buffer.from(token)).toString('base64')}` }
}

/** `token$<SHA-256 base64>`. One fast hash checks it: decision 0009 says why that is enough here, and only here. */
export function isTokenHash(text: string): boolean {
  return tokenHashPattern.test(text)
}

/** In constant time. Only what `makeToken` could have made is right: a word of a person never is, whatever its hash. */
export function verifyToken(password: Buffer, hash: string): boolean {
  if (!isTokenHash(hash) || !tokenPattern.test(password.toString('latin1'))) return false
  return timingSafeEqual(digest(password), Buffer.from(hash.slice('token$'.length), 'base64'))
}

function digest(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest()
}

/** In constant time. A hash that is malformed or asks for too much is not ok. `outdated`: hash again and keep that. */
export async function verifyPassword(password: Buffer, hash: string): Promise<{ ok: boolean; outdated: boolean }> {
  if (isTokenHash(hash)) return { ok: verifyToken(password, hash), outdated: false }
  const imported = parseMosquittoHash(hash)
  if (imported !== undefined) {
    const right = await inTurn(() => verifyMosquitto(password, imported))
    return { ok: right, outdated: right }
  }
  const parsed = parseHash(hash)
  if (parsed === undefined) return { ok: false, outdated: false }
  const { cost, salt, expected } = parsed
  let actual: Buffer
  try {
    actual = await derive(password, salt, expected.length, cost)
  } catch (error) {
    // The parameters do not fit each other (N no power of two …): a malformed hash. Anything else is not ours.
    if (isParameterError(error)) return { ok: false, outdated: false }
    throw error
  }
  const ok = timingSafeEqual(actual, expected)
  const outdated = cost.N !== current.N || cost.r !== current.r || cost.p !== current.p || expected.length !== hashBytes
  return { ok, outdated: ok && outdated }
}

/** What a wrong password costs. */
export interface HashCost {
  /** Hashes of one kind cost the same. */
  readonly kind: string
  /** In hashes of `hashPassword`, roughly. */
  readonly work: number
}

/** PBKDF2 with SHA-512, so many times what `hashPassword` takes. */
const iterationsPerHash = 55_000

/** Undefined for a token, which costs nothing, and for what is no hash. */
export function costOf(hash: string): HashCost | undefined {
  const imported = parseMosquittoHash(hash)
  if (imported !== undefined) {
    const { iterations = 1 } = imported
    return { kind: `pbkdf2 ${iterations}`, work: iterations / iterationsPerHash }
  }
  const cost = parseHash(hash)?.cost
  if (cost === undefined) return undefined
  const { N, r, p } = cost
  return { kind: `scrypt ${N} ${r} ${p}`, work: (N * r * p) / (current.N * current.r * current.p) }
}

/** Nobody's hash of the same cost; without one, of the cost of `hashPassword`. */
export function decoyHash(like?: string): string {
  const imported = like === undefined ? undefined : parseMosquittoHash(like)
  if (imported !== undefined) return mosquittoDecoy(imported)
  const { N, r, p } = (like === undefined ? undefined : parseHash(like)?.cost) ?? current
  return `scrypt$N=${N},r=${r},p=${p}$${randomBytes(saltBytes).toString('base64')}$${randomBytes(hashBytes).toString('base64')}`
}

/** For checking files: whether `verifyPassword` could ever say ok. */
export function isPasswordHash(text: string): boolean {
  return isTokenHash(text) || parseMosquittoHash(text) !== undefined || parseHash(text) !== undefined
}

interface Cost {
  readonly N: number
  readonly r: number
  readonly p: number
}

function parseHash(text: string): { cost: Cost; salt: Buffer; expected: Buffer } | undefined {
  const match = pattern.exec(text)
  if (match === null) return undefined
  const [N, r, p] = match.slice(1, 4).map(Number) as [number, number, number]
  const powerOfTwo = N >= 2 && Number.isInteger(Math.log2(N))
  if (!powerOfTwo || r < 1 || p < 1 || p > costMax.p || 128 * N * r > costMax.memoryBytes) return undefined
  return { cost: { N, r, p }, salt: Buffer.from(match[4]!, 'base64'), expected: Buffer.from(match[5]!, 'base64') }
}

let running = 0
// Bounded by its callers: each waiting hash is a connection before CONNACK, which is cut when its time is over.
const waiting: (() => void)[] = []

function derive(password: Buffer, salt: Buffer, length: number, cost: Cost): Promise<Buffer> {
  return inTurn(() => scryptAsync(password, salt, length, { ...cost, maxmem: 2 * costMax.memoryBytes }))
}

async function inTurn<T>(work: () => Promise<T>): Promise<T> {
  if (running >= runningMax) await new Promise<void>((resolve) => waiting.push(resolve))
  else running++
  try {
    return await work()
  } finally {
    // The turn is handed on, so that nobody who comes in between can take it.
    const next = waiting.shift()
    if (next === undefined) running--
    else next()
  }
}

function scryptAsync(password: Buffer, salt: Buffer, length: number, options: ScryptOptions): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(password, salt, length, options, (error, hash) => (error === null ? resolve(hash) : reject(error)))
  })
}

function isParameterError(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | null)?.code ?? ''
  return code.startsWith('ERR_CRYPTO') || code.startsWith('ERR_OUT_OF_RANGE')
}
