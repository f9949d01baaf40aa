// MQTT 3.1.1, chapters 1 and 2.
import type { Statement } from '../statement.ts'

const decode = 'broker/protocol/decode.ts'
const text = 'broker/protocol/text.ts'
const encode = 'broker/protocol/encode.ts'
const window = 'broker/delivery/window.ts'
const freshIds = 'conformance: new deliveries have DUP 0 and packet identifiers of their own, QoS 0 has none'
const twoOut = 'conformance: QoS 2 goes out in its four steps, with one packet identifier'
const disconnectFlags = 'conformance: DISCONNECT and AUTH with flags in their fixed header end the connection'
const notUtf8 = 'conformance: a filter that is not UTF-8 ends the connection, in SUBSCRIBE and UNSUBSCRIBE'
const flagsTwo = 'conformance: PUBREL, SUBSCRIBE and UNSUBSCRIBE with other flags than 0010 end the connection'
const c311 = 'conformance 3.1.1: a CONNECT that breaks the standard is closed without CONNACK'
const answers311 = 'conformance 3.1.1: each answer has the packet identifier of what it answers, QoS 0 gets none'
const flags311 = 'conformance 3.1.1: reserved flags of PUBACK, PUBREC, PUBCOMP and PINGREQ end the connection'

export const oldFormat: readonly Statement[] = [
  {
    id: 'MQTT-1.5.3-1',
    binds: 'both',
    text: 'Strings are well-formed UTF-8, without surrogates; others end the connection.',
    where: [text],
    tests: ['text: every ill-formed string of the table is malformed, at its beginning, middle and end', c311, notUtf8],
  },
  {
    id: 'MQTT-1.5.3-2',
    binds: 'both',
    text: 'Strings do not contain U+0000; those that do end the connection.',
    where: [text],
    tests: [
      c311,
      'conformance: a topic name with a wildcard, with U+0000 or without a character ends the connection',
      notUtf8,
    ],
  },
  {
    id: 'MQTT-1.5.3-3',
    binds: 'both',
    text: 'U+FEFF is a character like others and is never stripped.',
    where: [text],
    tests: ['conformance 3.1.1: the topic comes first, unchanged, and matches the filter; U+FEFF stays'],
  },
  {
    id: 'MQTT-2.2.2-1',
    binds: 'both',
    text: 'Reserved flags have the value that is listed.',
    where: [decode, encode],
    tests: [flags311, flagsTwo, disconnectFlags],
  },
  {
    id: 'MQTT-2.2.2-2',
    binds: 'both',
    text: 'Invalid flags end the connection.',
    where: [decode],
    tests: [flags311, flagsTwo, disconnectFlags],
  },
  {
    id: 'MQTT-2.3.1-1',
    binds: 'both',
    text: 'SUBSCRIBE, UNSUBSCRIBE and PUBLISH of QoS 1 and 2 have a packet identifier that is not 0.',
    where: [decode, 'broker/protocol/decode-subscribe.ts', window],
    tests: ['conformance 3.1.1: a packet identifier of 0 and PUBLISH with QoS 3 end the connection', freshIds],
  },
  {
    id: 'MQTT-2.3.1-2',
    binds: 'client',
    text: 'Each new packet gets a packet identifier that is not in use.',
  },
  {
    id: 'MQTT-2.3.1-3',
    binds: 'client',
    text: 'A packet that is sent again keeps its packet identifier, which is free after the acknowledgement.',
  },
  {
    id: 'MQTT-2.3.1-4',
    binds: 'server',
    text: 'The same holds for what the server publishes.',
    where: [window, 'broker/delivery/outbox.ts'],
    tests: [
      freshIds,
      'conformance: a reconnect brings what was not acknowledged, in the original order with the original identifiers',
      'conformance: QoS 1 is unacknowledged until PUBACK, and sent again only on a new connection',
      twoOut,
    ],
  },
  {
    id: 'MQTT-2.3.1-5',
    binds: 'both',
    text: 'PUBLISH with QoS 0 has no packet identifier.',
    where: [decode, encode],
    tests: [freshIds],
  },
  {
    id: 'MQTT-2.3.1-6',
    binds: 'both',
    text: 'PUBACK, PUBREC and PUBREL have the packet identifier of PUBLISH.',
    where: ['broker/protocol/handle-publish.ts'],
    tests: [answers311, twoOut],
  },
  {
    id: 'MQTT-2.3.1-7',
    binds: 'server',
    text: 'SUBACK and UNSUBACK have the packet identifier of what they answer.',
    where: ['broker/protocol/handle-subscribe.ts'],
    tests: [
      answers311,
      'conformance: one SUBACK answers a SUBSCRIBE, with its packet identifier and a code for each filter in order',
      'conformance: UNSUBSCRIBE compares filters character by character, and is answered whatever it finds',
    ],
  },
]
