// Rows about CONNECT: protocol name and level, flags, will, user name and password, properties.
import type { HostileRow, Version } from '../table.ts'
import {
  type Bytes,
  before5,
  byConnection,
  field,
  firstPacket,
  join,
  only5,
  packet,
  properties,
  refused,
  row,
  uint16,
  uint32,
} from './builders.ts'
import { badStrings } from './strings.ts'

interface Parts {
  readonly name?: string
  readonly level?: number
  readonly flags?: number
  readonly properties?: Buffer
  readonly payload?: readonly Bytes[]
}

const flag = { clean: 2, will: 4, willQos1: 8, willQos2: 16, willRetain: 32, password: 64, username: 128 } as const

/** A CONNECT that is right where nothing else is said. */
function connect(version: Version, parts: Parts = {}): Buffer {
  return packet(
    0x10,
    field(parts.name ?? (version === 3 ? 'MQIsdp' : 'MQTT')),
    [parts.level ?? version, parts.flags ?? flag.clean],
    uint16(60),
    version === 5 ? (parts.properties ?? [0]) : [],
    ...(parts.payload ?? [field('hostile')]),
  )
}

/** The same mistake in each version, one row each. */
function each(
  name: string,
  parts: (version: Version) => Parts,
  versions: readonly Version[] = [3, 4, 5],
): HostileRow[] {
  return versions.map((version) =>
    firstPacket(`CONNECT ${name}, version ${version}`, connect(version, parts(version)), [version]),
  )
}

const will5 = (version: Version): Bytes => (version === 5 ? [0] : [])

function names(): HostileRow[] {
  const rows: HostileRow[] = []
  for (const level of [0, 1, 2, 3, 6, 7, 0x80, 0x83, 0x84, 0x85, 0xff]) {
    rows.push(refused(`CONNECT of MQTT level ${level}`, connect(4, { level }), 1, [4]))
  }
  for (const level of [0, 2, 4, 5, 0x83]) {
    rows.push(refused(`CONNECT of MQIsdp level ${level}`, connect(3, { level }), 1, [3]))
  }
  for (const name of [
    '',
    'M',
    'MQT',
    'mqtt',
    'MQTTT',
    'MQTT ',
    'MQIsd',
    'MQISDP',
    'HTTP',
    'MQ\u00DFT',
    'x'.repeat(300),
  ]) {
    const bytes = connect(4, { name })
    rows.push(
      row(`CONNECT of the protocol ${JSON.stringify(name.slice(0, 8))}`, 'before-connect', bytes, [4], () => 'close'),
    )
  }
  return rows
}

function flags(): HostileRow[] {
  return [
    ...each('with the reserved flag', () => ({ flags: flag.clean | 1 })),
    ...each('with Will QoS 3', (version) => ({
      flags: flag.clean | flag.will | flag.willQos1 | flag.willQos2,
      payload: [field('hostile'), will5(version), field('t'), field('p')],
    })),
    ...each('with Will QoS 1 and no will', () => ({ flags: flag.clean | flag.willQos1 })),
    ...each('with Will QoS 2 and no will', () => ({ flags: flag.clean | flag.willQos2 })),
    ...each('with Will QoS 3 and no will', () => ({ flags: flag.clean | flag.willQos1 | flag.willQos2 })),
    ...each('with Will Retain and no will', () => ({ flags: flag.clean | flag.willRetain })),
    ...each('with all flags', () => ({ flags: 0xff })),
    ...each(
      'with a password and no user name',
      () => ({
        flags: flag.clean | flag.password,
        payload: [field('hostile'), field('secret')],
      }),
      before5,
    ),
    ...each('with a will that is missing', () => ({ flags: flag.clean | flag.will })),
    ...each('with a user name that is missing', () => ({ flags: flag.clean | flag.username }), [4, 5]),
    ...each(
      'with a password that is missing',
      () => ({
        flags: flag.clean | flag.username | flag.password,
        payload: [field('hostile'), field('alice')],
      }),
      [4, 5],
    ),
    ...each('with one byte after the payload', () => ({ payload: [field('hostile'), [0]] })),
    ...each('with a user name but without its flag', () => ({ payload: [field('hostile'), field('alice')] })),
    ...each('with a second CONNECT inside', (version) => ({ payload: [field('hostile'), connect(version)] })),
    ...each('without a client identifier field', () => ({ payload: [] })),
    ...each('with half a length of the client identifier', () => ({ payload: [[0]] })),
    ...each('with a client identifier longer than the packet', () => ({
      payload: [uint16(8), Buffer.from('hostile')],
    })),
    ...each('with a client identifier of 65,535 bytes that are not there', () => ({
      payload: [[0xff, 0xff], Buffer.from('x')],
    })),
  ]
}

function texts(): HostileRow[] {
  const rows: HostileRow[] = []
  for (const [name, bytes] of badStrings) {
    rows.push(
      ...each(`with ${name} in the client identifier`, () => ({ payload: [field(join(Buffer.from('h'), bytes))] })),
      ...each(`with ${name} in the user name`, () => ({
        flags: flag.clean | flag.username,
        payload: [field('hostile'), field(bytes)],
      })),
      ...each(`with ${name} in the will topic`, (version) => ({
        flags: flag.clean | flag.will,
        payload: [field('hostile'), will5(version), field(bytes), field('p')],
      })),
    )
  }
  for (const topic of ['', '#', '+', 'a/#', 'a/+/b', 'a#']) {
    rows.push(
      ...each(`with the will topic ${JSON.stringify(topic)}`, (version) => ({
        flags: flag.clean | flag.will,
        payload: [field('hostile'), will5(version), field(topic), field('p')],
      })),
    )
  }
  rows.push(
    byConnection(
      refused('CONNECT with an empty client identifier, MQTT 3.1', connect(3, { payload: [field('')] }), 2, [3]),
    ),
    byConnection(
      refused(
        'CONNECT with an empty client identifier and no clean session',
        connect(4, { flags: 0, payload: [field('')] }),
        2,
        [4],
      ),
    ),
    byConnection(
      refused(
        'CONNECT with a client identifier over the limit',
        connect(4, { payload: [field('x'.repeat(129))] }),
        2,
        [4],
      ),
    ),
    byConnection(
      refused(
        'CONNECT with a client identifier over the limit, MQTT 5',
        connect(5, { payload: [field('x'.repeat(129))] }),
        0x85,
        [5],
      ),
    ),
  )
  return rows
}

