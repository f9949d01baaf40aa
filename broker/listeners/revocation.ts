// Lists of revoked certificates (CRL, RFC 5280): whom they name. OpenSSL checks them, signatures and all, when somebody
// comes; what is read here only tells who of those that are in must go.
import type { PeerCertificate } from 'node:tls'

/** Of one certificate: its issuer and its serial number. */
export type CertificateKey = string

export interface RevocationLists {
  /** One PEM block each: Node takes only the first of a text. */
  readonly blocks: readonly string[]
  readonly revoked: ReadonlySet<CertificateKey>
  /** When the first of them ends, in milliseconds since 1970. With an ended list nobody is let in. */
  readonly endsAt: number
}

/** Throws when the text holds no list, or a damaged one. */
export function readRevocationLists(pem: string): RevocationLists {
  const blocks = pem.match(/-----BEGIN X509 CRL-----[^-]+-----END X509 CRL-----/g) ?? []
  if (blocks.length === 0) throw new Error('there is no "BEGIN X509 CRL" in it')
  const lists = blocks.map((block) => readList(Buffer.from(block.replace(/-----[^-]+-----/g, ''), 'base64')))
  return {
    blocks,
    revoked: new Set(lists.flatMap(({ revoked }) => revoked)),
    endsAt: Math.min(...lists.map(({ endsAt }) => endsAt)),
  }
}

/** Of a certificate and of the authorities behind it, as TLS has verified them. */
export function chainKeys(leaf: PeerCertificate & { readonly issuerCertificate?: PeerCertificate }): CertificateKey[] {
  const keys: CertificateKey[] = []
  for (let one: typeof leaf | undefined = leaf; one?.raw !== undefined && keys.length < 20; ) {
    keys.push(certificateKey(one.raw))
    const next: typeof leaf | undefined = one.issuerCertificate
    // The last one is its own issuer.
    one = next === one ? undefined : next
  }
  return keys
}

const tag = { integer: 0x02, utcTime: 0x17, generalizedTime: 0x18, sequence: 0x30, version: 0xa0 } as const

/** One value of DER: where its content lies. */
interface Value {
  readonly tag: number
  readonly content: Buffer
}

/** Certificate: tbsCertificate { [0] version, serialNumber, signature, issuer … } (RFC 5280, 4.1). */
function certificateKey(der: Buffer): CertificateKey {
  const fields = children(children(first(der))[0]!)
  const [serial, , issuer] = fields[0]?.tag === tag.version ? fields.slice(1) : fields
  return keyOf(issuer, serial)
}

/** CertificateList: tbsCertList { version?, signature, issuer, thisUpdate, nextUpdate?, revoked? … } (RFC 5280, 5.1). */
function readList(der: Buffer): { readonly revoked: readonly CertificateKey[]; readonly endsAt: number } {
  const fields = children(children(first(der))[0]!)
  const [, issuer, ...rest] = fields[0]?.tag === tag.integer ? fields.slice(1) : fields
  const times = rest.filter((field) => field.tag === tag.utcTime || field.tag === tag.generalizedTime)
  const revoked = rest.find((field) => field.tag === tag.sequence)
  return {
    revoked: revoked === undefined ? [] : children(revoked).map((entry) => keyOf(issuer, children(entry)[0])),
    endsAt: times[1] === undefined ? Number.POSITIVE_INFINITY : timeOf(times[1]),
  }
}

function keyOf(issuer: Value | undefined, serial: Value | undefined): CertificateKey {
  if (issuer?.tag !== tag.sequence || serial?.tag !== tag.integer) throw new Error('it is damaged')
  return `${texts(issuer).join('/')} ${serial.content.toString('hex').replace(/^(00)+/, '')}`
}

/** What stands in a name, without the kinds of its texts: two programs may write the same name in two kinds. */
function texts(value: Value): string[] {
  const isSet = (value.tag & 0x20) !== 0
  return isSet ? children(value).flatMap(texts) : [value.content.toString('hex')]
}

/** `YYMMDDhhmmssZ` up to 2049, or with four digits of the year. */
function timeOf({ tag: kind, content }: Value): number {
  const text = content.toString('latin1')
  const short = kind === tag.utcTime
  const year = short ? `${Number(text.slice(0, 2)) < 50 ? '20' : '19'}${text.slice(0, 2)}` : text.slice(0, 4)
  const [month, day, hour, minute, second] = text.slice(short ? 2 : 4).match(/\d\d/g) ?? []
  const time = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
  if (Number.isNaN(time)) throw new Error('it is damaged')
  return time
}

function first(der: Buffer): Value {
  return read(der, 0).value
}

function children({ content }: Value): Value[] {
  const values: Value[] = []
  for (let at = 0; at < content.length; ) {
    const { value, end } = read(content, at)
    values.push(value)
    at = end
  }
  return values
}

/** Definite lengths of up to four bytes: DER knows no others, and no list is longer. */
function read(der: Buffer, at: number): { readonly value: Value; readonly end: number } {
  const head = der[at + 1] ?? 0
  const lengthBytes = head < 0x80 ? 0 : head & 0x7f
  const start = at + 2 + lengthBytes
  if (lengthBytes > 4 || start > der.length) throw new Error('it is damaged')
  const end = start + (lengthBytes === 0 ? head : der.readUIntBE(at + 2, lengthBytes))
  if (end > der.length || (head & 0x80 && lengthBytes === 0)) throw new Error('it is damaged')
  return { value: { tag: der[at]!, content: der.subarray(start, end) }, end }
}
