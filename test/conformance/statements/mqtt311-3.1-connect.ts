// MQTT 3.1.1, 3.1.
import type { Statement } from '../statement.ts'

const decode = 'broker/protocol/decode.ts'
const decodeConnect = 'broker/protocol/decode-connect.ts'
const text = 'broker/protocol/text.ts'
const connection = 'broker/protocol/connection.ts'
const handleConnect = 'broker/protocol/handle-connect.ts'
const sessions = 'broker/engine/sessions.ts'
const reception = 'broker/engine/reception.ts'
const wills = 'broker/engine/wills.ts'
const willDiscarded = 'conformance: DISCONNECT discards the will, a DISCONNECT with 0x04 does not'
const c311 = 'conformance 3.1.1: a CONNECT that breaks the standard is closed without CONNACK'
const level311 = 'conformance 3.1.1: another protocol name is not served, another level is answered with return code 1'
const twice311 = 'conformance 3.1.1: before CONNECT nothing is served, a second CONNECT ends the connection'
const ids311 = 'conformance 3.1.1: client ids of 1 to 23 letters and digits are taken, and tell the sessions apart'
const empty311 =
  'conformance 3.1.1: an empty client id gets one of its own with clean session, and return code 2 without'
const clean311 =
  'conformance 3.1.1: clean session 0 resumes subscriptions and brings what came meanwhile, 1 discards all'
const will311 = 'conformance 3.1.1: a will is published once when the connection is lost, as its QoS and RETAIN say'
const willWhen311 =
  'conformance 3.1.1: a will is published when the client breaks the standard, is silent, or is taken over'
const first311 = 'conformance 3.1.1: CONNACK comes first, and nothing that follows a refused CONNECT is taken up'
const refusals311 =
  'conformance 3.1.1: every refusal has one of the five return codes, session present 0, and the end after it'
const willKept311 =
  'conformance 3.1.1: a refused CONNECT leaves no will, an accepted one keeps it to the end of its connection'

