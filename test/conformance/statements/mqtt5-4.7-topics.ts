// MQTT 5.0, 4.7 and 4.8.
import type { Statement } from '../statement.ts'

const decode = 'broker/protocol/decode.ts'
const decodeSubscribe = 'broker/protocol/decode-subscribe.ts'
const topics = 'broker/protocol/topics.ts'
const outbox = 'broker/delivery/outbox.ts'
const dispatcher = 'broker/engine/dispatcher.ts'
const filterTree = 'broker/router/filter-tree.ts'
const names = 'conformance: a topic name with a wildcard, with U+0000 or without a character ends the connection'
const filters =
  'conformance: a filter with a wildcard beside other characters, # before its end, or nothing in it ends the connection'
const wildcards = 'conformance: # stands for the level above it and all below, + for exactly one'
const shareNames = 'conformance: a share name has at least one character, no wildcard, and a filter after it'

export const topicsAndShares: readonly Statement[] = [
  {
    id: 'MQTT-4.7.0-1',
    binds: 'both',
    text: 'Wildcards stand in filters, never in topic names.',
    where: [topics, decode],
    tests: [names],
  },
  {
    id: 'MQTT-4.7.1-1',
    binds: 'both',
    text: '# stands alone or behind a separator, and at the end.',
    where: [topics, decodeSubscribe],
    tests: [filters, wildcards],
  },
  {
    id: 'MQTT-4.7.1-2',
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
    where: [topics, 'broker/protocol/encode.ts'],
    tests: [
      'conformance: the longest topic that a packet can carry arrives, longer ones than the setting are refused',
      'conformance: no plugin brings a topic onto the wire that is none',
    ],
  },
  {
    id: 'MQTT-4.7.3-4',
    binds: 'server',
    text: 'Names and filters are matched as they are, nothing is normalized or replaced.',
    where: [filterTree],
    tests: ['conformance: topic names are not changed: case, spaces, empty levels and unnormalized characters count'],
  },
  {
    id: 'MQTT-4.8.2-1',
    binds: 'both',
    text: 'A shared filter begins with $share/ and a name of at least one character.',
    where: [topics, decodeSubscribe],
    tests: [shareNames],
  },
  {
    id: 'MQTT-4.8.2-2',
    binds: 'both',
    text: 'The name has no /, + or #, and is followed by / and a filter.',
    where: [topics, decodeSubscribe],
    tests: [shareNames],
  },
  {
    id: 'MQTT-4.8.2-3',
    binds: 'server',
    text: 'Delivery respects the QoS that the member was granted.',
    where: ['broker/delivery/delivery.ts'],
    tests: ['conformance: a shared subscription delivers with the QoS that its member was granted'],
  },
  {
    id: 'MQTT-4.8.2-4',
    binds: 'server',
    text: 'A QoS 2 delivery that was cut off is completed with the same client.',
    where: [outbox, dispatcher],
    tests: ['conformance: a shared QoS 2 delivery that was cut off is ended with the same member'],
  },
  {
    id: 'MQTT-4.8.2-5',
    binds: 'server',
    text: 'If that session ends first, no other client gets the message.',
    where: [outbox, dispatcher],
    tests: ['conformance: a shared QoS 2 delivery whose session ends goes to nobody else'],
  },
  {
    id: 'MQTT-4.8.2-6',
    binds: 'server',
    text: 'A message that its receiver refuses is given to no other.',
    where: ['broker/protocol/handle-publish.ts', outbox],
    tests: ['conformance: a shared message that a member refuses goes to nobody else'],
  },
]
