// MQTT 5.0, 3.5 to 3.7.
import type { Statement } from '../statement.ts'

const encode = 'broker/protocol/encode.ts'
const handlePublish = 'broker/protocol/handle-publish.ts'
const codes = 'conformance: PUBREC, PUBREL and PUBCOMP say with their own reason codes what happened'
const noReason = 'conformance: no reason string makes an answer larger than the client takes'

export const acknowledgements: readonly Statement[] = [
  {
    id: 'MQTT-3.5.2-1',
    binds: 'both',
    text: 'PUBREC has one of the PUBREC reason codes.',
    where: [handlePublish, encode],
    tests: [codes, 'conformance: after a PUBREC that refuses, the packet identifier means a new message'],
  },
  {
    id: 'MQTT-3.5.2-2',
    binds: 'both',
    text: 'No reason string where it would make PUBREC larger than Maximum Packet Size.',
    where: [encode],
    tests: [noReason],
  },
  {
    id: 'MQTT-3.5.2-3',
    binds: 'both',
    text: 'No user properties where they would make PUBREC larger than Maximum Packet Size. The broker sends none.',
    where: [encode],
    tests: [noReason],
  },
  {
    id: 'MQTT-3.6.1-1',
    binds: 'both',
    text: 'The flags of PUBREL are 0010; any other value is malformed and ends the connection.',
    where: ['broker/protocol/decode.ts', encode],
    tests: [
      'conformance: PUBREL, SUBSCRIBE and UNSUBSCRIBE with other flags than 0010 end the connection',
      'format: the reserved flags of every packet of the broker are as listed',
    ],
  },
  {
    id: 'MQTT-3.6.2-1',
    binds: 'both',
    text: 'PUBREL has one of the PUBREL reason codes.',
    where: [handlePublish, encode],
    tests: [codes, 'conformance: QoS 2 goes out in its four steps, with one packet identifier'],
  },
  {
    id: 'MQTT-3.6.2-2',
    binds: 'both',
    text: 'No reason string where it would make PUBREL larger than Maximum Packet Size. The broker sends none.',
    where: [encode],
    tests: [noReason],
  },
  {
    id: 'MQTT-3.6.2-3',
    binds: 'both',
    text: 'No user properties where they would make PUBREL larger than Maximum Packet Size. The broker sends none.',
    where: [encode],
    tests: [noReason],
  },
  {
    id: 'MQTT-3.7.2-1',
    binds: 'both',
    text: 'PUBCOMP has one of the PUBCOMP reason codes.',
    where: [handlePublish, encode],
    tests: [codes],
  },
  {
    id: 'MQTT-3.7.2-2',
    binds: 'both',
    text: 'No reason string where it would make PUBCOMP larger than Maximum Packet Size. The broker sends none.',
    where: [encode],
    tests: [noReason],
  },
  {
    id: 'MQTT-3.7.2-3',
    binds: 'both',
    text: 'No user properties where they would make PUBCOMP larger than Maximum Packet Size. The broker sends none.',
    where: [encode],
    tests: [noReason],
  },
]
