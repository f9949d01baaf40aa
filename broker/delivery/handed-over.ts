// What one node hands over to another for a session: how it is marked in the log, and where the old node's part ends.
import type { Message, QoS } from '../message.ts'
import type { Delivery } from './delivery.ts'
import type { Outgoing } from './outgoing.ts'

/** One message of a session, as its former node owed it. */
export interface HandedOver {
  readonly clientId: string
  readonly qos: QoS
  readonly retain: boolean
  /** It was sent under this packet identifier and not acknowledged; 0: it was not sent. */
  readonly packetId: number
  /** PUBREC came. */
  readonly released: boolean
  /** By what it was there for this session alone; undefined: by its topic. */
  readonly via: string | undefined
}

/** How far the former node is responsible, by the store id of the publisher's node: what is above came here by itself. */
export type Cuts = ReadonlyMap<number, number>

/** The key in `Cuts` of what was published here. */
export const here = 0

/** No filter has U+0000, so no other `via` begins with it. */
const mark = '\u0000'

export function isHandedOver(via: string | undefined): via is string {
  return via?.startsWith(mark) === true
}

export function handedOverVia({ clientId, qos, retain, packetId, released, via = '' }: HandedOver): string {
  return `${mark}${qos}${retain ? 'r' : '-'}${released ? 'r' : '-'}${packetId} ${clientId}${mark}${via}`
}

/** Nothing more comes of this session. */
export function endVia(clientId: string): string {
  return `${mark}end ${clientId}`
}

/** Undefined: it is none of ours. */
export function arrivedClientId(via: string): string | undefined {
  return via.startsWith(`${mark}end `) ? via.slice(5) : undefined
}

/** Undefined: it is none of ours. */
export function parseHandedOver(via: string): HandedOver | undefined {
  const space = via.indexOf(' ')
  const end = via.indexOf(mark, space)
  const packetId = Number(via.slice(4, space))
  const qos = Number(via[1])
  if (space < 5 || end < 0 || !Number.isInteger(packetId) || (qos !== 0 && qos !== 1 && qos !== 2)) return undefined
  const inner = via.slice(end + 1)
  return {
    clientId: via.slice(space + 1, end),
    qos,
    retain: via[2] === 'r',
    released: via[3] === 'r',
    packetId,
    via: inner === '' ? undefined : inner,
  }
}

/** The message of a delivery that another node shall make, with its identity. */
export function handOver(
  { outgoing, qos, retain }: Pick<Delivery, 'outgoing' | 'qos' | 'retain'>,
  clientId: string,
  storeId: number,
  sent: { readonly packetId: number; readonly released: boolean } = { packetId: 0, released: false },
): Message {
  const { message, sequence } = outgoing
  // It may have come from a third node.
  const via = isHandedOver(message.via) ? parseHandedOver(message.via)?.via : message.via
  return {
    ...message,
    via: handedOverVia({ clientId, qos, retain, ...sent, via }),
    origin: message.origin ?? { storeId, sequence },
  }
}

/**
 * Whose it is: the former node's, or this one's, to which it came by itself. Undefined: it is in one place only, because it
 * is for this session alone, or its publisher's node was away.
 */
export function sideOf(cuts: Cuts, { origin, via }: Message, sequence: number): 'former' | 'here' | undefined {
  if (via !== undefined || sequence === 0) return undefined
  const cut = origin === undefined ? cuts.get(here) : cuts.get(origin.storeId)
  if (cut === undefined) return undefined
  return (origin?.sequence ?? sequence) <= cut ? 'former' : 'here'
}

/** The former node delivered it, or hands it over. */
export function isFormers(cuts: Cuts | undefined, { message, sequence }: Outgoing): boolean {
  return cuts !== undefined && sideOf(cuts, message, sequence) === 'former'
}