/** Every beginning of a CONNECT that uses every field, with the Remaining Length corrected. */
function truncated(): HostileRow[] {
  const rows: HostileRow[] = []
  const all = flag.clean | flag.will | flag.willQos1 | flag.username | flag.password
  for (const version of [4, 5] as const) {
    const whole = connect(version, {
      flags: all,
      properties: properties([0x11], uint32(9), [0x21], uint16(5)),
      payload: [
        field('id'),
        version === 5 ? properties([0x18], uint32(1)) : [],
        field('w'),
        field('p'),
        field('u'),
        field('s'),
      ],
    }).subarray(2)
    // Up to the level nothing says which version it is.
    for (let length = 0; length < whole.length; length++) {
      rows.push(
        firstPacket(`CONNECT cut after ${length} bytes, version ${version}`, packet(0x10, whole.subarray(0, length)), [
          version,
        ]),
      )
    }
  }
  return rows
}

function connectProperties(): HostileRow[] {
  const five = (name: string, ...parts: readonly Bytes[]): HostileRow =>
    firstPacket(`CONNECT 5 ${name}`, connect(5, { properties: properties(...parts) }), only5)
  const raw = (name: string, ...parts: readonly Bytes[]): HostileRow =>
    firstPacket(`CONNECT 5 ${name}`, connect(5, { properties: join(...parts) }), only5)
  const numbers: readonly (readonly [string, number, Bytes])[] = [
    ['Session Expiry Interval', 0x11, uint32(1)],
    ['Request Problem Information', 0x17, [1]],
    ['Request Response Information', 0x19, [1]],
    ['Receive Maximum', 0x21, uint16(1)],
    ['Topic Alias Maximum', 0x22, uint16(1)],
    ['Maximum Packet Size', 0x27, uint32(100)],
    ['Authentication Method', 0x15, field('m')],
  ]
  const method: Bytes = join([0x15], field('m'))
  const twice = numbers.map(([name, id, value]) => five(`with ${name} twice`, [id], value, [id], value))
  const cut = numbers.map(([name, id, value]) => five(`with ${name} cut short`, [id], value.slice(0, -1)))
  const foreign = [
    0x01, 0x02, 0x03, 0x08, 0x09, 0x0b, 0x12, 0x13, 0x18, 0x1a, 0x1c, 0x1f, 0x23, 0x24, 0x25, 0x28, 0x29, 0x2a,
  ]
  const unknown = [0x00, 0x04, 0x0a, 0x10, 0x14, 0x20, 0x2b, 0x7f]
  return [
    ...twice,
    ...cut,
    ...foreign.map((id) => five(`with the property ${id} of another packet`, [id], [0, 0, 0, 1])),
    ...unknown.map((id) => five(`with the unknown property ${id}`, [id], [0, 0])),
    five('with a property identifier of two bytes', [0x80, 0x01], [0]),
    five('with a property identifier that is not minimal', [0x91, 0x00], uint32(1)),
    five('with Receive Maximum 0', [0x21], uint16(0)),
    five('with Maximum Packet Size 0', [0x27], uint32(0)),
    five('with Request Problem Information 2', [0x17, 2]),
    five('with Request Response Information 255', [0x19, 255]),
    five('with authentication data and no method', [0x16], field('data')),
    five('with authentication data twice', method, [0x16], field('d'), [0x16], field('d')),
    five('with a user property without a value', [0x26], field('name')),
    five('with U+0000 in a user property', [0x26], field('name'), field([0])),
    raw('with a property length past the end', [0x7f]),
    raw('with a property length that is not minimal', [0x80, 0x00]),
    raw('with a property length of five bytes', [0xff, 0xff, 0xff, 0xff, 0x01]),
    raw('with a property length one too small', [0x04, 0x11], uint32(1)),
    raw('with a property length one too large', [0x06, 0x11], uint32(1)),
    willFive('with Will Delay twice', [0x18], uint32(1), [0x18], uint32(1)),
    willFive('with Payload Format Indicator 2 in the will', [0x01, 2]),
    willFive('with Session Expiry Interval in the will', [0x11], uint32(1)),
    willFive('with Topic Alias in the will', [0x23], uint16(1)),
    willFive('with a wildcard in the response topic of the will', [0x08], field('a/#')),
    willFive('with an empty response topic in the will', [0x08], field('')),
    willFive('with Content Type twice in the will', [0x03], field('t'), [0x03], field('t')),
    byConnection(
      refused(
        'CONNECT 5 with an unknown authentication method',
        connect(5, { properties: properties(method) }),
        0x8c,
        only5,
      ),
    ),
  ]
}

function willFive(name: string, ...parts: readonly Bytes[]): HostileRow {
  const payload = [field('hostile'), properties(...parts), field('t'), field('p')]
  return firstPacket(`CONNECT 5 ${name}`, connect(5, { flags: flag.clean | flag.will, payload }), only5)
}

export const connectRows: readonly HostileRow[] = [
  ...names(),
  ...flags(),
  ...texts(),
  ...truncated(),
  ...connectProperties(),
]