export const oldConnect: readonly Statement[] = [
  {
    id: 'MQTT-3.1.0-1',
    binds: 'client',
    text: 'The first packet is CONNECT. The broker closes without an answer when it is another.',
    where: [connection, decode],
    tests: [twice311],
  },
  {
    id: 'MQTT-3.1.0-2',
    binds: 'server',
    text: 'A second CONNECT ends the connection.',
    where: [connection, decode],
    tests: [twice311],
  },
  {
    id: 'MQTT-3.1.2-1',
    binds: 'server',
    text: 'Another protocol name is not served in line with this standard.',
    where: [decodeConnect],
    tests: [level311],
  },
  {
    id: 'MQTT-3.1.2-2',
    binds: 'server',
    text: 'A level that is not supported is answered with return code 1, and the end.',
    where: [decodeConnect, handleConnect],
    tests: [level311],
  },
  {
    id: 'MQTT-3.1.2-3',
    binds: 'server',
    text: 'The reserved connect flag is 0, or the connection ends.',
    where: [decodeConnect],
    tests: [c311],
  },
  {
    id: 'MQTT-3.1.2-4',
    binds: 'server',
    text: 'Clean session 0 resumes the session or makes a new one, which is kept after the connection.',
    where: [sessions],
    tests: [clean311, 'conformance 3.1.1: session present is 1 exactly where the session goes on'],
  },
  {
    id: 'MQTT-3.1.2-5',
    binds: 'server',
    text: 'QoS 1 and 2 messages that match the subscriptions are kept while the client is away.',
    where: ['broker/engine/dispatcher.ts', 'broker/delivery/backlog.ts'],
    tests: [
      clean311,
      'conformance: a message is added to the session of every client that has a matching subscription',
    ],
  },
  {
    id: 'MQTT-3.1.2-6',
    binds: 'server',
    text: 'Clean session 1 discards the session before; its own ends with the connection.',
    where: [sessions],
    tests: [clean311],
  },
  {
    id: 'MQTT-3.1.2-7',
    binds: 'server',
    text: 'Retained messages do not belong to the session and stay when it ends.',
    where: ['broker/store/retained.ts'],
    tests: [clean311],
  },
  {
    id: 'MQTT-3.1.2-8',
    binds: 'server',
    text: 'The will is kept, and published when the connection is closed without DISCONNECT.',
    where: [wills, reception],
    tests: [will311, willWhen311, willKept311],
  },
  {
    id: 'MQTT-3.1.2-9',
    binds: 'both',
    text: 'With the will flag, Will QoS and Will Retain hold, and topic and message are present.',
    where: [decodeConnect, wills],
    tests: [will311, c311],
  },
  {
    id: 'MQTT-3.1.2-10',
    binds: 'server',
    text: 'The will is removed once it was published, or at DISCONNECT.',
    where: [wills],
    tests: [will311, willDiscarded, willKept311],
  },
  {
    id: 'MQTT-3.1.2-11',
    binds: 'both',
    text: 'Without the will flag Will QoS and Will Retain are 0 and there are no will fields.',
    where: [decodeConnect],
    tests: [c311],
  },
  {
    id: 'MQTT-3.1.2-12',
    binds: 'server',
    text: 'Without the will flag no will is published.',
    where: [wills],
    tests: [will311, willDiscarded, willKept311],
  },
  {
    id: 'MQTT-3.1.2-13',
    binds: 'both',
    text: 'Without the will flag Will QoS is 0.',
    where: [decodeConnect],
    tests: [c311],
  },
  {
    id: 'MQTT-3.1.2-14',
    binds: 'both',
    text: 'Will QoS is not 3.',
    where: [decodeConnect],
    tests: [c311],
  },
  {
    id: 'MQTT-3.1.2-15',
    binds: 'both',
    text: 'Without the will flag Will Retain is 0.',
    where: [decodeConnect],
    tests: [c311],
  },
  {
    id: 'MQTT-3.1.2-16',
    binds: 'server',
    text: 'Will Retain 0: the will is published as not retained.',
    where: [wills],
    tests: [will311],
  },
  {
    id: 'MQTT-3.1.2-17',
    binds: 'server',
    text: 'Will Retain 1: the will is published as retained.',
    where: [wills],
    tests: [will311],
  },
  {
    id: 'MQTT-3.1.2-18',
    binds: 'both',
    text: 'Without the user name flag there is no user name.',
    where: [decodeConnect],
    tests: [c311],
  },
  {
    id: 'MQTT-3.1.2-19',
    binds: 'both',
    text: 'With the user name flag there is a user name.',
    where: [decodeConnect],
    tests: [c311, refusals311],
  },
  {
    id: 'MQTT-3.1.2-20',
    binds: 'both',
    text: 'Without the password flag there is no password.',
    where: [decodeConnect],
    tests: [c311],
  },
  {
    id: 'MQTT-3.1.2-21',
    binds: 'both',
    text: 'With the password flag there is a password.',
    where: [decodeConnect],
    tests: [c311, refusals311],
  },
  {
    id: 'MQTT-3.1.2-22',
    binds: 'both',
    text: 'Without the user name flag the password flag is 0.',
    where: [decodeConnect],
    tests: [c311],
  },
  {
    id: 'MQTT-3.1.2-23',
    binds: 'client',
    text: 'The client sends a packet, PINGREQ if no other, within the keepalive.',
  },
  {
    id: 'MQTT-3.1.2-24',
    binds: 'server',
    text: 'Who is silent for one and a half keepalives is disconnected as if the network had failed.',
    where: [reception],
    tests: [willWhen311],
  },
  {
    id: 'MQTT-3.1.3-1',
    binds: 'both',
    text: 'The fields come in the order client id, will topic, will message, user name, password.',
    where: [decodeConnect],
    tests: [refusals311],
  },
  {
    id: 'MQTT-3.1.3-2',
    binds: 'both',
    text: 'The client id identifies the state of the session.',
    where: [sessions],
    tests: [ids311],
  },
  {
    id: 'MQTT-3.1.3-3',
    binds: 'both',
    text: 'The client id is present, and is the first field.',
    where: [decodeConnect],
    tests: [c311, ids311],
  },
  {
    id: 'MQTT-3.1.3-4',
    binds: 'both',
    text: 'The client id is UTF-8.',
    where: [decodeConnect, text],
    tests: [c311],
  },
  {
    id: 'MQTT-3.1.3-5',
    binds: 'server',
    text: 'Client ids of 1 to 23 letters and digits are allowed.',
    where: [handleConnect],
    tests: [ids311],
  },
  {
    id: 'MQTT-3.1.3-6',
    binds: 'server',
    text: 'Who gives an empty client id gets one of its own.',
    where: [handleConnect],
    tests: [empty311],
  },
  {
    id: 'MQTT-3.1.3-7',
    binds: 'client',
    text: 'An empty client id goes with clean session 1.',
  },
  {
    id: 'MQTT-3.1.3-8',
    binds: 'server',
    text: 'An empty client id with clean session 0 is refused with return code 2, and closed.',
    where: [handleConnect],
    tests: [empty311],
  },
  {
    id: 'MQTT-3.1.3-9',
    binds: 'server',
    text: 'A client id that is rejected is answered with return code 2, and closed.',
    where: [handleConnect],
    tests: [empty311, refusals311],
  },
  {
    id: 'MQTT-3.1.3-10',
    binds: 'both',
    text: 'The will topic is UTF-8.',
    where: [decodeConnect, text],
    tests: [c311],
  },
  {
    id: 'MQTT-3.1.3-11',
    binds: 'both',
    text: 'The user name is UTF-8.',
    where: [decodeConnect, text],
    tests: [c311],
  },
  {
    id: 'MQTT-3.1.4-1',
    binds: 'server',
    text: 'A CONNECT that breaks the standard is closed without CONNACK.',
    where: [decodeConnect, connection],
    tests: [c311],
  },
  {
    id: 'MQTT-3.1.4-2',
    binds: 'server',
    text: 'A client id that is connected already takes over: the client before is disconnected.',
    where: [reception],
    tests: ['conformance 3.1.1: a client id that is connected already takes over'],
  },
  {
    id: 'MQTT-3.1.4-3',
    binds: 'server',
    text: 'Clean session is processed as it is described.',
    where: [sessions],
    tests: [clean311],
  },
  {
    id: 'MQTT-3.1.4-4',
    binds: 'server',
    text: 'A CONNECT that is accepted is answered with CONNACK and return code 0.',
    where: [handleConnect],
    tests: [first311, ids311],
  },
  {
    id: 'MQTT-3.1.4-5',
    binds: 'server',
    text: 'Nothing that follows a refused CONNECT is processed.',
    where: [connection],
    tests: [first311],
  },
]
