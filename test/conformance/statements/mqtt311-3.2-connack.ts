// MQTT 3.1.1, 3.2.
import type { Statement } from '../statement.ts'

const encode = 'broker/protocol/encode.ts'
const connection = 'broker/protocol/connection.ts'
const sessions = 'broker/engine/sessions.ts'
const empty311 =
  'conformance 3.1.1: an empty client id gets one of its own with clean session, and return code 2 without'
const present311 = 'conformance 3.1.1: session present is 1 exactly where the session goes on'
const refusals311 =
  'conformance 3.1.1: every refusal has one of the five return codes, session present 0, and the end after it'
const noCode311 = 'conformance 3.1.1: a CONNECT that no return code fits is closed without CONNACK'

export const oldConnack: readonly Statement[] = [
  {
    id: 'MQTT-3.2.0-1',
    binds: 'server',
    text: 'The first packet of the server is CONNACK.',
    where: [connection, 'broker/protocol/replies.ts'],
    tests: [
      'conformance 3.1.1: CONNACK comes first, and nothing that follows a refused CONNECT is taken up',
      'conformance 3.1.1: before CONNECT nothing is served, a second CONNECT ends the connection',
    ],
  },
  {
    id: 'MQTT-3.2.2-1',
    binds: 'server',
    text: 'Clean session 1: session present is 0.',
    where: [sessions, encode],
    tests: [present311],
  },
  {
    id: 'MQTT-3.2.2-2',
    binds: 'server',
    text: 'Clean session 0: session present is 1 when there is a session.',
    where: [sessions, encode],
    tests: [
      present311,
      'conformance 3.1.1: client ids of 1 to 23 letters and digits are taken, and tell the sessions apart',
    ],
  },
  {
    id: 'MQTT-3.2.2-3',
    binds: 'server',
    text: 'Session present is 0 when there is no session.',
    where: [sessions, encode],
    tests: [present311],
  },
  {
    id: 'MQTT-3.2.2-4',
    binds: 'server',
    text: 'Session present is 0 with a return code that refuses.',
    where: [encode],
    tests: [refusals311, empty311],
  },
  {
    id: 'MQTT-3.2.2-5',
    binds: 'server',
    text: 'A return code that refuses is followed by the end.',
    where: [connection],
    tests: [
      refusals311,
      empty311,
      'conformance 3.1.1: another protocol name is not served, another level is answered with return code 1',
    ],
  },
  {
    id: 'MQTT-3.2.2-6',
    binds: 'server',
    text: 'Where no return code fits, the connection is closed without CONNACK.',
    where: [connection, encode],
    tests: ['conformance 3.1.1: a CONNECT that breaks the standard is closed without CONNACK', refusals311, noCode311],
  },
]
