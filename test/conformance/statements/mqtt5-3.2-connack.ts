// MQTT 5.0, 3.2.
import type { Statement } from '../statement.ts'

const handleConnect = 'broker/protocol/handle-connect.ts'
const encode = 'broker/protocol/encode.ts'
const flags = 'connack: session present is 1 only for a session that goes on, and the other bits are 0'
const available = 'connack: all of MQTT is available: every QoS, retained messages, wildcards, shared subscriptions'
const refused = 'connack: … is refused with a code of its table, and the connection closed'

export const connack: readonly Statement[] = [
  {
    id: 'MQTT-3.2.0-1',
    binds: 'server',
    text: 'CONNACK 0x00 comes before every other packet but AUTH.',
    where: [handleConnect, 'broker/protocol/replies.ts'],
    tests: [
      'connack: it comes before everything else, and once',
      'connect: what follows an accepted CONNECT in the same write is answered after CONNACK',
    ],
  },
  {
    id: 'MQTT-3.2.0-2',
    binds: 'server',
    text: 'There is one CONNACK in a connection.',
    where: [handleConnect, 'broker/protocol/connection.ts'],
    tests: ['connack: it comes before everything else, and once'],
  },
  {
    id: 'MQTT-3.2.2-1',
    binds: 'server',
    text: 'Bits 7 to 1 of the acknowledge flags are 0.',
    where: [encode],
    tests: [flags],
  },
  {
    id: 'MQTT-3.2.2-2',
    binds: 'server',
    text: 'Session Present is 0 after a clean start.',
    where: ['broker/engine/sessions.ts'],
    tests: [flags, 'connect: a clean start discards the session that was there'],
  },
  {
    id: 'MQTT-3.2.2-3',
    binds: 'server',
    text: 'Without a clean start Session Present is 1 if there is a session for the client id, else 0.',
    where: ['broker/engine/sessions.ts'],
    tests: [flags, 'connect: without a clean start and without a session a new one begins'],
  },
  {
    id: 'MQTT-3.2.2-4',
    binds: 'client',
    text: 'It closes when it has no session and Session Present is 1.',
  },
  {
    id: 'MQTT-3.2.2-5',
    binds: 'client',
    text: 'It discards its session when Session Present is 0.',
  },
  {
    id: 'MQTT-3.2.2-6',
    binds: 'server',
    text: 'Session Present is 0 in a CONNACK that refuses.',
    where: [encode],
    tests: [flags, 'encode: session present only where it may be'],
  },
  {
    id: 'MQTT-3.2.2-7',
    binds: 'server',
    text: 'After CONNACK with 0x80 or more the connection is closed.',
    where: [handleConnect, 'broker/protocol/connection.ts'],
    tests: [refused, 'connect: a client that fails authentication is refused and closed'],
  },
  {
    id: 'MQTT-3.2.2-8',
    binds: 'server',
    text: 'The reason code of CONNACK is one of its table.',
    where: [handleConnect, 'broker/protocol/reason-codes.ts'],
    tests: [refused, 'connack: who connects too often is refused with a code of its table, and closed'],
  },
  {
    id: 'MQTT-3.2.2-9',
    binds: 'server',
    text: 'A server without QoS 1 or 2 says so. Oriole takes every QoS and sends no Maximum QoS.',
    where: [handleConnect],
    tests: [available],
  },
  {
    id: 'MQTT-3.2.2-10',
    binds: 'server',
    text: 'SUBSCRIBE with QoS 0, 1 and 2 is accepted whatever the Maximum QoS is.',
    where: ['broker/protocol/handle-subscribe.ts'],
    tests: [available],
  },
  {
    id: 'MQTT-3.2.2-11',
    binds: 'client',
    text: 'It publishes with no more than the Maximum QoS.',
  },
  {
    id: 'MQTT-3.2.2-12',
    binds: 'server',
    text: 'A will of a QoS that the server does not take is refused. Oriole takes every QoS.',
    where: [handleConnect],
    tests: [available],
  },
  {
    id: 'MQTT-3.2.2-13',
    binds: 'server',
    text: 'A retained will is refused by a server without retained messages. Oriole has them.',
    where: [handleConnect],
    tests: [available, 'will: it is retained if the client asked for that, and else not'],
  },
  {
    id: 'MQTT-3.2.2-14',
    binds: 'client',
    text: 'It publishes no retained messages when Retain Available is 0.',
  },
  {
    id: 'MQTT-3.2.2-15',
    binds: 'client',
    text: 'It sends no packet larger than the Maximum Packet Size of the server, which answers with DISCONNECT 0x95.',
    where: ['broker/protocol/frames.ts'],
    hostile: ['PUBLISH of 1048573 bytes is announced', 'PUBLISH of 268435455 bytes is announced'],
  },
  {
    id: 'MQTT-3.2.2-16',
    binds: 'server',
    text: 'An empty client id is answered with an Assigned Client Identifier that no other session uses.',
    where: [handleConnect],
    tests: ['connect: who gives no client id gets one of its own, and its session is kept under it'],
  },
  {
    id: 'MQTT-3.2.2-17',
    binds: 'client',
    text: 'Its topic aliases are not greater than the Topic Alias Maximum of the server, which answers with 0x94.',
    where: ['broker/protocol/aliases.ts'],
    hostile: ['PUBLISH 5 with a topic alias over the maximum', 'PUBLISH 5 with the topic alias 65,535'],
  },
  {
    id: 'MQTT-3.2.2-18',
    binds: 'client',
    text: 'It sends no topic alias when Topic Alias Maximum is absent.',
  },
  {
    id: 'MQTT-3.2.2-19',
    binds: 'server',
    text: 'A reason string does not make CONNACK larger than the client takes. Oriole sends none there.',
    where: [handleConnect, 'broker/protocol/connection.ts'],
    tests: [
      'connack: it has no reason string and no user properties',
      'connack: one that is larger than the client takes is not sent, the connection is closed',
    ],
  },
  {
    id: 'MQTT-3.2.2-20',
    binds: 'server',
    text: 'User properties do not make CONNACK larger than the client takes. Oriole sends none there.',
    where: [handleConnect, 'broker/protocol/connection.ts'],
    tests: [
      'connack: it has no reason string and no user properties',
      'connack: one that is larger than the client takes is not sent, the connection is closed',
    ],
  },
  {
    id: 'MQTT-3.2.2-21',
    binds: 'client',
    text: 'It uses the Server Keep Alive instead of its own.',
  },
  {
    id: 'MQTT-3.2.2-22',
    binds: 'server',
    text: 'Without a Server Keep Alive the keepalive of the client holds.',
    where: [handleConnect, 'broker/engine/reception.ts'],
    tests: [
      'keepalive: who is silent for one and a half of it is closed as if the network had failed',
      'keepalive: the server names its own where it does not take that of the client',
    ],
  },
]
