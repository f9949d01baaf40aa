// MQTT 3.1.1, 3.3 to 3.7.
import type { Statement } from '../statement.ts'

const decode = 'broker/protocol/decode.ts'
const handlePublish = 'broker/protocol/handle-publish.ts'
const outbox = 'broker/delivery/outbox.ts'
const delivery = 'broker/delivery/delivery.ts'
const dispatcher = 'broker/engine/dispatcher.ts'
const retained = 'broker/store/retained.ts'
const walks = 'broker/delivery/retained-walks.ts'
const freshIds = 'conformance: new deliveries have DUP 0 and packet identifiers of their own, QoS 0 has none'
const names = 'conformance: a topic name with a wildcard, with U+0000 or without a character ends the connection'
const topic311 = 'conformance 3.1.1: the topic comes first, unchanged, and matches the filter; U+FEFF stays'
const retained311 =
  'conformance 3.1.1: a retained message is kept, replaced, removed by an empty one, and untouched by others'
const dup311 = 'conformance 3.1.1: DUP is 1 when a message is sent again, and never passed on'
const wildcards311 = 'conformance 3.1.1: a new subscription gets the last retained message of every topic that matches'

export const oldPublish: readonly Statement[] = [
  {
    id: 'MQTT-3.3.1-1',
    binds: 'both',
    text: 'DUP is 1 when a PUBLISH is sent again.',
    where: [outbox],
    tests: [dup311],
  },
  {
    id: 'MQTT-3.3.1-2',
    binds: 'both',
    text: 'DUP is 0 for QoS 0.',
    where: [decode, outbox],
    tests: [dup311, freshIds],
  },
  {
    id: 'MQTT-3.3.1-3',
    binds: 'server',
    text: 'DUP of the publisher is not passed on.',
    where: [outbox],
    tests: [dup311, freshIds],
  },
  {
    id: 'MQTT-3.3.1-4',
    binds: 'both',
    text: 'QoS is not 3; PUBLISH with it ends the connection.',
    where: [decode],
    tests: ['conformance 3.1.1: a packet identifier of 0 and PUBLISH with QoS 3 end the connection'],
  },
  {
    id: 'MQTT-3.3.1-5',
    binds: 'server',
    text: 'A message with RETAIN is stored with its QoS for future subscriptions.',
    where: [retained, dispatcher],
    tests: [retained311],
  },
  {
    id: 'MQTT-3.3.1-6',
    binds: 'server',
    text: 'A new subscription gets the last retained message of each topic that matches.',
    where: [walks],
    tests: [retained311, wildcards311],
  },
  {
    id: 'MQTT-3.3.1-7',
    binds: 'server',
    text: 'A QoS 0 message with RETAIN discards the one before.',
    where: [retained],
    tests: [retained311],
  },
  {
    id: 'MQTT-3.3.1-8',
    binds: 'server',
    text: 'RETAIN is 1 in what is sent because of a new subscription.',
    where: [walks],
    tests: [retained311, wildcards311],
  },
  {
    id: 'MQTT-3.3.1-9',
    binds: 'server',
    text: 'RETAIN is 0 in what is sent to an established subscription.',
    where: [delivery],
    tests: [
      retained311,
      'conformance 3.1.1: a will is published once when the connection is lost, as its QoS and RETAIN say',
    ],
  },
  {
    id: 'MQTT-3.3.1-10',
    binds: 'server',
    text: 'An empty retained message is delivered as any other, and removes the retained one.',
    where: [retained, dispatcher],
    tests: [retained311],
  },
  {
    id: 'MQTT-3.3.1-11',
    binds: 'server',
    text: 'An empty retained message is not stored.',
    where: [retained],
    tests: [retained311],
  },
  {
    id: 'MQTT-3.3.1-12',
    binds: 'server',
    text: 'A message without RETAIN is not stored, and removes or replaces nothing.',
    where: [dispatcher],
    tests: [retained311],
  },
  {
    id: 'MQTT-3.3.2-1',
    binds: 'both',
    text: 'The topic is the first field, and UTF-8.',
    where: [decode, 'broker/protocol/encode.ts'],
    tests: [
      topic311,
      names,
      'text: every ill-formed string of the table is malformed, at its beginning, middle and end',
    ],
  },
  {
    id: 'MQTT-3.3.2-2',
    binds: 'both',
    text: 'The topic has no wildcards.',
    where: [decode, 'broker/protocol/topics.ts'],
    tests: [names],
  },
  {
    id: 'MQTT-3.3.2-3',
    binds: 'server',
    text: 'The topic that a client gets matches the filter of its subscription.',
    where: ['broker/router/filter-tree.ts'],
    tests: [topic311, 'conformance: # stands for the level above it and all below, + for exactly one'],
  },
  {
    id: 'MQTT-3.3.4-1',
    binds: 'both',
    text: 'The answer is that of the QoS: none, PUBACK, PUBREC.',
    where: [handlePublish],
    tests: ['conformance 3.1.1: each answer has the packet identifier of what it answers, QoS 0 gets none'],
  },
  {
    id: 'MQTT-3.3.5-1',
    binds: 'server',
    text: 'Overlapping subscriptions: delivery respects the highest QoS of them.',
    where: [delivery, dispatcher],
    tests: ['conformance 3.1.1: overlapping subscriptions deliver with the highest QoS of those that match'],
  },
  {
    id: 'MQTT-3.3.5-2',
    binds: 'server',
    text: 'A PUBLISH that is not authorized is acknowledged or ends the connection. The broker ends it.',
    where: [handlePublish],
    tests: ['conformance 3.1.1: a PUBLISH that is not authorized ends the connection and reaches nobody'],
  },
  {
    id: 'MQTT-3.6.1-1',
    binds: 'both',
    text: 'The flags of PUBREL are 0010; any other value ends the connection.',
    where: [decode],
    tests: ['conformance: PUBREL, SUBSCRIBE and UNSUBSCRIBE with other flags than 0010 end the connection'],
  },
]
