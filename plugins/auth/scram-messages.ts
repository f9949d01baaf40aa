// The messages of SCRAM (RFC 5802, 7), without channel binding: read strictly, written exactly.
import { saslprep } from '../../broker/saslprep.ts'

/** Of one message; the longest that a client needs is some hundred bytes. Over it the exchange is refused. */
const messageMaxBytes = 2_048

export interface ClientFirst {
  /** Comes back in the final message. */
  readonly header: string
  readonly bare: string
  readonly username: string
  readonly nonce: string
}

export interface ClientFinal {
  /** The message up to the proof; part of what is signed. */
  readonly withoutProof: string
  readonly header: string
  readonly nonce: string
  readonly proof: Buffer
}

/** What is wrong with a message: a constant phrase. */
export interface Broken {
  readonly broken: string
}

// Header: no channel binding (n), or the client could do it and thinks that we cannot (y), which is so. Nonces are
// printable ASCII but for the comma.
const firstPattern = /^([ny],(?:a=([^,]+))?,)(n=([^,]+),r=([\x21-\x2b\x2d-\x7e]+)(?:,[A-Za-z]=[^,]+)*)$/
const finalPattern =
  /^(c=([A-Za-z0-9+/]+={0,2}),r=([\x21-\x2b\x2d-\x7e]+)((?:,[A-Za-z]=[^,]+)*)),p=([A-Za-z0-9+/]{43}=)$/

export function readClientFirst(data: Buffer | undefined): ClientFirst | Broken {
  const text = textOf(data)
  if (text === undefined) return { broken: 'no client-first message' }
  if (text.startsWith('p=')) return { broken: 'channel binding is not offered' }
  if (/^[ny],[^,]*,m=/.test(text)) return { broken: 'an extension that is not known' }
  const match = firstPattern.exec(text)
  if (match === null) return { broken: 'malformed client-first message' }
  const [, header, authorized, bare, name, nonce] = match as unknown as [string, string, string?, ...string[]]
  const username = nameOf(name!)
  if (username === undefined) return { broken: 'the username is malformed' }
  if (authorized !== undefined && nameOf(authorized) !== username) return { broken: 'nobody acts for somebody else' }
  return { header, bare: bare!, username, nonce: nonce! }
}

export function readClientFinal(data: Buffer | undefined): ClientFinal | Broken {
  const match = finalPattern.exec(textOf(data) ?? '')
  if (match === null) return { broken: 'malformed client-final message' }
  const [, withoutProof, header, nonce, extensions, proof] = match as unknown as [string, ...string[]]
  if (extensions!.startsWith(',m=')) return { broken: 'an extension that is not known' }
  return {
    withoutProof: withoutProof!,
    header: Buffer.from(header!, 'base64').toString('latin1'),
    nonce: nonce!,
    proof: Buffer.from(proof!, 'base64'),
  }
}

export function serverFirst(nonce: string, salt: Buffer, iterations: number): string {
  return `r=${nonce},s=${salt.toString('base64')},i=${iterations}`
}

export function serverFinal(signature: Buffer): Buffer {
  return Buffer.from(`v=${signature.toString('base64')}`)
}

function textOf(data: Buffer | undefined): string | undefined {
  if (data === undefined || data.length > messageMaxBytes) return undefined
  const text = data.toString('utf8')
  // What is not UTF-8 does not come back as it was.
  return Buffer.byteLength(text) === data.length && Buffer.from(text).equals(data) ? text : undefined
}

/** `=2C` is a comma, `=3D` an equals sign, and nothing else begins with one (RFC 5802, 5.1). */
function nameOf(escaped: string): string | undefined {
  if (/=(?!2C|3D)/.test(escaped)) return undefined
  const name = saslprep(escaped.replaceAll('=2C', ',').replaceAll('=3D', '='))
  return name === '' ? undefined : name
}
