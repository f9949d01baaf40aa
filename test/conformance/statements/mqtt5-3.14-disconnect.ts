// MQTT 5.0, 3.14 and 3.15.
import type { Statement } from '../statement.ts'

const decode = 'broker/protocol/decode.ts'
const encode = 'broker/protocol/encode.ts'
const connection = 'broker/protocol/connection.ts'
const noReason = 'conformance: no reason string makes an answer larger than the client takes'
const disconnectFlags = 'conformance: DISCONNECT and AUTH with flags in their fixed header end the connection'
const goodbye =
  'conformance: the DISCONNECT of the broker has a code of the table, no Session Expiry Interval, and is the last packet'
const takeover = 'conformance: a second connection takes over, and the first is told so before its end'
const authPackets =
  'conformance: AUTH of the broker has the method of CONNECT, a code of its table, and no text that could be too long'

export const disconnectAndAuth: readonly Statement[] = [
  {
    id: 'MQTT-3.14.0-1',
    binds: 'server',
    text: 'No DISCONNECT from the server before a CONNACK with a code below 0x80.',
    where: [connection],
    tests: [
      'conformance: no DISCONNECT comes from the broker before a CONNACK that accepts',
      'connect: the server says goodbye when it shuts down, but never before CONNACK',
    ],
  },
  {
    id: 'MQTT-3.14.1-1',
    binds: 'both',
    text: 'Reserved bits of DISCONNECT are 0; others are answered with 0x81.',
    where: [decode],
    tests: [disconnectFlags, 'format: the reserved flags of every packet of the broker are as listed'],
  },
  {
    id: 'MQTT-3.14.2-1',
    binds: 'both',
    text: 'DISCONNECT has one of its reason codes.',
    where: [decode, connection],
    tests: [
      'conformance: a DISCONNECT with a reason code that is none, or only a server may send, is a protocol error',
      goodbye,
    ],
  },
  {
    id: 'MQTT-3.14.2-2',
    binds: 'server',
    text: 'No Session Expiry Interval in a DISCONNECT of the server.',
    where: [encode],
    tests: [goodbye, takeover],
  },
  {
    id: 'MQTT-3.14.2-3',
    binds: 'both',
    text: 'No reason string where it would make DISCONNECT larger than Maximum Packet Size.',
    where: [encode, connection],
    tests: [noReason, 'conformance: CONNACK and DISCONNECT with 0x80 or more are followed by the end'],
  },
  {
    id: 'MQTT-3.14.2-4',
    binds: 'both',
    text: 'No user properties where they would make DISCONNECT larger than Maximum Packet Size. The broker sends none.',
    where: [encode],
    tests: [noReason],
  },
  {
    id: 'MQTT-3.14.4-1',
    binds: 'both',
    text: 'After DISCONNECT its sender sends nothing more.',
    where: [connection],
    tests: [goodbye, 'conformance: after DISCONNECT nothing of the client is processed, and the broker closes'],
  },
  {
    id: 'MQTT-3.14.4-2',
    binds: 'both',
    text: 'After DISCONNECT its sender closes the connection.',
    where: [connection],
    tests: [goodbye, takeover],
  },
  {
    id: 'MQTT-3.14.4-3',
    binds: 'server',
    text: 'DISCONNECT with 0x00 discards the will.',
    where: [connection, 'broker/engine/wills.ts'],
    tests: ['conformance: DISCONNECT discards the will, a DISCONNECT with 0x04 does not'],
  },
  {
    id: 'MQTT-3.15.1-1',
    binds: 'both',
    text: 'The flags of AUTH are 0; any other value is malformed and ends the connection.',
    where: [decode],
    tests: [disconnectFlags],
  },
  {
    id: 'MQTT-3.15.2-1',
    binds: 'both',
    text: 'AUTH has one of its reason codes.',
    where: [decode, 'broker/protocol/handle-auth.ts'],
    tests: [
      'conformance: AUTH of a client has 0x18 in an exchange and 0x19 to begin one, and no other code',
      authPackets,
    ],
  },
  {
    id: 'MQTT-3.15.2-2',
    binds: 'both',
    text: 'No reason string where it would make AUTH larger than Maximum Packet Size. The broker sends none.',
    where: [encode],
    tests: [authPackets],
  },
  {
    id: 'MQTT-3.15.2-3',
    binds: 'both',
    text: 'No user properties where they would make AUTH larger than Maximum Packet Size. The broker sends none.',
    where: [encode],
    tests: [authPackets],
  },
]
