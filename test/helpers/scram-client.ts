// The client's side of SCRAM-SHA-256, written from RFC 5802 and sharing nothing with the broker's.
import assert from 'node:assert/strict'
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'

const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()

export interface ScramOptions {
  /** Default `n,,`. */
  readonly header?: string
  readonly nonce?: string
}

export class ScramClient {
  readonly header: string
  readonly bare: string
  readonly password: string
  #authMessage = ''
  #salted = Buffer.alloc(0)

  constructor(username: string, password: string, options: ScramOptions = {}) {
    const escaped = username.replaceAll('=', '=3D').replaceAll(',', '=2C')
    this.header = options.header ?? 'n,,'
    this.bare = `n=${escaped},r=${options.nonce ?? randomBytes(18).toString('base64')}`
    this.password = password
  }

  first(): Buffer {
    return Buffer.from(this.header + this.bare)
  }

  /** `change` alters the message before it is signed. */
  final(challenge: Buffer | undefined, change: (withoutProof: string) => string = (text) => text): Buffer {
    const serverFirst = challenge?.toString() ?? ''
    const [, nonce, salt, iterations] = /^r=([^,]+),s=([^,]+),i=(\d+)$/.exec(serverFirst) ?? []
    assert.ok(nonce !== undefined && salt !== undefined, `no server-first message: ${serverFirst}`)
    assert.ok(nonce.startsWith(this.bare.split('r=')[1]!), 'the nonce begins with ours')
    this.#salted = pbkdf2Sync(this.password, Buffer.from(salt, 'base64'), Number(iterations), 32, 'sha256')
    const withoutProof = change(`c=${Buffer.from(this.header).toString('base64')},r=${nonce}`)
    this.#authMessage = `${this.bare},${serverFirst},${withoutProof}`
    const clientKey = hmac(this.#salted, 'Client Key')
    const signature = hmac(createHash('sha256').update(clientKey).digest(), this.#authMessage)
    const proof = Buffer.from(clientKey.map((byte, index) => byte ^ signature[index]!))
    return Buffer.from(`${withoutProof},p=${proof.toString('base64')}`)
  }

  /** Throws when the server does not know the secret. */
  verify(serverFinal: Buffer | undefined): void {
    const signature = hmac(hmac(this.#salted, 'Server Key'), this.#authMessage)
    assert.equal(serverFinal?.toString(), `v=${signature.toString('base64')}`)
  }
}

/** How many iterations and which salt a challenge names. */
export function challengeOf(challenge: Buffer | undefined): { readonly salt: string; readonly iterations: number } {
  const match = /,s=([^,]+),i=(\d+)$/.exec(challenge?.toString() ?? '')
  assert.ok(match !== null, `no server-first message: ${challenge}`)
  return { salt: match[1]!, iterations: Number(match[2]) }
}
