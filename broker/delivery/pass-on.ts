// What a client did not acknowledge of its shared subscriptions, when it leaves (MQTT 4.8.2).
import type { Delivery } from './delivery.ts'
import type { DeliveryHouse } from './house.ts'
import type { Session } from './session.ts'
import type { Window } from './window.ts'

/** It goes to other members. QoS 2 that was begun stays, because only the same client can end it (MQTT-4.8.2-4, -5). */
export function passOnShared(
  house: DeliveryHouse,
  session: Session,
  window: Window,
  waiting: readonly Iterable<Delivery>[],
): void {
  for (const { packetId, delivery } of window.unacknowledged()) {
    if (delivery?.share === undefined || delivery.qos !== 1) continue
    if (house.passOn(delivery, session)) window.remove(packetId, 1)
  }
  for (const deliveries of waiting) {
    for (const delivery of deliveries) {
      if (delivery.share === undefined || !house.passOn(delivery, session)) continue
      window.markDone(delivery.outgoing.sequence)
    }
  }
}
