// Rows about SUBSCRIBE and UNSUBSCRIBE.
import type { HostileRow } from '../table.ts'
import {
  type Bytes,
  before5,
  byConnection,
  field,
  granted,
  harmless,
  join,
  malformed,
  only5,
  packet,
  properties,
  protocolError,
  uint16,
  uint32,
  violation,
} from './builders.ts'
import { badStrings, goodStrings } from './strings.ts'

const badFilters = [
  '',
  '##',
  'a#',
  '#a',
  '#/a',
  'a/#/b',
  'a/b#',
  '+a',
  'a+',
  'a/+b',
  'a/b+/c',
  '++',
  '+#',
  '#+',
  'a/#+',
  '$share/',
  '$share//a',
  '$share/g',
  '$share/g/',
  '$share/+/a',
  '$share/#/a',
  '$share/g#/a',
  '$share/a+b/c',
  '$share/g/a#',
  '$share/g/#/a',
]
const goodFilters = [
  '#',
  '+',
  '/',
  '//',
  '+/+',
  '/+',
  '+/',
  'a/#',
  '/#',
  '+/#',
  'a//b',
  ' ',
  '$share/g/a',
  '$share/g/#',
  '$share/ü/+',
  '$share',
]

function subscribe(five: boolean, ...filters: readonly Bytes[]): Buffer {
  return packet(0x82, uint16(5), five ? [0] : [], ...filters.map((filter) => join(field(filter), [0])))
}

function unsubscribe(five: boolean, ...filters: readonly Bytes[]): Buffer {
  return packet(0xa2, uint16(5), five ? [0] : [], ...filters.map(field))
}

function filters(): HostileRow[] {
  const rows: HostileRow[] = []
  const bad = (name: string, filter: Bytes, code: number): void => {
    for (const five of [false, true]) {
      const [suffix, versions] = five ? [' in MQTT 5', only5] : ['', before5]
      rows.push(
        violation(`SUBSCRIBE ${name}${suffix}`, subscribe(five, filter), code, versions),
        violation(`UNSUBSCRIBE ${name}${suffix}`, unsubscribe(five, filter), code, versions),
      )
    }
  }
  for (const filter of badFilters) bad(`of ${JSON.stringify(filter)}`, Buffer.from(filter), 0x8f)
  for (const [name, bytes] of badStrings) bad(`with ${name} in the filter`, join(Buffer.from('a/'), bytes), malformed)
  rows.push(
    violation(
      'SUBSCRIBE of a right and a wrong filter',
      subscribe(false, Buffer.from('a'), Buffer.from('a#')),
      0x8f,
      before5,
    ),
    violation(
      'SUBSCRIBE of a right and a wrong filter in MQTT 5',
      subscribe(true, Buffer.from('a'), Buffer.from('a#')),
      0x8f,
      only5,
    ),
  )
  for (const filter of goodFilters) {
    const name = `SUBSCRIBE of ${JSON.stringify(filter)}`
    rows.push(granted(name, subscribe(false, Buffer.from(filter)), [0], before5))
    rows.push(granted(`${name} in MQTT 5`, subscribe(true, Buffer.from(filter)), [0], only5))
  }
  for (const [name, bytes] of goodStrings) {
    rows.push(granted(`SUBSCRIBE with ${name} in the filter`, subscribe(false, join(bytes)), [0], before5))
  }
  return rows
}

function options(): HostileRow[] {
  const rows: HostileRow[] = []
  const one = (filter: string, option: number, five: boolean): Buffer =>
    packet(0x82, uint16(5), five ? [0] : [], field(filter), [option])
  for (const option of [3, 4, 8, 0x10, 0x20, 0x40, 0x80, 0x7f, 0x81, 0xff]) {
    rows.push(violation(`SUBSCRIBE with the QoS byte ${option}`, one('a', option, false), malformed, before5))
  }
  for (const option of [0x40, 0x80, 0xc0, 0x41, 0x82, 0xff]) {
    rows.push(violation(`SUBSCRIBE 5 with the reserved options ${option}`, one('a', option, true), malformed, only5))
  }
  for (const option of [0x03, 0x0f, 0x13, 0x23]) {
    rows.push(violation(`SUBSCRIBE 5 with QoS 3 (options ${option})`, one('a', option, true), protocolError, only5))
  }
  for (const option of [0x30, 0x31, 0x3c]) {
    rows.push(
      violation(`SUBSCRIBE 5 with Retain Handling 3 (options ${option})`, one('a', option, true), protocolError, only5),
    )
  }
  rows.push(
    violation(
      'SUBSCRIBE 5 with No Local on a shared subscription',
      one('$share/g/a', 0x04, true),
      protocolError,
      only5,
    ),
    granted('SUBSCRIBE 5 with every right option', one('a', 0x2e, true), [2], only5),
  )
  return rows
}

