// Rows about the fixed header: packet types, reserved flags, Remaining Length.
import type { HostileRow } from '../table.ts'
import {
  byConnection,
  field,
  firstPacket,
  harmless,
  join,
  malformed,
  only5,
  packet,
  properties,
  protocolError,
  row,
  uint16,
  variableInteger,
  violation,
} from './builders.ts'

const filter = field('a')
/** A right packet of each type, but for its flags; `flags` is what the standard asks for. */
const types = [
  { name: 'PUBACK', header: 0x40, flags: 0, before5: uint16(7), five: uint16(7) },
  { name: 'PUBREC', header: 0x50, flags: 0, before5: uint16(7), five: uint16(7) },
  { name: 'PUBREL', header: 0x60, flags: 2, before5: uint16(7), five: uint16(7) },
  { name: 'PUBCOMP', header: 0x70, flags: 0, before5: uint16(7), five: uint16(7) },
  {
    name: 'SUBSCRIBE',
    header: 0x80,
    flags: 2,
    before5: join(uint16(7), filter, [0]),
    five: join(uint16(7), [0], filter, [0]),
  },
  { name: 'UNSUBSCRIBE', header: 0xa0, flags: 2, before5: join(uint16(7), filter), five: join(uint16(7), [0], filter) },
  { name: 'PINGREQ', header: 0xc0, flags: 0, before5: join(), five: join() },
  { name: 'DISCONNECT', header: 0xe0, flags: 0, before5: join(), five: join() },
]

function reservedFlags(): HostileRow[] {
  const rows: HostileRow[] = []
  for (const { name, header, flags, before5, five } of types) {
    for (let wrong = 0; wrong < 16; wrong++) {
      if (wrong === flags) continue
      // MQTT 3.1 repeats PUBREL, SUBSCRIBE and UNSUBSCRIBE with DUP.
      const known3 = flags === 2 && wrong === 0b1010
      rows.push(
        violation(
          `${name} with the flags ${bits(wrong)}`,
          packet(header | wrong, before5),
          malformed,
          known3 ? [4] : [3, 4],
        ),
        violation(`${name} with the flags ${bits(wrong)} in MQTT 5`, packet(header | wrong, five), malformed, only5),
      )
    }
  }
  for (let wrong = 1; wrong < 16; wrong++) {
    rows.push(
      firstPacket(`CONNECT with the flags ${bits(wrong)}`, join([0x10 | wrong], rightConnect.subarray(1)), [4]),
      violation(`AUTH with the flags ${bits(wrong)}`, packet(0xf0 | wrong, [0x18], auth), malformed, only5),
    )
  }
  return rows
}

const rightConnect = packet(0x10, field('MQTT'), [4, 2], uint16(60), field('flags'))
const auth = properties([0x15], field('method'))

function packetTypes(): HostileRow[] {
  const rows: HostileRow[] = []
  const names: Record<number, string> = { 0: 'reserved', 2: 'CONNACK', 9: 'SUBACK', 11: 'UNSUBACK', 13: 'PINGRESP' }
  for (const [type, name] of Object.entries(names)) {
    const header = Number(type) << 4
    rows.push(
      violation(`packet type ${type} (${name}) from a client`, packet(header, [0, 0]), protocolError),
      violation(`packet type ${type} (${name}) from a client, without a body`, packet(header), protocolError),
      silent(`packet type ${type} (${name}) before CONNECT`, packet(header, [0, 0])),
    )
  }
  for (const { name, header, flags, before5 } of types) {
    rows.push(silent(`${name} before CONNECT`, packet(header | flags, before5)))
  }
  rows.push(
    silent('PUBLISH before CONNECT', packet(0x30, field('a'), [1])),
    silent('PUBLISH with QoS 1 before CONNECT', packet(0x32, field('a'), uint16(1))),
    silent('AUTH before CONNECT', packet(0xf0, [0x18], auth)),
    violation('packet type 15 before MQTT 5', packet(0xf0), protocolError, [3, 4]),
    byConnection(violation('a second CONNECT', rightConnect, protocolError)),
    silent('an HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'.padEnd(200, 'x'))),
    silent('a TLS ClientHello', join([0x16, 0x03, 0x01, 0x00, 0x05, 0x01, 0x00, 0x00, 0x01, 0x03])),
    silent('twenty zero bytes', Buffer.alloc(20)),
    silent('twenty bytes 0xff', Buffer.alloc(20, 0xff)),
  )
  return rows
}

function remainingLength(): HostileRow[] {
  const rows: HostileRow[] = []
  const nonMinimal: readonly (readonly [string, readonly number[]])[] = [
    ['two bytes for 0', [0x80, 0x00]],
    ['three bytes for 0', [0x80, 0x80, 0x00]],
    ['four bytes for 0', [0x80, 0x80, 0x80, 0x00]],
    ['two bytes for 127', [0xff, 0x00]],
    ['four bytes for 16,383', [0xff, 0xff, 0x80, 0x00]],
  ]
  for (const [name, length] of nonMinimal) {
    rows.push(
      violation(`a remaining length of ${name}`, join([0xc0], length), malformed),
      silent(`a remaining length of ${name} before CONNECT`, join([0x10], length)),
    )
  }
  for (const last of [0x00, 0x01, 0x7f, 0x80, 0xff]) {
    const length = [0xff, 0xff, 0xff, 0xff, last]
    rows.push(
      violation(`a remaining length of five bytes, the last ${last}`, join([0x30], length), malformed),
      silent(`a remaining length of five bytes, the last ${last}, before CONNECT`, join([0x10], length)),
    )
  }
  const mebibyte = 1_048_576
  for (const length of [mebibyte - 3, mebibyte, 16 * mebibyte, 268_435_455]) {
    rows.push(violation(`PUBLISH of ${length} bytes is announced`, join([0x30], variableInteger(length)), 0x95))
  }
  for (const length of [16_384 - 2, 16_384, mebibyte, 268_435_455]) {
    rows.push(silent(`CONNECT of ${length} bytes is announced`, join([0x10], variableInteger(length))))
  }
  rows.push(
    violation('PINGREQ with a body', packet(0xc0, [0]), malformed),
    harmless('three PINGREQ at once', join([0xc0, 0, 0xc0, 0, 0xc0, 0]), 'd000d000d000'),
  )
  return rows
}

/** Nothing is known of the client, so nothing can be said to it. */
function silent(name: string, bytes: Buffer): HostileRow {
  return row(name, 'before-connect', bytes, [4], () => 'close-silent')
}

function bits(flags: number): string {
  return flags.toString(2).padStart(4, '0')
}

export const fixedHeaderRows: readonly HostileRow[] = [...reservedFlags(), ...packetTypes(), ...remainingLength()]
