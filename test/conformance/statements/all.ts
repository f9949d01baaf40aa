// All statements of the standards, chapter by chapter, in their order.
import type { Chapter } from '../statement.ts'
import { dataFormats } from './mqtt5-1-format.ts'
import { connect } from './mqtt5-3.1-connect.ts'
import { connack } from './mqtt5-3.2-connack.ts'
import { publish } from './mqtt5-3.3-publish.ts'
import { acknowledgements } from './mqtt5-3.5-acknowledgements.ts'
import { subscribing } from './mqtt5-3.8-subscribe.ts'
import { disconnectAndAuth } from './mqtt5-3.14-disconnect.ts'
import { deliveryProtocols } from './mqtt5-4.1-delivery.ts'
import { orderAndFlow } from './mqtt5-4.6-order.ts'
import { topicsAndShares } from './mqtt5-4.7-topics.ts'
import { errorsAndWeb } from './mqtt5-4.12-errors.ts'
import { oldFormat } from './mqtt311-2-format.ts'
import { oldConnect } from './mqtt311-3.1-connect.ts'
import { oldConnack } from './mqtt311-3.2-connack.ts'
import { oldPublish } from './mqtt311-3.3-publish.ts'
import { oldSubscribing } from './mqtt311-3.8-subscribe.ts'
import { oldBehaviour } from './mqtt311-4-behaviour.ts'

export const chapters: readonly Chapter[] = [
  { version: '5.0', title: 'Data representation and packet format (1, 2)', statements: dataFormats },
  { version: '5.0', title: 'CONNECT (3.1)', statements: connect },
  { version: '5.0', title: 'CONNACK (3.2)', statements: connack },
  { version: '5.0', title: 'PUBLISH and PUBACK (3.3, 3.4)', statements: publish },
  { version: '5.0', title: 'PUBREC, PUBREL and PUBCOMP (3.5 to 3.7)', statements: acknowledgements },
  { version: '5.0', title: 'SUBSCRIBE to PINGRESP (3.8 to 3.13)', statements: subscribing },
  { version: '5.0', title: 'DISCONNECT and AUTH (3.14, 3.15)', statements: disconnectAndAuth },
  { version: '5.0', title: 'Sessions, transport and delivery (4.1 to 4.5)', statements: deliveryProtocols },
  { version: '5.0', title: 'Order and flow control (4.6, 4.9)', statements: orderAndFlow },
  { version: '5.0', title: 'Topics and shared subscriptions (4.7, 4.8)', statements: topicsAndShares },
  { version: '5.0', title: 'Enhanced authentication, errors, WebSocket (4.12, 4.13, 6)', statements: errorsAndWeb },
  { version: '3.1.1', title: 'Data representation and packet format (1, 2)', statements: oldFormat },
  { version: '3.1.1', title: 'CONNECT (3.1)', statements: oldConnect },
  { version: '3.1.1', title: 'CONNACK (3.2)', statements: oldConnack },
  { version: '3.1.1', title: 'PUBLISH and its acknowledgements (3.3 to 3.7)', statements: oldPublish },
  { version: '3.1.1', title: 'SUBSCRIBE to DISCONNECT (3.8 to 3.14)', statements: oldSubscribing },
  { version: '3.1.1', title: 'Operational behaviour, WebSocket, conformance (4 to 7)', statements: oldBehaviour },
]
