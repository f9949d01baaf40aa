// MQTT 5.0, 4.6 and 4.9.
import type { Statement } from '../statement.ts'

const replies = 'broker/protocol/replies.ts'
const outbox = 'broker/delivery/outbox.ts'
const dispatcher = 'broker/engine/dispatcher.ts'
const order = 'conformance: messages of one client reach each receiver in their order, QoS …'
const ackOrder = 'conformance: acknowledgements leave in the order of what they acknowledge'
const quota = 'conformance: no more than Receive Maximum are unacknowledged, and everything else goes on'

export const orderAndFlow: readonly Statement[] = [
  {
    id: 'MQTT-4.6.0-1',
    binds: 'client',
    text: 'What is sent again is sent in the original order. The broker does so too.',
    where: [outbox, 'broker/delivery/window.ts'],
    tests: [
      'conformance: a reconnect brings what was not acknowledged, in the original order with the original identifiers',
    ],
  },
  {
    id: 'MQTT-4.6.0-2',
    binds: 'client',
    text: 'PUBACKs leave in the order of the PUBLISHes. Those of the broker do too.',
    where: [replies],
    tests: [ackOrder],
  },
  {
    id: 'MQTT-4.6.0-3',
    binds: 'client',
    text: 'PUBRECs leave in the order of the PUBLISHes. Those of the broker do too.',
    where: [replies],
    tests: [ackOrder],
  },
  {
    id: 'MQTT-4.6.0-4',
    binds: 'client',
    text: 'PUBRELs leave in the order of the PUBRECs. Those of the broker do too.',
    where: [replies],
    tests: [ackOrder],
  },
  {
    id: 'MQTT-4.6.0-5',
    binds: 'server',
    text: 'Messages of one client, topic and QoS reach a receiver in the order in which they came.',
    where: [dispatcher, outbox],
    tests: [order],
  },
  {
    id: 'MQTT-4.6.0-6',
    binds: 'server',
    text: 'Every topic is ordered unless the administrator says otherwise, for subscriptions that are not shared.',
    where: [dispatcher, outbox],
    tests: [order],
  },
  {
    id: 'MQTT-4.9.0-1',
    binds: 'both',
    text: 'The send quota begins with Receive Maximum at most, and not with 0.',
    where: [outbox, 'broker/protocol/handle-connect.ts'],
    tests: [quota],
  },
  {
    id: 'MQTT-4.9.0-2',
    binds: 'both',
    text: 'With no quota left no PUBLISH of QoS 1 or 2 is sent.',
    where: [outbox],
    tests: [quota],
  },
  {
    id: 'MQTT-4.9.0-3',
    binds: 'both',
    text: 'With no quota left all other packets are processed and answered.',
    where: [outbox, 'broker/protocol/connection.ts'],
    tests: [quota],
  },
]
