// MQTT 3.1.1, 3.8 to 3.14.
import type { Statement } from '../statement.ts'

const decode = 'broker/protocol/decode.ts'
const decodeSubscribe = 'broker/protocol/decode-subscribe.ts'
const text = 'broker/protocol/text.ts'
const encode = 'broker/protocol/encode.ts'
const connection = 'broker/protocol/connection.ts'
const handleSubscribe = 'broker/protocol/handle-subscribe.ts'
const sessions = 'broker/engine/sessions.ts'
const notUtf8 = 'conformance: a filter that is not UTF-8 ends the connection, in SUBSCRIBE and UNSUBSCRIBE'
const noFilter = 'conformance: SUBSCRIBE and UNSUBSCRIBE without a filter end the connection'
const flagsTwo = 'conformance: PUBREL, SUBSCRIBE and UNSUBSCRIBE with other flags than 0010 end the connection'
const suback =
  'conformance: one SUBACK answers a SUBSCRIBE, with its packet identifier and a code for each filter in order'
const unsubscribe =
  'conformance: UNSUBSCRIBE compares filters character by character, and is answered whatever it finds'
const completed = 'conformance: what was begun is delivered to its end after UNSUBSCRIBE'
const refusals311 = 'conformance 3.1.1: whatever refuses a filter, its return code is 0x80'

export const oldSubscribing: readonly Statement[] = [
  {
    id: 'MQTT-3.8.1-1',
    binds: 'both',
    text: 'The flags of SUBSCRIBE are 0010; any other value ends the connection.',
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
    binds: 'server',
    text: 'Filters with wildcards are supported, or refused. The broker supports them.',
    where: ['broker/router/filter-tree.ts'],
    tests: ['conformance: # stands for the level above it and all below, + for exactly one'],
  },
  {
    id: 'MQTT-3.8.3-3',
    binds: 'both',
    text: 'There is at least one pair of filter and QoS.',
    where: [decodeSubscribe],
    tests: [noFilter, 'conformance: a SUBSCRIBE whose filter has no options byte ends the connection'],
  },
  {
    id: 'MQTT-3.8.3-4',
    binds: 'server',
    text: 'Reserved bits beside the QoS, or QoS 3, end the connection.',
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
    text: 'A filter that the session has already replaces that subscription, retained messages come again, and nothing is lost.',
    where: [sessions, handleSubscribe],
    tests: [
      'conformance: a subscription with the same filter replaces the one before, and retained messages come again',
      'conformance: replacing a subscription loses no message and brings none twice',
    ],
  },
  {
    id: 'MQTT-3.8.4-4',
    binds: 'server',
    text: 'Several filters in one SUBSCRIBE are as several SUBSCRIBEs, with one SUBACK.',
    where: [handleSubscribe],
    tests: [suback, refusals311],
  },
  {
    id: 'MQTT-3.8.4-5',
    binds: 'server',
    text: 'SUBACK has a return code for each filter: the granted QoS, or a failure.',
    where: [handleSubscribe],
    tests: [suback, refusals311],
  },
  {
    id: 'MQTT-3.8.4-6',
    binds: 'server',
    text: 'The QoS of a delivery is the lower of the message and the granted QoS.',
    where: ['broker/delivery/delivery.ts'],
    tests: ['conformance: the QoS of a delivery is the lower of the message and the subscription'],
  },
  {
    id: 'MQTT-3.9.3-1',
    binds: 'server',
    text: 'The return codes of SUBACK are in the order of the filters.',
    where: [handleSubscribe],
    tests: [suback],
  },
  {
    id: 'MQTT-3.9.3-2',
    binds: 'server',
    text: 'Return codes are 0x00, 0x01, 0x02 or 0x80.',
    where: [encode],
    tests: [suback, refusals311],
  },
  {
    id: 'MQTT-3.10.1-1',
    binds: 'both',
    text: 'The flags of UNSUBSCRIBE are 0010; any other value ends the connection.',
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
    text: 'UNSUBSCRIBE is answered with UNSUBACK, which has its packet identifier.',
    where: [handleSubscribe],
    tests: [unsubscribe],
  },
  {
    id: 'MQTT-3.10.4-5',
    binds: 'server',
    text: 'UNSUBACK is sent also where nothing was deleted.',
    where: [handleSubscribe],
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
    id: 'MQTT-3.12.4-1',
    binds: 'server',
    text: 'PINGREQ is answered with PINGRESP.',
    where: [connection],
    tests: ['conformance: every PINGREQ is answered with PINGRESP'],
  },
  {
    id: 'MQTT-3.14.1-1',
    binds: 'server',
    text: 'Reserved bits of DISCONNECT are 0, or the connection ends.',
    where: [decode],
    tests: [
      'conformance: DISCONNECT and AUTH with flags in their fixed header end the connection',
      'conformance 3.1.1: a DISCONNECT with reserved bits is none: the connection ends, and the will is published',
    ],
  },
  {
    id: 'MQTT-3.14.4-1',
    binds: 'client',
    text: 'After DISCONNECT the client closes the connection.',
  },
  {
    id: 'MQTT-3.14.4-2',
    binds: 'client',
    text: 'After DISCONNECT the client sends nothing more. The broker would not process it.',
    where: [connection],
    tests: ['conformance: after DISCONNECT nothing of the client is processed, and the broker closes'],
  },
  {
    id: 'MQTT-3.14.4-3',
    binds: 'server',
    text: 'DISCONNECT discards the will.',
    where: [connection, 'broker/engine/wills.ts'],
    tests: ['conformance: DISCONNECT discards the will, a DISCONNECT with 0x04 does not'],
  },
]
