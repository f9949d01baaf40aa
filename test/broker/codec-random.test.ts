// The codec against mqtt-packet on random packets, and against packets that were cut, split and damaged.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type IPublishPacket, parser } from 'mqtt-packet'
import { decode } from '../../broker/protocol/decode.ts'
import { encodePublish } from '../../broker/protocol/encode.ts'
import { type Frame, FrameReader } from '../../broker/protocol/frames.ts'
import { type ClientPacket, type ProtocolVersion, ProtocolViolation } from '../../broker/protocol/packets.ts'
import { seeded } from '../helpers/random.ts'
import { oracleBytes, randomClientPacket, randomPublish } from '../helpers/random-packets.ts'

const deadline = { timeout: 30_000 }
const versions: readonly ProtocolVersion[] = [3, 4, 5]

test('codec: what mqtt-packet encodes we decode to the same packet', deadline, (t) => {
  const random = seeded(t)
  for (let round = 0; round < 6_000; round++) {
    const version = random.pick(versions)
    const packet = randomClientPacket(random, version)
    assert.deepEqual(decodeWhole(oracleBytes(packet, version), packet, version), packet)
  }
})

test('codec: packets split at random positions come out whole and in order', deadline, (t) => {
  const random = seeded(t)
  for (let round = 0; round < 300; round++) {
    const version = random.pick(versions)
    const packets = Array.from({ length: 1 + random.below(8) }, () => randomClientPacket(random, version))
    const stream = Buffer.concat(packets.map((packet) => oracleBytes(packet, version)))
    const reader = new FrameReader(1_000_000)
    const frames: Frame[] = []
    for (let start = 0; start < stream.length; ) {
      const end = Math.min(stream.length, start + 1 + random.below(random.pick([2, 20, 4_000])))
      reader.push(Buffer.from(stream.subarray(start, end)))
      // Sometimes the connection is busy and takes its frames later.
      if (random.chance(4)) takeAll(reader, frames)
      start = end
    }
    takeAll(reader, frames)
    const decoded = frames.map(({ header, body }, index) => decode(header, body, stateOf(packets[index]!, version)))
    assert.deepEqual(decoded, packets)
    assert.ok(reader.idle)
  }
})

test('codec: a packet split in two at every position comes out the same', deadline, (t) => {
  const random = seeded(t)
  for (let round = 0; round < 100; round++) {
    const version = random.pick(versions)
    const packet = randomClientPacket(random, version)
    const bytes = oracleBytes(packet, version)
    const whole = decodeWhole(bytes, packet, version)
    for (let position = 1; position < bytes.length; position++) {
      const reader = new FrameReader(1_000_000)
      reader.push(Buffer.from(bytes.subarray(0, position)))
      assert.equal(reader.next(), undefined)
      assert.ok(!reader.idle)
      reader.push(Buffer.from(bytes.subarray(position)))
      const frame = reader.next()
      assert.ok(frame)
      assert.deepEqual(decode(frame.header, frame.body, stateOf(packet, version)), whole)
      assert.ok(reader.idle)
    }
  }
})

test('codec: a body cut short is refused, or it is the packet with less in it that its bytes say', deadline, (t) => {
  const random = seeded(t)
  for (let round = 0; round < 1_500; round++) {
    const version = random.pick(versions)
    const packet = randomClientPacket(random, version)
    const { header, body } = frameOf(oracleBytes(packet, version))
    for (let length = 0; length < body.length; length++) {
      const cut = decodeOrViolation(header, body.subarray(0, length), stateOf(packet, version))
      if (cut !== undefined) assertPrefix(cut, packet, version)
    }
  }
})

test('codec: damaged packets throw nothing but ProtocolViolation', deadline, (t) => {
  const random = seeded(t)
  let refused = 0
  for (let round = 0; round < 20_000; round++) {
    const version = random.pick(versions)
    const packet = randomClientPacket(random, version)
    const bytes = Buffer.from(oracleBytes(packet, version))
    for (let flips = 1 + random.below(3); flips > 0; flips--) {
      const index = random.below(bytes.length)
      bytes[index] = bytes[index]! ^ (1 << random.below(8))
    }
    refused += violates(() => {
      const reader = new FrameReader(100_000)
      reader.push(bytes)
      for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
        decode(frame.header, frame.body, stateOf(packet, version))
      }
    })
  }
  assert.ok(refused > 1_000)
})

test('codec: random bytes throw nothing but ProtocolViolation', deadline, (t) => {
  const random = seeded(t)
  for (let round = 0; round < 20_000; round++) {
    const body = random.bytes(60)
    const header = random.below(256)
    violates(() => decode(header, body, random.chance(4) ? undefined : random.pick(versions)))
  }
})

