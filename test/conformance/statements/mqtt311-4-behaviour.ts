// MQTT 3.1.1, chapters 4 to 7.
import type { Statement } from '../statement.ts'

const decode = 'broker/protocol/decode.ts'
const decodeSubscribe = 'broker/protocol/decode-subscribe.ts'
const topics = 'broker/protocol/topics.ts'
const encode = 'broker/protocol/encode.ts'
const connection = 'broker/protocol/connection.ts'
const handlePublish = 'broker/protocol/handle-publish.ts'
const replies = 'broker/protocol/replies.ts'
const outbox = 'broker/delivery/outbox.ts'
const window = 'broker/delivery/window.ts'
const dispatcher = 'broker/engine/dispatcher.ts'
const sessions = 'broker/engine/sessions.ts'
const filterTree = 'broker/router/filter-tree.ts'
const ws = 'broker/listeners/ws.ts'
const wsStream = 'broker/listeners/ws-stream.ts'
const freshIds = 'conformance: new deliveries have DUP 0 and packet identifiers of their own, QoS 0 has none'
const lasting = 'conformance: session state lasts as long as the connection, and as its expiry after it'
const again =
  'conformance: a reconnect brings what was not acknowledged, in the original order with the original identifiers'
const order = 'conformance: messages of one client reach each receiver in their order, QoS …'
const ackOrder = 'conformance: acknowledgements leave in the order of what they acknowledge'
const names = 'conformance: a topic name with a wildcard, with U+0000 or without a character ends the connection'
const filters =
  'conformance: a filter with a wildcard beside other characters, # before its end, or nothing in it ends the connection'
const wildcards = 'conformance: # stands for the level above it and all below, + for exactly one'
const transports = 'conformance: MQTT comes through TCP and WebSocket as an ordered stream'
const subprotocol = 'conformance: the WebSocket subprotocol is mqtt, and without it nobody comes in'
const order311 = 'conformance 3.1.1: QoS 0 messages of one client keep their order, also between those of QoS 1'
const web311 = 'conformance 3.1.1: packets come through WebSocket in binary frames, however they are cut'

