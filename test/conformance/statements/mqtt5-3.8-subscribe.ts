// MQTT 5.0, 3.8 to 3.13.
import type { Statement } from '../statement.ts'

const decode = 'broker/protocol/decode.ts'
const decodeSubscribe = 'broker/protocol/decode-subscribe.ts'
const text = 'broker/protocol/text.ts'
const encode = 'broker/protocol/encode.ts'
const handleSubscribe = 'broker/protocol/handle-subscribe.ts'
const delivery = 'broker/delivery/delivery.ts'
const sessions = 'broker/engine/sessions.ts'
const noReason = 'conformance: no reason string makes an answer larger than the client takes'
const notUtf8 = 'conformance: a filter that is not UTF-8 ends the connection, in SUBSCRIBE and UNSUBSCRIBE'
const noFilter = 'conformance: SUBSCRIBE and UNSUBSCRIBE without a filter end the connection'
const flagsTwo = 'conformance: PUBREL, SUBSCRIBE and UNSUBSCRIBE with other flags than 0010 end the connection'
const suback =
  'conformance: one SUBACK answers a SUBSCRIBE, with its packet identifier and a code for each filter in order'
const replaced =
  'conformance: a subscription with the same filter replaces the one before, and retained messages come again'
const unsubscribe =
  'conformance: UNSUBSCRIBE compares filters character by character, and is answered whatever it finds'
const completed = 'conformance: what was begun is delivered to its end after UNSUBSCRIBE'

