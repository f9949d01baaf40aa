// MQTT 5.0, chapters 1 and 2.
import type { Statement } from '../statement.ts'

export const dataFormats: readonly Statement[] = [
  {
    id: 'MQTT-1.5.4-1',
    binds: 'both',
    text: 'Strings are well-formed UTF-8, without surrogates.',
    where: ['broker/protocol/text.ts'],
    tests: ['text: every ill-formed string of the table is malformed, at its beginning, middle and end'],
    hostile: [
      'CONNECT with the surrogate U+D800 in the client identifier, version 5',
      'PUBLISH with an overlong form of two bytes in the topic in MQTT 5',
      'SUBSCRIBE with a lone continuation byte in the filter in MQTT 5',
    ],
  },
  {
    id: 'MQTT-1.5.4-2',
    binds: 'both',
    text: 'Strings do not contain U+0000.',
    where: ['broker/protocol/text.ts'],
    hostile: [
      'CONNECT with U+0000 in the client identifier, version 5',
      'CONNECT with U+0000 in the user name, version 5',
      'PUBLISH with U+0000 in the topic in MQTT 5',
      'SUBSCRIBE with U+0000 in the filter in MQTT 5',
    ],
  },
  {
    id: 'MQTT-1.5.4-3',
    binds: 'both',
    text: 'U+FEFF is a character like others and is never stripped.',
    where: ['broker/protocol/text.ts'],
    tests: [
      'format: U+FEFF stays where it stands in a topic, a filter and a property',
      'text: every well-formed string of the table is kept as it is, U+FEFF too',
    ],
  },
  {
    id: 'MQTT-1.5.5-1',
    binds: 'both',
    text: 'A variable byte integer has the fewest bytes.',
    where: ['broker/protocol/frames.ts', 'broker/protocol/body-reader.ts', 'broker/protocol/byte-writer.ts'],
    tests: ['format: lengths that the broker sends have the fewest bytes'],
    hostile: [
      'a remaining length of two bytes for 127',
      'CONNECT 5 with a property length that is not minimal',
      'SUBSCRIBE 5 with a subscription identifier that is not minimal',
    ],
  },
  {
    id: 'MQTT-1.5.7-1',
    binds: 'both',
    text: 'Both strings of a pair obey the rules for strings.',
    where: ['broker/protocol/properties.ts', 'broker/protocol/text.ts'],
    hostile: [
      'PUBLISH 5 with bad UTF-8 in the name of a user property',
      'PUBLISH 5 with bad UTF-8 in the value of a user property',
      'CONNECT 5 with U+0000 in a user property',
    ],
  },
  {
    id: 'MQTT-2.1.3-1',
    binds: 'both',
    text: 'Reserved flags of the fixed header have the listed value.',
    where: ['broker/protocol/decode.ts', 'broker/protocol/encode.ts'],
    tests: ['format: the reserved flags of every packet of the broker are as listed'],
    hostile: [
      'PUBACK with the flags 0001 in MQTT 5',
      'PUBREL with the flags 0000 in MQTT 5',
      'SUBSCRIBE with the flags 0000 in MQTT 5',
      'DISCONNECT with the flags 1000 in MQTT 5',
    ],
  },
  {
    id: 'MQTT-2.2.1-2',
    binds: 'both',
    text: 'A QoS 0 PUBLISH has no packet identifier.',
    where: ['broker/protocol/decode.ts', 'broker/protocol/encode.ts'],
    tests: ['format: a QoS 0 message has no packet identifier in either direction'],
  },
  {
    id: 'MQTT-2.2.1-3',
    binds: 'client',
    text: 'Its new SUBSCRIBE, UNSUBSCRIBE and PUBLISH packets have an unused packet identifier that is not 0.',
    where: ['broker/protocol/decode.ts', 'broker/protocol/decode-subscribe.ts'],
    hostile: [
      'PUBLISH with the packet identifier 0 (first byte 50) in MQTT 5',
      'SUBSCRIBE 5 with the packet identifier 0',
      'UNSUBSCRIBE 5 with the packet identifier 0',
    ],
  },
  {
    id: 'MQTT-2.2.1-4',
    binds: 'server',
    text: 'A new PUBLISH with QoS 1 or 2 gets an unused packet identifier that is not 0.',
    where: ['broker/delivery/window.ts'],
    tests: [
      'format: the packet identifiers of unacknowledged messages are not 0 and all different',
      'format: a packet identifier in use is passed by when the numbers begin again',
    ],
  },
  {
    id: 'MQTT-2.2.1-5',
    binds: 'both',
    text: 'PUBACK, PUBREC, PUBREL and PUBCOMP have the packet identifier of the PUBLISH.',
    where: ['broker/protocol/handle-publish.ts'],
    tests: ['format: each acknowledgement has the packet identifier of what it answers'],
  },
  {
    id: 'MQTT-2.2.1-6',
    binds: 'server',
    text: 'SUBACK and UNSUBACK have the packet identifier of the SUBSCRIBE or UNSUBSCRIBE.',
    where: ['broker/protocol/handle-subscribe.ts'],
    tests: ['format: each acknowledgement has the packet identifier of what it answers'],
  },
  {
    id: 'MQTT-2.2.2-1',
    binds: 'both',
    text: 'No properties are told as a property length of 0.',
    where: ['broker/protocol/encode.ts', 'broker/protocol/properties.ts'],
    tests: ['format: a packet of the broker without properties says so with a length of 0'],
    hostile: ['SUBSCRIBE 5 without a property length'],
  },
]
