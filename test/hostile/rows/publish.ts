// Rows about PUBLISH and its acknowledgements.
import type { HostileRow } from '../table.ts'
import {
  type Bytes,
  before5,
  byConnection,
  field,
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

/** The same mistake with and without the properties of MQTT 5. */
function both(
  name: string,
  header: number,
  code: number,
  start: readonly Bytes[],
  rest: readonly Bytes[] = [],
): HostileRow[] {
  return [
    violation(`PUBLISH ${name}`, packet(header, ...start, ...rest), code, before5),
    violation(`PUBLISH ${name} in MQTT 5`, packet(header, ...start, [0], ...rest), code, only5),
  ]
}

const payload = Buffer.from('payload')

function headers(): HostileRow[] {
  return [
    ...[0x36, 0x37, 0x3e, 0x3f].flatMap((header) =>
      both(`with QoS 3 (first byte ${header})`, header, malformed, [field('a'), uint16(1)], [payload]),
    ),
    ...[0x38, 0x39].flatMap((header) =>
      both(`with DUP and QoS 0 (first byte ${header})`, header, malformed, [field('a')], [payload]),
    ),
    ...[0x32, 0x34, 0x3a, 0x3c].flatMap((header) =>
      both(
        `with the packet identifier 0 (first byte ${header})`,
        header,
        protocolError,
        [field('a'), uint16(0)],
        [payload],
      ),
    ),
    ...both('without a topic', 0x30, protocolError, [field('')], [payload]),
    ...both('without a topic and with QoS 1', 0x32, protocolError, [field(''), uint16(1)], [payload]),
  ]
}

function topics(): HostileRow[] {
  const rows: HostileRow[] = []
  for (const topic of ['#', '+', 'a/#', 'a/+', '+/a', 'a/+/b', 'a#', '+a', '#/a', '$SYS/#', '/+', '##']) {
    rows.push(...both(`to ${topic}`, 0x30, 0x90, [field(topic)], [payload]))
  }
  for (const [name, bytes] of badStrings) {
    rows.push(...both(`with ${name} in the topic`, 0x30, malformed, [field(join(Buffer.from('a/'), bytes))], [payload]))
  }
  for (const [name, bytes] of goodStrings) {
    const topic = field(join(Buffer.from('a/'), bytes))
    rows.push(
      harmless(`PUBLISH with ${name} in the topic`, packet(0x30, topic, payload), '', before5),
      harmless(`PUBLISH with ${name} in the topic in MQTT 5`, packet(0x30, topic, [0], payload), '', only5),
    )
  }
  for (const topic of ['/', '//', 'a/', '/a', 'a//b', ' ', 'a b']) {
    rows.push(
      harmless(`PUBLISH to ${JSON.stringify(topic)}`, packet(0x30, field(topic)), '', before5),
      harmless(`PUBLISH to ${JSON.stringify(topic)} in MQTT 5`, packet(0x30, field(topic), [0]), '', only5),
    )
  }
  rows.push(
    byConnection(violation('PUBLISH to a topic over the limit', packet(0x30, field('t'.repeat(1_025)), [0]), 0x90)),
  )
  rows.push(byConnection(violation('PUBLISH to a topic of 33 levels', packet(0x30, field('/'.repeat(32)), [0]), 0x90)))
  return rows
}

function truncated(): HostileRow[] {
  const rows: HostileRow[] = []
  const four = join(field('abc'), uint16(9))
  const five = join(four, properties([0x02], uint32(60), [0x26], field('n'), field('v')))
  for (let length = 0; length < four.length; length++) {
    rows.push(
      violation(`PUBLISH cut after ${length} bytes`, packet(0x32, four.subarray(0, length)), malformed, before5),
    )
  }
  for (let length = 0; length < five.length; length++) {
    rows.push(
      violation(
        `PUBLISH cut after ${length} bytes in MQTT 5`,
        packet(0x32, five.subarray(0, length)),
        malformed,
        only5,
      ),
    )
  }
  return rows
}

function publishProperties(): HostileRow[] {
  const five = (name: string, code: number, ...parts: readonly Bytes[]): HostileRow =>
    violation(`PUBLISH 5 ${name}`, packet(0x30, field('a'), properties(...parts), payload), code, only5)
  const raw = (name: string, code: number, ...parts: readonly Bytes[]): HostileRow =>
    violation(`PUBLISH 5 ${name}`, packet(0x30, field('a'), ...parts), code, only5)
  const known: readonly (readonly [string, number, Bytes])[] = [
    ['Payload Format Indicator', 0x01, [1]],
    ['Message Expiry Interval', 0x02, uint32(60)],
    ['Content Type', 0x03, field('t')],
    ['Response Topic', 0x08, field('r')],
    ['Correlation Data', 0x09, field('c')],
    ['Topic Alias', 0x23, uint16(1)],
  ]
  const foreign = [
    0x11, 0x12, 0x13, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1c, 0x1f, 0x21, 0x22, 0x24, 0x25, 0x27, 0x28, 0x29, 0x2a,
  ]
  const alias = (name: string, code: number, value: number, topic: string): HostileRow =>
    violation(`PUBLISH 5 ${name}`, packet(0x30, field(topic), properties([0x23], uint16(value))), code, only5)
  return [
    ...known.map(([name, id, value]) => five(`with ${name} twice`, protocolError, [id], value, [id], value)),
    ...known.map(([name, id, value]) => five(`with ${name} cut short`, malformed, [id], value.slice(0, -1))),
    ...foreign.map((id) => five(`with the property ${id} of another packet`, malformed, [id], [0, 0, 0, 1])),
    ...[0x00, 0x04, 0x2b, 0x7f].map((id) => five(`with the unknown property ${id}`, malformed, [id], [0])),
    five('with a subscription identifier', protocolError, [0x0b, 1]),
    five('with Payload Format Indicator 2', protocolError, [0x01, 2]),
    five('with Payload Format Indicator 255', protocolError, [0x01, 255]),
    five('with the response topic #', 0x90, [0x08], field('#')),
    five('with the response topic a/+', 0x90, [0x08], field('a/+')),
    five('with an empty response topic', 0x90, [0x08], field('')),
    five('with bad UTF-8 in the content type', malformed, [0x03], field([0xff])),
    five('with bad UTF-8 in the name of a user property', malformed, [0x26], field([0xc0, 0x80]), field('v')),
    five('with bad UTF-8 in the value of a user property', malformed, [0x26], field('n'), field([0xed, 0xa0, 0x80])),
    raw('with a property length past the end', malformed, [0x05, 0x02], uint16(0)),
    raw('with a property length of 268,435,455', malformed, [0xff, 0xff, 0xff, 0x7f]),
    raw('with a property length that is not minimal', malformed, [0x80, 0x00]),
    raw('with a property length of five bytes', malformed, [0x80, 0x80, 0x80, 0x80, 0x01]),
    raw('with a property length that ends inside a property', malformed, [0x03, 0x02], uint32(1)),
    alias('with the topic alias 0', 0x94, 0, 'a'),
    alias('with the topic alias 0 and no topic', 0x94, 0, ''),
    byConnection(alias('with a topic alias over the maximum', 0x94, 33, 'a')),
    byConnection(alias('with the topic alias 65,535', 0x94, 65_535, 'a')),
    byConnection(alias('with a topic alias that was never set', protocolError, 1, '')),
  ]
}

const acks = [
  { name: 'PUBACK', header: 0x40, codes: [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99] },
  { name: 'PUBREC', header: 0x50, codes: [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99] },
  { name: 'PUBREL', header: 0x62, codes: [0x00, 0x92] },
  { name: 'PUBCOMP', header: 0x70, codes: [0x00, 0x92] },
]

function acknowledgements(): HostileRow[] {
  const rows: HostileRow[] = []
  for (const { name, header, codes } of acks) {
    const five = (what: string, code: number, ...parts: readonly Bytes[]): HostileRow =>
      violation(`${name} 5 ${what}`, packet(header, uint16(7), ...parts), code, only5)
    const wrong = [0x01, 0x04, 0x18, 0x7f, 0x81, 0x82, 0x8f, 0x92, 0x97, 0xff].filter((code) => !codes.includes(code))
    rows.push(
      violation(`${name} without a body`, packet(header), malformed),
      violation(`${name} of one byte`, packet(header, [0]), malformed),
      violation(`${name} with the packet identifier 0`, packet(header, uint16(0)), protocolError),
      violation(`${name} of three bytes`, packet(header, uint16(7), [0]), malformed, before5),
      violation(`${name} of four bytes`, packet(header, uint16(7), [0, 0]), malformed, before5),
      ...wrong.map((code) => five(`with the reason code ${code}`, protocolError, [code])),
      five('with a property length past the end', malformed, [0, 5]),
      five('with bytes after its properties', malformed, [0, 0, 0]),
      five('with two reason strings', protocolError, [0], properties([0x1f], field('a'), [0x1f], field('b'))),
      five('with bad UTF-8 in its reason string', malformed, [0], properties([0x1f], field([0xff]))),
      five('with the property of another packet', malformed, [0], properties([0x11], uint32(1))),
      five('with half a user property', malformed, [0], properties([0x26], field('n'))),
    )
  }
  const unknown = (name: string, header: number, answer: string, versions: typeof only5): HostileRow =>
    byConnection(harmless(name, packet(header, uint16(7)), answer, versions))
  rows.push(
    unknown('PUBACK of an unknown packet identifier', 0x40, '', [3, 4, 5]),
    unknown('PUBCOMP of an unknown packet identifier', 0x70, '', [3, 4, 5]),
    unknown('PUBREC of an unknown packet identifier', 0x50, '62020007', before5),
    unknown('PUBREC of an unknown packet identifier in MQTT 5', 0x50, '6203000792', only5),
    unknown('PUBREL of an unknown packet identifier', 0x62, '70020007', before5),
    unknown('PUBREL of an unknown packet identifier in MQTT 5', 0x62, '7003000792', only5),
  )
  return rows
}

export const publishRows: readonly HostileRow[] = [
  ...headers(),
  ...topics(),
  ...truncated(),
  ...publishProperties(),
  ...acknowledgements(),
]