export const subscribing: readonly Statement[] = [
  {
    id: 'MQTT-3.8.1-1',
    binds: 'both',
    text: 'The flags of SUBSCRIBE are 0010; any other value is malformed and ends the connection.',
    where: [decode],
    tests: [flagsTwo],
  },
  {
    id: 'MQTT-3.8.3-1',
    binds: 'both',
    text: 'Filters are UTF-8 strings.',
    where: [decodeSubscribe, text],
    tests: [notUtf8],
  },
  {
    id: 'MQTT-3.8.3-2',
    binds: 'both',
    text: 'There is at least one pair of filter and options.',
    where: [decodeSubscribe],
    tests: [noFilter, 'conformance: a SUBSCRIBE whose filter has no options byte ends the connection'],
  },
  {
    id: 'MQTT-3.8.3-3',
    binds: 'server',
    text: 'With No Local a client does not get its own messages.',
    where: [delivery],
    tests: ['conformance: No Local keeps a client from its own messages and from no others'],
  },
  {
    id: 'MQTT-3.8.3-4',
    binds: 'both',
    text: 'No Local on a shared subscription is a protocol error.',
    where: [decodeSubscribe],
    tests: ['conformance: No Local on a shared subscription is a protocol error'],
  },
  {
    id: 'MQTT-3.8.3-5',
    binds: 'server',
    text: 'Reserved bits of the options make SUBSCRIBE malformed.',
    where: [decodeSubscribe],
    tests: ['conformance: reserved bits of the subscription options end the connection, as QoS 3 does'],
  },
  {
    id: 'MQTT-3.8.4-1',
    binds: 'server',
    text: 'SUBSCRIBE is answered with SUBACK.',
    where: [handleSubscribe],
    tests: [suback],
  },
  {
    id: 'MQTT-3.8.4-2',
    binds: 'server',
    text: 'SUBACK has the packet identifier of SUBSCRIBE.',
    where: [handleSubscribe, encode],
    tests: [suback],
  },
  {
    id: 'MQTT-3.8.4-3',
    binds: 'server',
    text: 'A filter that the session has already replaces that subscription.',
    where: [sessions],
    tests: [replaced],
  },
  {
    id: 'MQTT-3.8.4-4',
    binds: 'server',
    text: 'With Retain Handling 0 retained messages come again, and replacing loses no message.',
    where: [handleSubscribe, sessions],
    tests: [replaced, 'conformance: replacing a subscription loses no message and brings none twice'],
  },
  {
    id: 'MQTT-3.8.4-5',
    binds: 'server',
    text: 'Several filters in one SUBSCRIBE are as several SUBSCRIBEs, with one SUBACK.',
    where: [handleSubscribe],
    tests: [suback],
  },
  {
    id: 'MQTT-3.8.4-6',
    binds: 'server',
    text: 'SUBACK has a reason code for each filter.',
    where: [handleSubscribe],
    tests: [suback],
  },
  {
    id: 'MQTT-3.8.4-7',
    binds: 'server',
    text: 'The reason code is the granted QoS or says that the subscription failed.',
    where: [handleSubscribe],
    tests: [suback],
  },
  {
    id: 'MQTT-3.8.4-8',
    binds: 'server',
    text: 'The QoS of a delivery is the lower of the message and the granted QoS.',
    where: [delivery],
    tests: ['conformance: the QoS of a delivery is the lower of the message and the subscription'],
  },
  {
    id: 'MQTT-3.9.2-1',
    binds: 'server',
    text: 'No reason string where it would make SUBACK larger than Maximum Packet Size. The broker sends none.',
    where: [encode],
    tests: [suback, noReason],
  },
  {
    id: 'MQTT-3.9.2-2',
    binds: 'server',
    text: 'No user properties where they would make SUBACK larger than Maximum Packet Size. The broker sends none.',
    where: [encode],
    tests: [suback, noReason],
  },
  {
    id: 'MQTT-3.9.3-1',
    binds: 'server',
    text: 'The reason codes of SUBACK are in the order of the filters.',
    where: [handleSubscribe],
    tests: [suback],
  },
  {
    id: 'MQTT-3.9.3-2',
    binds: 'server',
    text: 'Each is one of the SUBACK reason codes.',
    where: [handleSubscribe],
    tests: [
      suback,
      'conformance: the longest topic that a packet can carry arrives, longer ones than the setting are refused',
    ],
  },
  {
    id: 'MQTT-3.10.1-1',
    binds: 'both',
    text: 'The flags of UNSUBSCRIBE are 0010; any other value is malformed and ends the connection.',
    where: [decode],
    tests: [flagsTwo],
  },
  {
    id: 'MQTT-3.10.3-1',
    binds: 'both',
    text: 'Filters are UTF-8 strings.',
    where: [decodeSubscribe, text],
    tests: [notUtf8],
  },
  {
    id: 'MQTT-3.10.3-2',
    binds: 'both',
    text: 'There is at least one filter.',
    where: [decodeSubscribe],
    tests: [noFilter],
  },
  {
    id: 'MQTT-3.10.4-1',
    binds: 'server',
    text: 'Filters are compared character by character; one that is equal deletes its subscription.',
    where: [sessions],
    tests: [unsubscribe],
  },
  {
    id: 'MQTT-3.10.4-2',
    binds: 'server',
    text: 'After UNSUBSCRIBE no new message is added for the client.',
    where: [sessions, 'broker/router/router.ts'],
    tests: [unsubscribe, completed],
  },
  {
    id: 'MQTT-3.10.4-3',
    binds: 'server',
    text: 'What has begun with QoS 1 or 2 is completed.',
    where: ['broker/delivery/outbox.ts', 'broker/delivery/window.ts'],
    tests: [completed],
  },
  {
    id: 'MQTT-3.10.4-4',
    binds: 'server',
    text: 'UNSUBSCRIBE is answered with UNSUBACK.',
    where: [handleSubscribe],
    tests: [unsubscribe],
  },
  {
    id: 'MQTT-3.10.4-5',
    binds: 'server',
    text: 'UNSUBACK has the packet identifier of UNSUBSCRIBE, and is sent also where nothing was deleted.',
    where: [handleSubscribe, encode],
    tests: [unsubscribe],
  },
  {
    id: 'MQTT-3.10.4-6',
    binds: 'server',
    text: 'Several filters in one UNSUBSCRIBE are as several UNSUBSCRIBEs, with one UNSUBACK.',
    where: [handleSubscribe],
    tests: [unsubscribe],
  },
  {
    id: 'MQTT-3.11.2-1',
    binds: 'server',
    text: 'No reason string where it would make UNSUBACK larger than Maximum Packet Size. The broker sends none.',
    where: [encode],
    tests: [noReason],
  },
  {
    id: 'MQTT-3.11.2-2',
    binds: 'server',
    text: 'No user properties where they would make UNSUBACK larger than Maximum Packet Size. The broker sends none.',
    where: [encode],
    tests: [noReason],
  },
  {
    id: 'MQTT-3.11.3-1',
    binds: 'server',
    text: 'The reason codes of UNSUBACK are in the order of the filters.',
    where: [handleSubscribe],
    tests: [unsubscribe],
  },
  {
    id: 'MQTT-3.11.3-2',
    binds: 'server',
    text: 'Each is one of the UNSUBACK reason codes.',
    where: [handleSubscribe],
    tests: [unsubscribe],
  },
  {
    id: 'MQTT-3.12.4-1',
    binds: 'server',
    text: 'PINGREQ is answered with PINGRESP.',
    where: ['broker/protocol/connection.ts'],
    tests: ['conformance: every PINGREQ is answered with PINGRESP'],
  },
]