export const oldBehaviour: readonly Statement[] = [
  {
    id: 'MQTT-4.1.0-1',
    binds: 'both',
    text: 'Session state is stored for as long as the session lasts.',
    where: [sessions],
    tests: [
      'conformance 3.1.1: clean session 0 resumes subscriptions and brings what came meanwhile, 1 discards all',
      lasting,
    ],
  },
  {
    id: 'MQTT-4.1.0-2',
    binds: 'both',
    text: 'A session lasts at least as long as its connection.',
    where: [sessions],
    tests: [lasting],
  },
  {
    id: 'MQTT-4.3.1-1',
    binds: 'both',
    text: 'QoS 0 is sent with DUP 0.',
    where: [outbox, encode],
    tests: [freshIds],
  },
  {
    id: 'MQTT-4.3.2-1',
    binds: 'both',
    text: 'QoS 1, sending: a packet identifier that is not in use, DUP 0, unacknowledged until PUBACK.',
    where: [window, outbox],
    tests: [freshIds, 'conformance: QoS 1 is unacknowledged until PUBACK, and sent again only on a new connection'],
  },
  {
    id: 'MQTT-4.3.2-2',
    binds: 'both',
    text: 'QoS 1, receiving: PUBACK with its packet identifier, which then means a new message.',
    where: [handlePublish],
    tests: [
      'conformance: QoS 1 is acknowledged with its packet identifier, which then means a new message whatever DUP says',
    ],
  },
  {
    id: 'MQTT-4.3.3-1',
    binds: 'both',
    text: 'QoS 2, sending: a packet identifier that is not in use, DUP 0, PUBREL after PUBREC, and PUBLISH never again.',
    where: [window, outbox],
    tests: [freshIds, 'conformance: QoS 2 goes out in its four steps, with one packet identifier'],
  },
  {
    id: 'MQTT-4.3.3-2',
    binds: 'both',
    text: 'QoS 2, receiving: PUBREC, no second delivery until PUBREL, PUBCOMP, and then a new message.',
    where: [handlePublish],
    tests: ['conformance: QoS 2 comes in once: repeated until PUBREL it is acknowledged, and delivered once'],
  },
  {
    id: 'MQTT-4.4.0-1',
    binds: 'both',
    text: 'Clean session 0 brings unacknowledged PUBLISH and PUBREL again, with their packet identifiers.',
    where: [outbox, window],
    tests: [again],
  },
  {
    id: 'MQTT-4.5.0-1',
    binds: 'server',
    text: 'A message that was taken is added to the session of every client with a matching subscription.',
    where: [dispatcher, 'broker/delivery/backlog.ts'],
    tests: ['conformance: a message is added to the session of every client that has a matching subscription'],
  },
  {
    id: 'MQTT-4.5.0-2',
    binds: 'client',
    text: 'The client acknowledges whatever it makes of the message.',
  },
  {
    id: 'MQTT-4.6.0-1',
    binds: 'both',
    text: 'What is sent again is sent in the original order.',
    where: [outbox, window],
    tests: [again],
  },
  {
    id: 'MQTT-4.6.0-2',
    binds: 'both',
    text: 'PUBACKs leave in the order of the PUBLISHes.',
    where: [replies],
    tests: [ackOrder],
  },
  {
    id: 'MQTT-4.6.0-3',
    binds: 'both',
    text: 'PUBRECs leave in the order of the PUBLISHes.',
    where: [replies],
    tests: [ackOrder],
  },
  {
    id: 'MQTT-4.6.0-4',
    binds: 'both',
    text: 'PUBRELs leave in the order of the PUBRECs.',
    where: [replies],
    tests: [ackOrder],
  },
  {
    id: 'MQTT-4.6.0-5',
    binds: 'server',
    text: 'Every topic is ordered unless the administrator says otherwise.',
    where: [dispatcher, outbox],
    tests: [order, order311],
  },
  {
    id: 'MQTT-4.6.0-6',
    binds: 'server',
    text: 'Messages of one client, topic and QoS reach a receiver in the order in which they came.',
    where: [dispatcher, outbox],
    tests: [order, again, order311],
  },
  {
    id: 'MQTT-4.7.1-1',
    binds: 'both',
    text: 'Wildcards stand in filters, never in topic names.',
    where: [topics, decode],
    tests: [names],
  },
  {
    id: 'MQTT-4.7.1-2',
    binds: 'both',
    text: '# stands alone or behind a separator, and at the end.',
    where: [topics, decodeSubscribe],
    tests: [filters, wildcards],
  },
  {
    id: 'MQTT-4.7.1-3',
    binds: 'both',
    text: '+ fills a whole level.',
    where: [topics, decodeSubscribe],
    tests: [filters, wildcards],
  },
  {
    id: 'MQTT-4.7.2-1',
    binds: 'server',
    text: 'A filter that begins with a wildcard does not match topics that begin with $.',
    where: [filterTree, 'broker/store/retained.ts', topics],
    tests: ['conformance: a leading wildcard does not match topics that begin with $, retained ones neither'],
  },
  {
    id: 'MQTT-4.7.3-1',
    binds: 'both',
    text: 'Names and filters have at least one character.',
    where: [topics, decode],
    tests: [names, filters],
  },
  {
    id: 'MQTT-4.7.3-2',
    binds: 'both',
    text: 'Names and filters do not contain U+0000.',
    where: ['broker/protocol/text.ts', topics],
    tests: [names, 'conformance: a filter that is not UTF-8 ends the connection, in SUBSCRIBE and UNSUBSCRIBE'],
  },
  {
    id: 'MQTT-4.7.3-3',
    binds: 'both',
    text: 'Names and filters have at most 65,535 bytes.',
    where: [topics, encode],
    tests: ['conformance: the longest topic that a packet can carry arrives, longer ones than the setting are refused'],
  },
  {
    id: 'MQTT-4.7.3-4',
    binds: 'server',
    text: 'Names and filters are matched as they are, nothing is normalized or replaced.',
    where: [filterTree],
    tests: ['conformance: topic names are not changed: case, spaces, empty levels and unnormalized characters count'],
  },
  {
    id: 'MQTT-4.8.0-1',
    binds: 'both',
    text: 'What breaks the standard ends the connection on which it came.',
    where: [connection, decode],
    tests: [
      'conformance: a malformed packet and a protocol error end the connection, with the reason where one may be told',
    ],
  },
  {
    id: 'MQTT-4.8.0-2',
    binds: 'both',
    text: 'An error of our own while a packet is processed ends the connection on which it came.',
    where: [connection, handlePublish],
    tests: ['conformance 3.1.1: what an authorization that fails on our side leaves open ends the connection'],
  },
  {
    id: 'MQTT-6.0.0-1',
    binds: 'both',
    text: 'MQTT is sent in binary frames; another frame ends the connection.',
    where: [ws, wsStream],
    tests: ['conformance: a WebSocket text frame ends the connection', web311],
  },
  {
    id: 'MQTT-6.0.0-2',
    binds: 'both',
    text: 'Packets and frames need not be aligned.',
    where: [wsStream, 'broker/protocol/frames.ts'],
    tests: [transports, web311],
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
    tests: [subprotocol, web311],
  },
  {
    id: 'MQTT-7.0.0-1',
    binds: 'client',
    text: 'A server that connects to other servers conforms as a client too. The broker has no such connections.',
  },
  {
    id: 'MQTT-7.0.0-2',
    binds: 'both',
    text: 'Nothing beyond the standard is needed to work together.',
    where: ['broker/protocol/handle-connect.ts'],
    tests: [
      'interop: mosquitto_pub and mosquitto_sub work over protocol level …',
      'interop: Eclipse Paho for Python works over protocol level …',
      'interop: mqtt for JavaScript works over protocol level …',
    ],
  },
  {
    id: 'MQTT-7.1.1-1',
    binds: 'server',
    text: 'The server supports a transport that is an ordered, lossless stream of bytes.',
    where: ['broker/listeners/open.ts'],
    tests: [transports, web311],
  },
  {
    id: 'MQTT-7.1.2-1',
    binds: 'client',
    text: 'The client supports a transport that is an ordered, lossless stream of bytes.',
  },
]
