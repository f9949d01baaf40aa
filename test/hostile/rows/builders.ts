// Small words to write packets with, right and wrong, and rows of the table.
import type { Expectation, HostileRow, Version } from '../table.ts'

export type Bytes = Buffer | readonly number[]

export function join(...parts: readonly Bytes[]): Buffer {
  return Buffer.concat(parts.map((part) => Buffer.from(part)))
}

export function uint16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff])
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** A string or binary field, with its length before it. */
export function field(content: string | Bytes): Buffer {
  const bytes = typeof content === 'string' ? Buffer.from(content) : Buffer.from(content)
  return join(uint16(bytes.length), bytes)
}

export function variableInteger(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  do {
    bytes.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0))
    rest >>>= 7
  } while (rest > 0)
  return Buffer.from(bytes)
}

/** Properties of MQTT 5 with their length before them. */
export function properties(...parts: readonly Bytes[]): Buffer {
  const block = join(...parts)
  return join(variableInteger(block.length), block)
}

/** A packet with the right Remaining Length. */
export function packet(header: number, ...parts: readonly Bytes[]): Buffer {
  const body = join(...parts)
  return join([header], variableInteger(body.length), body)
}

const everyVersion: readonly Version[] = [3, 4, 5]

/** After CONNECT: MQTT 5 clients are told the code, older ones see the end. */
export function violation(name: string, bytes: Buffer, code: number, versions = everyVersion): HostileRow {
  return row(name, 'connected', bytes, versions, (version) => (version === 5 ? { disconnect: code } : 'close-silent'))
}

/** After CONNECT: odd but right. The connection lives; `answer` is what the broker says to it. */
export function harmless(name: string, bytes: Buffer, answer = '', versions = everyVersion): HostileRow {
  return row(name, 'connected', bytes, versions, () => ({ answer }))
}

export function granted(name: string, bytes: Buffer, codes: readonly number[], versions = everyVersion): HostileRow {
  return row(name, 'connected', bytes, versions, () => ({ suback: codes }))
}

/** The first packet: it ends the connection, and only MQTT 5 allows an answer (3.1.4). */
export function firstPacket(name: string, bytes: Buffer, versions = everyVersion): HostileRow {
  return row(name, 'before-connect', bytes, versions, (version) => (version === 5 ? 'close' : 'close-silent'))
}

export function refused(name: string, bytes: Buffer, code: number, versions = everyVersion): HostileRow {
  return row(name, 'before-connect', bytes, versions, () => ({ connack: code }))
}

/** The codec alone cannot know. */
export function byConnection(row: HostileRow): HostileRow {
  return { ...row, by: 'connection' }
}

export function row(
  name: string,
  state: HostileRow['state'],
  bytes: Buffer,
  versions: readonly Version[],
  expectation: (version: Version) => Expectation,
): HostileRow {
  const expect = Object.fromEntries(versions.map((version) => [version, expectation(version)]))
  return { name, versions, state, bytes: bytes.toString('hex'), expect, by: 'codec' }
}

export const malformed = 0x81
export const protocolError = 0x82
export const before5: readonly Version[] = [3, 4]
export const only5: readonly Version[] = [5]