test('codec: every PUBLISH that we encode mqtt-packet decodes to the same', deadline, (t) => {
  const random = seeded(t)
  for (let round = 0; round < 3_000; round++) {
    const version = random.pick(versions)
    const subscriptionIds =
      version === 5 && random.chance(3) ? [1 + random.below(268_435_455), 1 + random.below(127)] : undefined
    const publish = { ...randomPublish(random, version, 1 + random.below(65_535)), subscriptionIds }
    const { bytes, packetIdAt } = encodePublish(version, publish)
    const [seen] = parseAll(bytes, version) as [IPublishPacket]
    assert.equal(seen.topic, publish.topic)
    assert.deepEqual(seen.payload, publish.payload)
    assert.deepEqual([seen.qos, seen.retain, seen.dup], [publish.qos, publish.retain, publish.dup])
    assert.equal(seen.messageId ?? 0, publish.packetId)
    if (publish.qos > 0) assert.equal(bytes.readUInt16BE(packetIdAt), publish.packetId)
    assert.deepEqual(seen.properties?.subscriptionIdentifier, subscriptionIds)
    assert.equal(seen.properties?.messageExpiryInterval, publish.messageExpiryS)
    assert.equal(seen.properties?.topicAlias, publish.topicAlias)
    if (subscriptionIds === undefined) assert.deepEqual(decodeWhole(bytes, publish, version), publish)
  }
})

/** CONNECT is decoded before the version is known. */
function stateOf(packet: ClientPacket, version: ProtocolVersion): ProtocolVersion | undefined {
  return packet.type === 'connect' ? undefined : version
}

function frameOf(bytes: Buffer): Frame {
  const reader = new FrameReader(bytes.length)
  reader.push(bytes)
  const frame = reader.next()
  assert.ok(frame)
  assert.equal(reader.next(), undefined)
  return frame
}

function decodeWhole(bytes: Buffer, packet: ClientPacket, version: ProtocolVersion): ClientPacket {
  const { header, body } = frameOf(bytes)
  return decode(header, body, stateOf(packet, version))
}

function takeAll(reader: FrameReader, into: Frame[]): void {
  for (let frame = reader.next(); frame !== undefined; frame = reader.next()) into.push(frame)
}

function decodeOrViolation(
  header: number,
  body: Buffer,
  version: ProtocolVersion | undefined,
): ClientPacket | undefined {
  try {
    return decode(header, body, version)
  } catch (error) {
    assert.ok(error instanceof ProtocolViolation, String(error))
    return undefined
  }
}

function violates(action: () => void): number {
  try {
    action()
    return 0
  } catch (error) {
    assert.ok(error instanceof ProtocolViolation, String(error))
    assert.ok(error.reasonCode >= 0x80)
    return 1
  }
}

/** Which fields may be missing at the end of a body that was cut. */
function assertPrefix(cut: ClientPacket, whole: ClientPacket, version: ProtocolVersion): void {
  if (cut.type === 'publish' && whole.type === 'publish') {
    const payload = whole.payload.subarray(0, cut.payload.length)
    assert.deepEqual(cut, { ...whole, payload })
  } else if (cut.type === 'subscribe' && whole.type === 'subscribe') {
    assert.deepEqual(cut, { ...whole, requests: whole.requests.slice(0, cut.requests.length) })
  } else if (cut.type === 'unsubscribe' && whole.type === 'unsubscribe') {
    assert.deepEqual(cut, { ...whole, filters: whole.filters.slice(0, cut.filters.length) })
  } else if (cut.type === 'connect' && whole.type === 'connect') {
    // Only MQTT 3.1 lets user name and password be missing although their flags are set.
    assert.equal(version, 3)
    assert.deepEqual(cut, { ...whole, username: cut.username, password: undefined })
  } else if (cut.type === 'disconnect') {
    assert.equal(cut.sessionExpiryS, undefined)
  } else {
    // PUBACK and its kin have short forms.
    assert.equal(version, 5)
    assert.ok('packetId' in cut && 'packetId' in whole && cut.packetId === whole.packetId)
  }
}

function parseAll(bytes: Buffer, version: ProtocolVersion): unknown[] {
  const packets: unknown[] = []
  const oracle = parser({ protocolVersion: version })
  oracle.on('packet', (packet) => packets.push(packet))
  oracle.on('error', (error) => assert.fail(String(error)))
  oracle.parse(bytes)
  assert.equal(packets.length, 1)
  return packets
}