function shapes(): HostileRow[] {
  const five = (name: string, code: number, bytes: Buffer): HostileRow => violation(name, bytes, code, only5)
  const four = (name: string, code: number, bytes: Buffer): HostileRow => violation(name, bytes, code, before5)
  const subscribe5 = (name: string, code: number, ...parts: readonly Bytes[]): HostileRow =>
    five(`SUBSCRIBE 5 ${name}`, code, packet(0x82, uint16(5), properties(...parts), field('a'), [0]))
  const unsubscribe5 = (name: string, code: number, ...parts: readonly Bytes[]): HostileRow =>
    five(`UNSUBSCRIBE 5 ${name}`, code, packet(0xa2, uint16(5), properties(...parts), field('a')))
  const foreign = [0x01, 0x02, 0x03, 0x08, 0x11, 0x1f, 0x21, 0x23, 0x27, 0x2b]
  return [
    four('SUBSCRIBE without a filter', protocolError, packet(0x82, uint16(5))),
    five('SUBSCRIBE 5 without a filter', protocolError, packet(0x82, uint16(5), [0])),
    four('UNSUBSCRIBE without a filter', protocolError, packet(0xa2, uint16(5))),
    five('UNSUBSCRIBE 5 without a filter', protocolError, packet(0xa2, uint16(5), [0])),
    four('SUBSCRIBE with the packet identifier 0', protocolError, packet(0x82, uint16(0), field('a'), [0])),
    five('SUBSCRIBE 5 with the packet identifier 0', protocolError, packet(0x82, uint16(0), [0], field('a'), [0])),
    four('UNSUBSCRIBE with the packet identifier 0', protocolError, packet(0xa2, uint16(0), field('a'))),
    five('UNSUBSCRIBE 5 with the packet identifier 0', protocolError, packet(0xa2, uint16(0), [0], field('a'))),
    four('SUBSCRIBE without its QoS', malformed, packet(0x82, uint16(5), field('a'))),
    five('SUBSCRIBE 5 without its options', malformed, packet(0x82, uint16(5), [0], field('a'))),
    four('SUBSCRIBE with half a second filter', malformed, packet(0x82, uint16(5), field('a'), [0], [0])),
    four('UNSUBSCRIBE with half a second filter', malformed, packet(0xa2, uint16(5), field('a'), [0, 9, 0x61])),
    violation('SUBSCRIBE without a body', packet(0x82), malformed),
    violation('SUBSCRIBE of one byte', packet(0x82, [5]), malformed),
    violation('UNSUBSCRIBE without a body', packet(0xa2), malformed),
    five('SUBSCRIBE 5 without a property length', malformed, packet(0x82, uint16(5))),
    five(
      'SUBSCRIBE 5 with a property length past the end',
      malformed,
      packet(0x82, uint16(5), [0x40], field('a'), [0]),
    ),
    five('UNSUBSCRIBE 5 with a property length past the end', malformed, packet(0xa2, uint16(5), [0x40], field('a'))),
    subscribe5('with the subscription identifier 0', protocolError, [0x0b, 0]),
    subscribe5('with two subscription identifiers', protocolError, [0x0b, 1, 0x0b, 2]),
    subscribe5('with a subscription identifier that is not minimal', malformed, [0x0b, 0x81, 0x00]),
    subscribe5('with a subscription identifier of five bytes', malformed, [0x0b, 0x80, 0x80, 0x80, 0x80, 0x01]),
    unsubscribe5('with a subscription identifier', malformed, [0x0b, 1]),
    ...foreign.map((id) => subscribe5(`with the property ${id} of another packet`, malformed, [id], uint32(1))),
    ...foreign.map((id) => unsubscribe5(`with the property ${id} of another packet`, malformed, [id], uint32(1))),
    byConnection(
      granted(
        'SUBSCRIBE of a filter over the limit',
        subscribe(false, Buffer.from('t'.repeat(1_025))),
        [0x80],
        before5,
      ),
    ),
    byConnection(
      granted(
        'SUBSCRIBE of a filter over the limit in MQTT 5',
        subscribe(true, Buffer.from('t'.repeat(1_025))),
        [0x8f],
        only5,
      ),
    ),
    byConnection(
      granted(
        'SUBSCRIBE of 102 filters',
        subscribe(false, ...many(102)),
        [...Array.from({ length: 100 }, () => 0), 0x80, 0x80],
        before5,
      ),
    ),
    byConnection(
      granted(
        'SUBSCRIBE of 102 filters in MQTT 5',
        subscribe(true, ...many(102)),
        [...Array.from({ length: 100 }, () => 0), 0x97, 0x97],
        only5,
      ),
    ),
    harmless('UNSUBSCRIBE of what was never subscribed', unsubscribe(false, Buffer.from('a')), 'b0020005', before5),
    harmless(
      'UNSUBSCRIBE of what was never subscribed in MQTT 5',
      unsubscribe(true, Buffer.from('a')),
      'b00400050011',
      only5,
    ),
  ]
}

function many(count: number): Buffer[] {
  return Array.from({ length: count }, (_, index) => Buffer.from(`f/${index}`))
}

export const subscribeRows: readonly HostileRow[] = [...filters(), ...options(), ...shapes()]
