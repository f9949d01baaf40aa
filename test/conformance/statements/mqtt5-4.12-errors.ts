// MQTT 5.0, 4.12, 4.13 and 6.
import type { Statement } from '../statement.ts'

const connection = 'broker/protocol/connection.ts'
const handleConnect = 'broker/protocol/handle-connect.ts'
const handleAuth = 'broker/protocol/handle-auth.ts'
const ws = 'broker/listeners/ws.ts'
const wsStream = 'broker/listeners/ws-stream.ts'
const subprotocol = 'conformance: the WebSocket subprotocol is mqtt, and without it nobody comes in'
const authPackets =
  'conformance: AUTH of the broker has the method of CONNECT, a code of its table, and no text that could be too long'
const noMethod = 'conformance: without a method in CONNECT there is no AUTH, and no method in CONNACK'
const authOther = 'enhanced authentication: AUTH with another method is a protocol error'

export const errorsAndWeb: readonly Statement[] = [
  {
    id: 'MQTT-4.12.0-1',
    binds: 'server',
    text: 'A method that the server does not support is refused, and the connection closed.',
    where: [handleAuth],
    tests: ['enhanced authentication: a method that no plugin knows is refused with 0x8C'],
  },
  {
    id: 'MQTT-4.12.0-2',
    binds: 'server',
    text: 'AUTH that asks for more has the reason code 0x18.',
    where: [handleAuth],
    tests: [authPackets],
  },
  {
    id: 'MQTT-4.12.0-3',
    binds: 'client',
    text: 'The client answers with AUTH and the reason code 0x18. Anything else is refused.',
    where: [handleAuth],
    tests: ['conformance: AUTH of a client has 0x18 in an exchange and 0x19 to begin one, and no other code'],
  },
  {
    id: 'MQTT-4.12.0-4',
    binds: 'server',
    text: 'An authentication that fails ends the connection.',
    where: [handleAuth],
    tests: ['enhanced authentication: a wrong password and an unknown user get the same answers'],
  },
  {
    id: 'MQTT-4.12.0-5',
    binds: 'both',
    text: 'AUTH and a CONNACK that accepts have the method of CONNECT.',
    where: [handleAuth, handleConnect],
    tests: [authPackets, authOther],
  },
  {
    id: 'MQTT-4.12.0-6',
    binds: 'server',
    text: 'Without a method in CONNECT the server sends no AUTH, and no method in CONNACK.',
    where: [handleConnect],
    tests: [noMethod],
  },
  {
    id: 'MQTT-4.12.0-7',
    binds: 'client',
    text: 'Without a method in CONNECT the client sends no AUTH. It is a protocol error.',
    where: [handleAuth],
    tests: [noMethod, 'enhanced authentication: AUTH is a protocol error when CONNECT named no method'],
  },
  {
    id: 'MQTT-4.12.1-1',
    binds: 'client',
    text: 'Authenticating again begins with AUTH 0x19 and the method of CONNECT. Another one is refused.',
    where: [handleAuth],
    tests: ['re-authentication: succeeds while messages flow in both directions', authOther],
  },
  {
    id: 'MQTT-4.12.1-2',
    binds: 'both',
    text: 'When it fails the connection is closed, after a DISCONNECT that says why.',
    where: [handleAuth],
    tests: ['re-authentication: a failure disconnects with 0x87, and the will is published'],
  },
  {
    id: 'MQTT-4.13.1-1',
    binds: 'server',
    text: 'A malformed packet or a protocol error ends the connection.',
    where: [connection, 'broker/protocol/decode.ts'],
    tests: [
      'conformance: a malformed packet and a protocol error end the connection, with the reason where one may be told',
    ],
  },
  {
    id: 'MQTT-4.13.2-1',
    binds: 'both',
    text: 'CONNACK or DISCONNECT with 0x80 or more, sent or not, is followed by the end.',
    where: [connection],
    tests: [
      'conformance: CONNACK and DISCONNECT with 0x80 or more are followed by the end',
      'conformance: the DISCONNECT of the broker has a code of the table, no Session Expiry Interval, and is the last packet',
    ],
  },
  {
    id: 'MQTT-6.0.0-1',
    binds: 'both',
    text: 'MQTT is sent in binary frames; another frame ends the connection.',
    where: [ws, wsStream],
    tests: ['conformance: a WebSocket text frame ends the connection'],
  },
  {
    id: 'MQTT-6.0.0-2',
    binds: 'both',
    text: 'Packets and frames need not be aligned.',
    where: [wsStream, 'broker/protocol/frames.ts'],
    tests: ['conformance: MQTT comes through TCP and WebSocket as an ordered stream'],
  },
  {
    id: 'MQTT-6.0.0-3',
    binds: 'client',
    text: 'The client offers the subprotocol mqtt. Who does not is refused.',
    where: [ws],
    tests: [subprotocol],
  },
  {
    id: 'MQTT-6.0.0-4',
    binds: 'server',
    text: 'The subprotocol that the server selects is mqtt.',
    where: [ws],
    tests: [subprotocol],
  },
]
