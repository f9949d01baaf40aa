// Rows about DISCONNECT and AUTH.
import type { HostileRow } from '../table.ts'
import {
  type Bytes,
  before5,
  byConnection,
  field,
  malformed,
  only5,
  packet,
  properties,
  protocolError,
  row,
  uint32,
  violation,
} from './builders.ts'

/** The codes of table 3-10 that only a server sends, and some that no DISCONNECT has. */
const wrongCodes = [
  0x01, 0x02, 0x10, 0x11, 0x18, 0x7f, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f, 0x91,
  0x92, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2, 0xff,
]
const rightCodes = [0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99]

function five(name: string, code: number, header: number, ...parts: readonly Bytes[]): HostileRow {
  return violation(name, packet(header, ...parts), code, only5)
}

function silent(name: string, bytes: Buffer, versions: HostileRow['versions']): HostileRow {
  return row(name, 'connected', bytes, versions, () => 'close-silent')
}

const disconnects: readonly HostileRow[] = [
  violation('DISCONNECT with a body', packet(0xe0, [0]), malformed, before5),
  violation('DISCONNECT with a body of two bytes', packet(0xe0, [0, 0]), malformed, before5),
  ...wrongCodes.map((code) => five(`DISCONNECT 5 with the reason code ${code}`, protocolError, 0xe0, [code])),
  ...rightCodes.map((code) =>
    byConnection(silent(`DISCONNECT 5 with the right reason code ${code}`, packet(0xe0, [code]), only5)),
  ),
  byConnection(silent('DISCONNECT', packet(0xe0), [3, 4, 5])),
  five('DISCONNECT 5 with a property length past the end', malformed, 0xe0, [0, 9]),
  five('DISCONNECT 5 with bytes after its properties', malformed, 0xe0, [0, 0, 0]),
  five(
    'DISCONNECT 5 with two reason strings',
    protocolError,
    0xe0,
    [0],
    properties([0x1f], field('a'), [0x1f], field('b')),
  ),
  five(
    'DISCONNECT 5 with two expiry intervals',
    protocolError,
    0xe0,
    [0],
    properties([0x11], uint32(1), [0x11], uint32(1)),
  ),
  five('DISCONNECT 5 with half an expiry interval', malformed, 0xe0, [0], properties([0x11, 0, 0])),
  five('DISCONNECT 5 with a server reference', malformed, 0xe0, [0], properties([0x1c], field('other'))),
  five('DISCONNECT 5 with Receive Maximum', malformed, 0xe0, [0], properties([0x21, 0, 1])),
  byConnection(
    five('DISCONNECT 5 that prolongs a session of 0 s', protocolError, 0xe0, [0], properties([0x11], uint32(60))),
  ),
]

const method = properties([0x15], field('method'))
const auths: readonly HostileRow[] = [
  five('AUTH without a body', protocolError, 0xf0),
  five('AUTH of one byte', protocolError, 0xf0, [0x18]),
  ...[0x00, 0x01, 0x17, 0x1a, 0x80, 0x82, 0xff].map((code) =>
    five(`AUTH with the reason code ${code}`, protocolError, 0xf0, [code], method),
  ),
  five('AUTH without a method', protocolError, 0xf0, [0x18], properties([0x16], field('data'))),
  five('AUTH with two methods', protocolError, 0xf0, [0x18], properties([0x15], field('a'), [0x15], field('a'))),
  five('AUTH with a property length past the end', malformed, 0xf0, [0x18, 9]),
  five('AUTH with bytes after its properties', malformed, 0xf0, [0x18], method, [0]),
  five('AUTH with a session expiry', malformed, 0xf0, [0x18], properties([0x11], uint32(1))),
  byConnection(five('AUTH although CONNECT named no method', protocolError, 0xf0, [0x18], method)),
  byConnection(five('AUTH again although CONNECT named no method', protocolError, 0xf0, [0x19], method)),
]

export const disconnectRows: readonly HostileRow[] = [...disconnects, ...auths]
