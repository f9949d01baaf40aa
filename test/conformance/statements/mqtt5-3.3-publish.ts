// MQTT 5.0, 3.3 and 3.4.
import type { Statement } from '../statement.ts'

const decode = 'broker/protocol/decode.ts'
const encode = 'broker/protocol/encode.ts'
const outbox = 'broker/delivery/outbox.ts'
const outgoing = 'broker/delivery/outgoing.ts'
const delivery = 'broker/delivery/delivery.ts'
const dispatcher = 'broker/engine/dispatcher.ts'
const retained = 'broker/store/retained.ts'
const properties = 'broker/protocol/properties.ts'
const writeProperties = 'broker/protocol/write-properties.ts'
const aliases = 'broker/protocol/aliases.ts'
const handlePublish = 'broker/protocol/handle-publish.ts'
const handleSubscribe = 'broker/protocol/handle-subscribe.ts'
const unaltered = 'publish: the properties of a message arrive as they were sent'
const strings = 'publish: every string in it must be UTF-8'
const overlapping = 'publish: overlapping subscriptions get one copy, of the highest QoS, with all identifiers'
const retainHandling = 'retained: Retain Handling 0 sends always, 1 only for a new subscription, 2 never'
const retainAsPublished =
  'retained: Retain As Published keeps the flag of a forwarded message, without it the flag is 0'

