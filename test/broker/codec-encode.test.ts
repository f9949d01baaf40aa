// What the server sends: exact bytes where the standard has a short form, mqtt-packet as a reader of the rest.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Packet, parser } from 'mqtt-packet'
import {
  encodeAck,
  encodeAuth,
  encodeConnack,
  encodeDisconnect,
  encodePingresp,
  encodePublish,
  encodeSuback,
  encodeUnsuback,
} from '../../broker/protocol/encode.ts'
import { type ProtocolVersion, ProtocolViolation } from '../../broker/protocol/packets.ts'
import { reason } from '../../broker/protocol/reason-codes.ts'

const deadline = { timeout: 10_000 }

test('encode: CONNACK before MQTT 5 maps reason codes to return codes', deadline, () => {
  const cases = [
    [reason.success, 0],
    [reason.unsupportedProtocolVersion, 1],
    [reason.clientIdentifierNotValid, 2],
    [reason.serverUnavailable, 3],
    [reason.serverBusy, 3],
    [reason.connectionRateExceeded, 3],
    [reason.badUserNameOrPassword, 4],
    [reason.notAuthorized, 5],
    [reason.banned, 5],
    [reason.topicNameInvalid, 5],
  ] as const
  for (const [reasonCode, returnCode] of cases) {
    const bytes = encodeConnack(4, { sessionPresent: false, reasonCode })
    assert.deepEqual([...bytes], [0x20, 2, 0, returnCode])
  }
})

test('encode: session present only where it may be', deadline, () => {
  const flagOf = (version: ProtocolVersion, reasonCode: number): number | undefined =>
    encodeConnack(version, { sessionPresent: true, reasonCode })[2]
  assert.deepEqual([flagOf(3, 0), flagOf(4, 0), flagOf(5, 0)], [0, 1, 1])
  assert.deepEqual([flagOf(4, 0x87), flagOf(5, 0x87)], [0, 0])
})

test('encode: mqtt-packet reads every property of CONNACK', deadline, () => {
  const bytes = encodeConnack(5, {
    sessionPresent: true,
    reasonCode: 0,
    properties: {
      sessionExpiryS: 4_000_000_000,
      receiveMaximum: 1_000,
      maximumQos: 1,
      retainAvailable: true,
      maximumPacketSize: 1_048_576,
      assignedClientId: 'oriole-ü',
      topicAliasMaximum: 32,
      reasonString: 'welcome',
      userProperties: [['node', 'a']],
      wildcardSubscriptionAvailable: true,
      subscriptionIdsAvailable: false,
      sharedSubscriptionAvailable: true,
      serverKeepAlive: 1_200,
      responseInformation: 'reply/x',
      serverReference: 'other:1883',
      authenticationMethod: 'm',
      authenticationData: Buffer.from([1, 2]),
    },
  })
  const seen = parse(bytes, 5)
  assert.equal(seen.cmd, 'connack')
  assert.deepEqual({ ...('properties' in seen ? seen.properties : undefined) } as object, {
    sessionExpiryInterval: 4_000_000_000,
    receiveMaximum: 1_000,
    maximumQoS: 1,
    retainAvailable: true,
    maximumPacketSize: 1_048_576,
    assignedClientIdentifier: 'oriole-ü',
    topicAliasMaximum: 32,
    reasonString: 'welcome',
    userProperties: Object.assign(Object.create(null), { node: 'a' }),
    wildcardSubscriptionAvailable: true,
    subscriptionIdentifiersAvailable: false,
    sharedSubscriptionAvailable: true,
    serverKeepAlive: 1_200,
    responseInformation: 'reply/x',
    serverReference: 'other:1883',
    authenticationMethod: 'm',
    authenticationData: Buffer.from([1, 2]),
  })
})

test('encode: acknowledgements take their shortest form', deadline, () => {
  assert.equal(encodeAck(4, 'puback', 0x1234, 0).toString('hex'), '40021234')
  assert.equal(encodeAck(4, 'pubrec', 7, 0x87, 'no').toString('hex'), '50020007')
  assert.equal(encodeAck(5, 'pubrel', 7, 0).toString('hex'), '62020007')
  assert.equal(encodeAck(5, 'pubcomp', 7, 0x92).toString('hex'), '7003000792')
  assert.equal(encodeAck(5, 'puback', 7, 0x87, 'no').toString('hex'), '4009000787051f00026e6f')
})

