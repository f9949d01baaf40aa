// Takes what another node hands over for a session that is here: what was in flight, and what is still to be sent.
import type { Message } from '../message.ts'
import { reason } from '../protocol/reason-codes.ts'
import { fromLog, mayGetArrived } from './backlog.ts'
import type { HandedOver } from './handed-over.ts'
import type { DeliveryHouse } from './house.ts'
import { Outgoing } from './outgoing.ts'
import type { Session } from './session.ts'

/** Right after it was appended. Its packet identifier is stored with it, because the client may know it (MQTT-4.4.0-1). */
export function noteInFlight(session: Session, { packetId, qos, released }: HandedOver, sequence: number): void {
  if (packetId === 0 || qos === 0) return
  const { outbox } = session
  if (outbox.owe({ packetId, sequence, qos, released })) return
  // It comes when the client is served already. Without PUBREL the identifier would stay in use at the client.
  if (released) outbox.link?.sendPubrel(packetId, reason.success)
}

/** After the commit. Who waits for more, or reads the log, finds it there. */
export function offerArrived(house: DeliveryHouse, session: Session, message: Message, sequence: number): void {
  if (session.outbox.link === undefined || session.outbox.window.knownSequences().has(sequence)) return
  const delivery = fromLog(house, session, new Outgoing(message, sequence))
  const may = delivery !== undefined && mayGetArrived(house, session, delivery)
  const offer = (isGranted: boolean): void => {
    if (delivery === undefined || !isGranted) session.outbox.pass(sequence)
    else session.outbox.offer(delivery)
  }
  // The hooks never reject.
  if (may instanceof Promise) void may.then(offer)
  else offer(may)
}