export const publish: readonly Statement[] = [
  {
    id: 'MQTT-3.3.1-1',
    binds: 'both',
    text: 'DUP is 1 when a PUBLISH is sent again.',
    where: [outbox],
    tests: ['publish: DUP is set when a QoS … message is sent again, and only then'],
  },
  {
    id: 'MQTT-3.3.1-2',
    binds: 'both',
    text: 'DUP is 0 for QoS 0.',
    where: [decode, outbox],
    tests: ['publish: DUP of the publisher is not passed on, and never set with QoS 0'],
    hostile: ['PUBLISH with DUP and QoS 0 (first byte 56) in MQTT 5'],
  },
  {
    id: 'MQTT-3.3.1-3',
    binds: 'server',
    text: 'DUP of an outgoing PUBLISH says whether it is sent again, whatever the incoming one said.',
    where: [outbox],
    tests: [
      'publish: DUP of the publisher is not passed on, and never set with QoS 0',
      'publish: DUP is set when a QoS … message is sent again, and only then',
    ],
  },
  {
    id: 'MQTT-3.3.1-4',
    binds: 'both',
    text: 'No PUBLISH has QoS 3.',
    where: [decode, 'broker/message.ts'],
    hostile: [
      'PUBLISH with QoS 3 (first byte 54) in MQTT 5',
      'PUBLISH with QoS 3 (first byte 55) in MQTT 5',
      'PUBLISH with QoS 3 (first byte 62) in MQTT 5',
      'PUBLISH with QoS 3 (first byte 63) in MQTT 5',
    ],
  },
  {
    id: 'MQTT-3.3.1-5',
    binds: 'server',
    text: 'A message with RETAIN replaces the retained message of its topic and waits for new subscriptions.',
    where: [dispatcher, retained],
    tests: ['retained: a message replaces the one before and waits for new subscriptions'],
  },
  {
    id: 'MQTT-3.3.1-6',
    binds: 'server',
    text: 'An empty payload with RETAIN is processed normally and removes the retained message.',
    where: [dispatcher, retained],
    tests: ['retained: an empty payload removes it, is not kept itself, and is delivered like any other'],
  },
  {
    id: 'MQTT-3.3.1-7',
    binds: 'server',
    text: 'A message with an empty payload is not stored as a retained message.',
    where: [retained],
    tests: ['retained: an empty payload removes it, is not kept itself, and is delivered like any other'],
  },
  {
    id: 'MQTT-3.3.1-8',
    binds: 'server',
    text: 'A message without RETAIN is not kept, and does not touch the retained one.',
    where: [dispatcher],
    tests: ['retained: a message without RETAIN is not kept, and replaces and removes nothing'],
  },
  {
    id: 'MQTT-3.3.1-9',
    binds: 'server',
    text: 'Retain Handling 0: the retained messages that match are sent.',
    where: [handleSubscribe, 'broker/delivery/retained-walks.ts'],
    tests: [retainHandling],
  },
  {
    id: 'MQTT-3.3.1-10',
    binds: 'server',
    text: 'Retain Handling 1: they are sent if the subscription is new, and else not.',
    where: [handleSubscribe],
    tests: [retainHandling, 'retained: Retain Handling 1 knows the subscriptions of a session that goes on'],
  },
  {
    id: 'MQTT-3.3.1-11',
    binds: 'server',
    text: 'Retain Handling 2: they are not sent.',
    where: [handleSubscribe],
    tests: [retainHandling],
  },
  {
    id: 'MQTT-3.3.1-12',
    binds: 'server',
    text: 'Retain As Published 0: RETAIN is 0 on forwarded messages.',
    where: [delivery],
    tests: [retainAsPublished],
  },
  {
    id: 'MQTT-3.3.1-13',
    binds: 'server',
    text: 'Retain As Published 1: RETAIN is that of the received PUBLISH.',
    where: [delivery],
    tests: [retainAsPublished],
  },
  {
    id: 'MQTT-3.3.2-1',
    binds: 'both',
    text: 'The topic is the first field, and a UTF-8 string.',
    where: [decode, encode, 'broker/protocol/text.ts'],
    tests: ['publish: a message goes to every subscription that its topic matches, and to no other'],
    hostile: [
      'PUBLISH with the byte 0xff in the topic in MQTT 5',
      'PUBLISH without a topic in MQTT 5',
      'PUBLISH with U+10FFFF in the topic in MQTT 5',
    ],
  },
  {
    id: 'MQTT-3.3.2-2',
    binds: 'both',
    text: 'The topic of a PUBLISH has no wildcards.',
    where: [decode, 'broker/protocol/topics.ts'],
    hostile: ['PUBLISH to # in MQTT 5', 'PUBLISH to a/+/b in MQTT 5', 'PUBLISH to a# in MQTT 5'],
  },
  {
    id: 'MQTT-3.3.2-3',
    binds: 'server',
    text: 'The topic of a delivered message matches a filter of the subscriber.',
    where: ['broker/router/router.ts', 'broker/protocol/topics.ts'],
    tests: ['publish: a message goes to every subscription that its topic matches, and to no other'],
  },
  {
    id: 'MQTT-3.3.2-4',
    binds: 'server',
    text: 'The Payload Format Indicator arrives unaltered.',
    where: [properties, writeProperties],
    tests: [unaltered],
  },
  {
    id: 'MQTT-3.3.2-5',
    binds: 'server',
    text: 'A message whose expiry interval has passed before its delivery began is deleted.',
    where: [outgoing, outbox, retained],
    tests: [
      'expiry: a message that waited too long is not delivered, neither queued nor retained',
      'expiry: what waits in the window of a slow receiver expires there',
    ],
  },
  {
    id: 'MQTT-3.3.2-6',
    binds: 'server',
    text: 'The time that a message waited is taken off its expiry interval.',
    where: [outgoing],
    tests: ['expiry: the interval that arrives is what was left of it'],
  },
  {
    id: 'MQTT-3.3.2-7',
    binds: 'both',
    text: 'Topic aliases end with their connection.',
    where: [aliases],
    tests: [
      'topic alias: those of a client end with its connection',
      'topic alias: the broker teaches its aliases anew on every connection',
    ],
    hostile: ['PUBLISH 5 with a topic alias that was never set'],
  },
  {
    id: 'MQTT-3.3.2-8',
    binds: 'both',
    text: 'No topic alias is 0.',
    where: [aliases, properties],
    tests: ['topic alias: the broker uses no more than the client allows, never 0, and none if it allows none'],
    hostile: ['PUBLISH 5 with the topic alias 0'],
  },
  {
    id: 'MQTT-3.3.2-9',
    binds: 'client',
    text: 'Its topic aliases are not greater than the Topic Alias Maximum of CONNACK.',
    where: [aliases],
    hostile: ['PUBLISH 5 with a topic alias over the maximum'],
  },
  {
    id: 'MQTT-3.3.2-10',
    binds: 'client',
    text: 'It accepts all topic aliases up to the maximum that it named.',
  },
  {
    id: 'MQTT-3.3.2-11',
    binds: 'server',
    text: 'No topic alias is greater than the Topic Alias Maximum of CONNECT.',
    where: [aliases],
    tests: ['topic alias: the broker uses no more than the client allows, never 0, and none if it allows none'],
  },
  {
    id: 'MQTT-3.3.2-12',
    binds: 'server',
    text: 'All topic aliases up to the maximum that CONNACK named are accepted.',
    where: [aliases],
    tests: ['topic alias: every alias up to the maximum of the broker is taken, and may be given anew'],
  },
  {
    id: 'MQTT-3.3.2-13',
    binds: 'both',
    text: 'The Response Topic is a UTF-8 string.',
    where: [properties],
    tests: [strings],
  },
  {
    id: 'MQTT-3.3.2-14',
    binds: 'both',
    text: 'The Response Topic has no wildcards.',
    where: [properties],
    hostile: ['PUBLISH 5 with the response topic #', 'PUBLISH 5 with the response topic a/+'],
  },
  {
    id: 'MQTT-3.3.2-15',
    binds: 'server',
    text: 'The Response Topic arrives unaltered.',
    where: [properties, writeProperties],
    tests: [unaltered],
  },
  {
    id: 'MQTT-3.3.2-16',
    binds: 'server',
    text: 'The Correlation Data arrives unaltered.',
    where: [properties, writeProperties],
    tests: [unaltered],
  },
  {
    id: 'MQTT-3.3.2-17',
    binds: 'server',
    text: 'All user properties arrive unaltered.',
    where: [properties, writeProperties],
    tests: [unaltered],
  },
  {
    id: 'MQTT-3.3.2-18',
    binds: 'server',
    text: 'User properties keep their order.',
    where: [properties, writeProperties],
    tests: [unaltered],
  },
  {
    id: 'MQTT-3.3.2-19',
    binds: 'both',
    text: 'The Content Type is a UTF-8 string.',
    where: [properties],
    tests: [strings],
    hostile: ['PUBLISH 5 with bad UTF-8 in the content type'],
  },
  {
    id: 'MQTT-3.3.2-20',
    binds: 'server',
    text: 'The Content Type arrives unaltered.',
    where: [properties, writeProperties],
    tests: [unaltered],
  },
  {
    id: 'MQTT-3.3.4-1',
    binds: 'both',
    text: 'A PUBLISH is answered as its QoS asks.',
    where: [handlePublish],
    tests: ['publish: the answer is that of the QoS'],
  },
  {
    id: 'MQTT-3.3.4-2',
    binds: 'server',
    text: 'Overlapping subscriptions: the message is delivered with the highest QoS of all that match.',
    where: [delivery, dispatcher],
    tests: [overlapping],
  },
  {
    id: 'MQTT-3.3.4-3',
    binds: 'server',
    text: 'The subscription identifiers of the subscriptions that match stand on the message.',
    where: [delivery],
    tests: [
      overlapping,
      'publish: subscription identifiers stand on messages that waited, and stay when the filter is renewed',
    ],
  },
  {
    id: 'MQTT-3.3.4-4',
    binds: 'server',
    text: 'A single copy has all of the identifiers.',
    where: [delivery],
    tests: [overlapping],
  },
  {
    id: 'MQTT-3.3.4-5',
    binds: 'server',
    text: 'Of several copies each has the identifier of its subscription. Oriole sends a single copy.',
    where: [delivery, dispatcher],
    tests: [overlapping],
  },
  {
    id: 'MQTT-3.3.4-6',
    binds: 'client',
    text: 'Its PUBLISH has no subscription identifier. The broker closes when it has.',
    where: [properties],
    hostile: ['PUBLISH 5 with a subscription identifier'],
  },
  {
    id: 'MQTT-3.3.4-7',
    binds: 'client',
    text: 'It has no more than the Receive Maximum of the server unacknowledged.',
  },
  {
    id: 'MQTT-3.3.4-8',
    binds: 'client',
    text: 'It delays nothing but PUBLISH for that.',
  },
  {
    id: 'MQTT-3.3.4-9',
    binds: 'server',
    text: 'No more than Receive Maximum QoS 1 and 2 messages are sent and not acknowledged to the end.',
    where: [outbox, 'broker/delivery/window.ts'],
    tests: [
      'receive maximum: … messages of QoS 1 and 2 wait for their end, and not one more',
      'receive maximum: a PUBREC that refuses gives room',
      'receive maximum: it is that of the connection, also for what is sent again',
    ],
  },
  {
    id: 'MQTT-3.3.4-10',
    binds: 'server',
    text: 'Nothing but PUBLISH is delayed for that.',
    where: [outbox, 'broker/protocol/replies.ts'],
    tests: ['receive maximum: nothing but messages waits for it'],
  },
  {
    id: 'MQTT-3.4.2-1',
    binds: 'both',
    text: 'The reason code of PUBACK is one of its table.',
    where: [handlePublish, decode],
    tests: ['publish: PUBACK says what became of the message, with a code of its table'],
    hostile: ['PUBACK 5 with the reason code 1', 'PUBACK 5 with the reason code 146'],
  },
  {
    id: 'MQTT-3.4.2-2',
    binds: 'both',
    text: 'A reason string does not make PUBACK larger than the receiver takes.',
    where: [encode],
    tests: [
      'packet size: a reason string that makes a packet too large is left out',
      'encode: a reason string that does not fit is left out',
    ],
  },
  {
    id: 'MQTT-3.4.2-3',
    binds: 'both',
    text: 'User properties do not make PUBACK larger than the receiver takes. Oriole sends none there.',
    where: [encode],
    tests: ['packet size: a reason string that makes a packet too large is left out'],
  },
]