test('encode: a reason string that does not fit is left out', deadline, () => {
  const whole = encodeAck(5, 'puback', 7, 0x87, 'not authorized')
  assert.deepEqual(encodeAck(5, 'puback', 7, 0x87, 'not authorized', whole.length), whole)
  assert.equal(encodeAck(5, 'puback', 7, 0x87, 'not authorized', whole.length - 1).toString('hex'), '4003000787')
  assert.equal(encodeDisconnect(0x8b, 'the server shuts down', 10).toString('hex'), 'e0018b')
  assert.equal(encodeDisconnect(0x8b).toString('hex'), 'e0018b')
})

test('encode: SUBACK and UNSUBACK of each version', deadline, () => {
  assert.equal(encodeSuback(4, 5, [0, 1, 2, 0x87]).toString('hex'), '9006000500010280')
  assert.equal(encodeSuback(5, 5, [0, 1, 2, 0x87]).toString('hex'), '900700050000010287')
  assert.equal(encodeUnsuback(4, 5, [0, 0x11]).toString('hex'), 'b0020005')
  assert.equal(encodeUnsuback(5, 5, [0, 0x11]).toString('hex'), 'b0050005000011')
  const many = Array.from({ length: 1_000 }, (_, index) => index % 3)
  const seen = parse(encodeSuback(5, 5, many), 5)
  assert.deepEqual('granted' in seen ? seen.granted : undefined, many)
})

test('encode: mqtt-packet reads DISCONNECT, AUTH and PINGRESP', deadline, () => {
  const disconnect = parse(encodeDisconnect(0x9c, 'moved', undefined, 'other:1883'), 5)
  assert.ok(disconnect.cmd === 'disconnect')
  assert.equal(disconnect.reasonCode, 0x9c)
  assert.equal(disconnect.properties?.reasonString, 'moved')
  assert.equal(disconnect.properties?.serverReference, 'other:1883')
  const auth = parse(encodeAuth(0x18, 'SCRAM', Buffer.from('data')), 5)
  assert.ok(auth.cmd === 'auth')
  assert.equal(auth.properties?.authenticationMethod, 'SCRAM')
  assert.deepEqual(auth.properties?.authenticationData, Buffer.from('data'))
  assert.equal(parse(encodePingresp(), 4).cmd, 'pingresp')
})

test('encode: a shared PUBLISH is patched where packetIdAt says', deadline, () => {
  const base = {
    topic: 'im/u/ü',
    payload: Buffer.alloc(300, 1),
    retain: false,
    dup: false,
    messageExpiryS: undefined,
    topicAlias: undefined,
    subscriptionIds: undefined,
    properties: { contentType: 'text/plain' },
  }
  for (const version of [4, 5] as const) {
    const shared = encodePublish(version, { ...base, qos: 1, packetId: 1 })
    const copy = Buffer.from(shared.bytes)
    copy[0] = copy[0]! | 8
    copy.writeUInt16BE(54_321, shared.packetIdAt)
    assert.deepEqual(copy, encodePublish(version, { ...base, qos: 1, packetId: 54_321, dup: true }).bytes)
    assert.equal(encodePublish(version, { ...base, qos: 0, packetId: 0 }).packetIdAt, 0)
  }
})

test('encode: user properties keep their order and repeated names', deadline, () => {
  const userProperties = [
    ['b', '1'],
    ['a', '2'],
    ['b', '3'],
  ] as const
  const { bytes } = encodePublish(5, {
    topic: 't',
    payload: Buffer.alloc(0),
    qos: 0,
    retain: false,
    dup: false,
    packetId: 0,
    messageExpiryS: undefined,
    topicAlias: undefined,
    subscriptionIds: undefined,
    properties: { userProperties },
  })
  assert.equal(bytes.subarray(6).toString('hex'), '26000162000131' + '26000161000132' + '26000162000133')
})

test('encode: a string over 65,535 bytes is an error of the caller, not of the client', deadline, () => {
  const tooLong = (): Buffer => encodeDisconnect(0x80, 'x'.repeat(65_536))
  assert.throws(tooLong, (error) => error instanceof RangeError && !(error instanceof ProtocolViolation))
})

function parse(bytes: Buffer, version: ProtocolVersion): Packet {
  const packets: Packet[] = []
  const oracle = parser({ protocolVersion: version })
  oracle.on('packet', (packet) => packets.push(packet))
  oracle.on('error', (error) => assert.fail(String(error)))
  oracle.parse(bytes)
  assert.equal(packets.length, 1)
  return packets[0]!
}
