// The PROXY protocol, versions 1 and 2: a load balancer's first bytes that say who the client really is.
// https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
import type { Socket } from 'node:net'
import { canonicalAddress } from '../address.ts'

export interface ProxySource {
  readonly address: string
  readonly port: number
}

export type ProxyHeader =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'bad'; readonly detail: string }
  /** `source` undefined: the proxy speaks for itself (LOCAL, UNKNOWN, UNSPEC, UNIX): the socket's own address counts. */
  | { readonly kind: 'header'; readonly bytes: number; readonly source: ProxySource | undefined }

/** "PROXY", two long IPv6 addresses, two ports and CRLF fit (section 2.1). */
const textMaxBytes = 107
/** Addresses and type-length-values of version 2. The standard allows 65,535; a certificate chain is all that is larger. */
const binaryMaxBytes = 4096

const textStart = Buffer.from('PROXY ')
const binaryStart = Buffer.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a])
const binaryHeadBytes = 16
/** The client reached the proxy over a Unix socket and has no address. */
const unixStream = 0x31
const incomplete: ProxyHeader = { kind: 'incomplete' }

/** Looks at the first bytes of a connection. */
export function parseProxyHeader(bytes: Buffer): ProxyHeader {
  if (startsLike(bytes, binaryStart)) return parseBinary(bytes)
  if (startsLike(bytes, textStart)) return parseText(bytes)
  return bad('no header')
}

/**
 * Reads the header from a fresh socket and gives back what came behind it. `onBad` gets a constant phrase. Nothing is
 * called when the socket closes first. A header may come byte by byte; the time for it is bounded by the caller.
 */
export function readProxyHeader(
  socket: Socket,
  onHeader: (source: ProxySource | undefined) => void,
  onBad: (detail: string) => void,
): void {
  let bytes: Buffer = Buffer.alloc(0)
  // Not 'data': without its 'readable' listener the socket returns to its first state, neither flowing nor paused, which
  // is what TLS, HTTP and the connection expect of a fresh socket.
  socket.on('readable', read)

  function read(): void {
    const chunk: Buffer | null = socket.read()
    if (chunk === null) return
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk])
    const header = parseProxyHeader(bytes)
    if (header.kind === 'incomplete') return
    socket.off('readable', read)
    if (header.kind === 'bad') {
      onBad(header.detail)
      return
    }
    if (bytes.length > header.bytes) socket.unshift(bytes.subarray(header.bytes))
    onHeader(header.source)
  }
}

function parseText(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, textMaxBytes).indexOf('\r\n')
  if (end === -1) return bytes.length >= textMaxBytes ? bad('version 1 line too long') : incomplete
  const words = bytes.toString('latin1', 0, end).split(' ')
  if (words[1] === 'UNKNOWN') return { kind: 'header', bytes: end + 2, source: undefined }
  const [, family, from = '', to = '', fromPort = '', toPort = ''] = words
  const version = family === 'TCP4' ? 4 : family === 'TCP6' ? 6 : 0
  if (words.length !== 6 || version === 0) return bad('version 1 line malformed')
  const address = textAddress(from, version)
  const port = textPort(fromPort)
  if (address === undefined || port === undefined) return bad('version 1 source malformed')
  if (textAddress(to, version) === undefined || textPort(toPort) === undefined) return bad('version 1 target malformed')
  return { kind: 'header', bytes: end + 2, source: { address, port } }
}

function textAddress(text: string, version: 4 | 6): string | undefined {
  return text.includes(':') === (version === 6) ? canonicalAddress(text) : undefined
}

function textPort(text: string): number | undefined {
  if (!/^(?:0|[1-9]\d{0,4})$/.test(text)) return undefined
  const port = Number(text)
  return port <= 65_535 ? port : undefined
}

/** Section 2.2: signature, version and command, family, length, addresses, type-length-values. */
function parseBinary(bytes: Buffer): ProxyHeader {
  if (bytes.length < binaryHeadBytes) return incomplete
  const command = bytes.readUInt8(12)
  const family = bytes.readUInt8(13)
  const length = bytes.readUInt16BE(14)
  if (command !== 0x20 && command !== 0x21) return bad('version 2 command unknown')
  if (length > binaryMaxBytes) return bad('version 2 header too long')
  const end = binaryHeadBytes + length
  if (bytes.length < end) return incomplete
  const local: ProxyHeader = { kind: 'header', bytes: end, source: undefined }
  if (command === 0x20 || family === 0x00 || family === unixStream) return local
  const body = bytes.subarray(binaryHeadBytes, end)
  if (family === 0x11) {
    if (length < 12) return bad('version 2 addresses cut short')
    return found(end, body.subarray(0, 4).join('.'), body.readUInt16BE(8))
  }
  if (family === 0x21) {
    if (length < 36) return bad('version 2 addresses cut short')
    const groups = Array.from({ length: 8 }, (_, group) => body.readUInt16BE(group * 2).toString(16))
    return found(end, groups.join(':'), body.readUInt16BE(32))
  }
  return bad('version 2 family is not TCP over IPv4 or IPv6')
}

function found(bytes: number, text: string, port: number): ProxyHeader {
  const address = canonicalAddress(text)
  return address === undefined
    ? bad('version 2 source malformed')
    : { kind: 'header', bytes, source: { address, port } }
}

function bad(detail: string): ProxyHeader {
  return { kind: 'bad', detail }
}

/** Does it begin with `start`, as far as it goes? */
function startsLike(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length)
  return bytes.compare(start, 0, length, 0, length) === 0
}
