// MQTT 5.0, 4.1 to 4.5.
import type { Statement } from '../statement.ts'

const encode = 'broker/protocol/encode.ts'
const handlePublish = 'broker/protocol/handle-publish.ts'
const outbox = 'broker/delivery/outbox.ts'
const window = 'broker/delivery/window.ts'
const sessions = 'broker/engine/sessions.ts'
const freshIds = 'conformance: new deliveries have DUP 0 and packet identifiers of their own, QoS 0 has none'
const passedOver = 'conformance: a packet identifier in use is passed over when all others have had their turn'
const one =
  'conformance: QoS 1 is acknowledged with its packet identifier, which then means a new message whatever DUP says'
const twoIn = 'conformance: QoS 2 comes in once: repeated until PUBREL it is acknowledged, and delivered once'
const twoOut = 'conformance: QoS 2 goes out in its four steps, with one packet identifier'
const refusals = 'conformance: PUBACK and PUBREC that refuse end the delivery for good'
const expiry = 'conformance: message expiry ends no QoS 2 delivery that has begun, on either side, nor does a restart'
const lasting = 'conformance: session state lasts as long as the connection, and as its expiry after it'

export const deliveryProtocols: readonly Statement[] = [
  {
    id: 'MQTT-4.1.0-1',
    binds: 'both',
    text: 'Session state is not discarded while the connection is open.',
    where: [sessions],
    tests: [lasting],
  },
  {
    id: 'MQTT-4.1.0-2',
    binds: 'server',
    text: 'Session state is discarded when the connection is closed and the expiry has passed.',
    where: [sessions],
    tests: [lasting],
  },
  {
    id: 'MQTT-4.2-1',
    binds: 'both',
    text: 'The transport is an ordered, lossless stream of bytes in both directions.',
    where: ['broker/listeners/open.ts'],
    tests: ['conformance: MQTT comes through TCP and WebSocket as an ordered stream'],
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
    text: 'QoS 1: each new message gets a packet identifier that is not in use.',
    where: [window],
    tests: [freshIds, passedOver],
  },
  {
    id: 'MQTT-4.3.2-2',
    binds: 'both',
    text: 'QoS 1: PUBLISH is sent with it, QoS 1 and DUP 0.',
    where: [outbox, encode],
    tests: [freshIds],
  },
  {
    id: 'MQTT-4.3.2-3',
    binds: 'both',
    text: 'QoS 1: PUBLISH is unacknowledged until its PUBACK.',
    where: [window, outbox],
    tests: ['conformance: QoS 1 is unacknowledged until PUBACK, and sent again only on a new connection'],
  },
  {
    id: 'MQTT-4.3.2-4',
    binds: 'both',
    text: 'QoS 1: who has taken the message answers with PUBACK and its packet identifier.',
    where: [handlePublish],
    tests: [one],
  },
  {
    id: 'MQTT-4.3.2-5',
    binds: 'both',
    text: 'QoS 1: after PUBACK the packet identifier means a new message, whatever DUP says.',
    where: [handlePublish],
    tests: [one],
  },
  {
    id: 'MQTT-4.3.3-1',
    binds: 'both',
    text: 'QoS 2: each new message gets a packet identifier that is not in use.',
    where: [window],
    tests: [freshIds, passedOver],
  },
  {
    id: 'MQTT-4.3.3-2',
    binds: 'both',
    text: 'QoS 2: PUBLISH is sent with it, QoS 2 and DUP 0.',
    where: [outbox, encode],
    tests: [freshIds],
  },
  {
    id: 'MQTT-4.3.3-3',
    binds: 'both',
    text: 'QoS 2: PUBLISH is unacknowledged until its PUBREC.',
    where: [window, outbox],
    tests: [twoOut],
  },
  {
    id: 'MQTT-4.3.3-4',
    binds: 'both',
    text: 'QoS 2: a PUBREC below 0x80 is answered with PUBREL and the same packet identifier.',
    where: [handlePublish, outbox],
    tests: [twoOut, refusals],
  },
  {
    id: 'MQTT-4.3.3-5',
    binds: 'both',
    text: 'QoS 2: PUBREL is unacknowledged until its PUBCOMP.',
    where: [window, outbox],
    tests: [twoOut],
  },
  {
    id: 'MQTT-4.3.3-6',
    binds: 'both',
    text: 'QoS 2: after PUBREL the PUBLISH is never sent again.',
    where: [window, outbox],
    tests: [twoOut],
  },
  {
    id: 'MQTT-4.3.3-7',
    binds: 'both',
    text: 'QoS 2: a PUBLISH that was sent does not expire.',
    where: [outbox],
    tests: [expiry],
  },
  {
    id: 'MQTT-4.3.3-8',
    binds: 'both',
    text: 'QoS 2: who has taken the message answers with PUBREC and its packet identifier.',
    where: [handlePublish],
    tests: [twoIn],
  },
  {
    id: 'MQTT-4.3.3-9',
    binds: 'both',
    text: 'QoS 2: after a PUBREC of 0x80 or more the packet identifier means a new message.',
    where: [handlePublish],
    tests: ['conformance: after a PUBREC that refuses, the packet identifier means a new message'],
  },
  {
    id: 'MQTT-4.3.3-10',
    binds: 'both',
    text: 'QoS 2: until PUBREL a repeated PUBLISH is answered with PUBREC and not delivered again.',
    where: [handlePublish],
    tests: [twoIn],
  },
  {
    id: 'MQTT-4.3.3-11',
    binds: 'both',
    text: 'QoS 2: PUBREL is answered with PUBCOMP and its packet identifier.',
    where: [handlePublish],
    tests: [twoIn],
  },
  {
    id: 'MQTT-4.3.3-12',
    binds: 'both',
    text: 'QoS 2: after PUBCOMP the packet identifier means a new message.',
    where: [handlePublish],
    tests: [twoIn],
  },
  {
    id: 'MQTT-4.3.3-13',
    binds: 'both',
    text: 'QoS 2: the acknowledgements go on also when the message has expired.',
    where: [handlePublish],
    tests: [expiry],
  },
  {
    id: 'MQTT-4.4.0-1',
    binds: 'both',
    text: 'A session that goes on brings unacknowledged PUBLISH and PUBREL again, with their packet identifiers, and only then.',
    where: [outbox, window],
    tests: [
      'conformance: a reconnect brings what was not acknowledged, in the original order with the original identifiers',
      'conformance: nothing is sent again while the connection lives',
    ],
  },
  {
    id: 'MQTT-4.4.0-2',
    binds: 'both',
    text: 'A PUBLISH that was refused by PUBACK or PUBREC is not sent again.',
    where: [handlePublish, outbox],
    tests: [refusals],
  },
  {
    id: 'MQTT-4.5.0-1',
    binds: 'server',
    text: 'A message that was taken is added to the session of every client with a matching subscription.',
    where: ['broker/engine/dispatcher.ts', 'broker/delivery/backlog.ts'],
    tests: ['conformance: a message is added to the session of every client that has a matching subscription'],
  },
  {
    id: 'MQTT-4.5.0-2',
    binds: 'client',
    text: 'The client acknowledges whatever it makes of the message.',
  },
]
