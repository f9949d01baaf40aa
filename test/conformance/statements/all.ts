// All statements of the standards, chapter by chapter, in their order.
import type { Chapter } from '../statement.ts'
import { dataFormats } from './mqtt5-1-format.ts'
import { connect } from './mqtt5-3.1-connect.ts'
import { connack } from './mqtt5-3.2-connack.ts'
import { publish } from './mqtt5-3.3-publish.ts'

export const chapters: readonly Chapter[] = [
  { version: '5.0', title: 'Data representation and packet format (1, 2)', statements: dataFormats },
  { version: '5.0', title: 'CONNECT (3.1)', statements: connect },
  { version: '5.0', title: 'CONNACK (3.2)', statements: connack },
  { version: '5.0', title: 'PUBLISH and PUBACK (3.3, 3.4)', statements: publish },
]
