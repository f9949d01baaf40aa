// What other nodes may ask of this one: who holds which filter, and to deliver what was published elsewhere.
import type { ClusterHouse, LocalGroup, LocalInterest } from '../cluster/cluster.ts'
import { isHandedOver } from '../delivery/handed-over.ts'
import type { Subscription } from '../delivery/subscription.ts'
import type { Origin } from '../protocol/host.ts'
import { reason } from '../protocol/reason-codes.ts'
import type { Route, Router } from '../router/router.ts'
import type { ShareGroup } from '../router/share-group.ts'
import type { Store } from '../store/store.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { Reception } from './reception.ts'

export function makeClusterHouse(
  store: Store,
  router: Router<Subscription>,
  dispatcher: Dispatcher,
  reception: Reception,
  endAll: ClusterHouse['endAll'],
): ClusterHouse {
  // What came first by the log is not overtaken by what needs no log.
  const origin: Origin = { waiting: 0 }
  return {
    store,
    *interest() {
      for (const route of router.routes()) yield interestOf(route)
    },
    interestOf(filter) {
      const route = router.find(filter)
      return route && interestOf(route)
    },
    sessions: reception.moving,
    shadows: reception.shadows,
    publishWill: (clientId, will) => reception.wills.publish(clientId, will),
    load: () => ({
      connections: reception.connected,
      sessions: reception.sessions.size,
      subscriptions: reception.sessions.subscriptions,
      isDraining: reception.isDraining,
    }),
    deliver(message) {
      if (isHandedOver(message.via)) return reception.moving.take(message)
      return new Promise((resolve, reject) => {
        dispatcher.deliver(message, origin, (error) => (error === undefined ? resolve() : reject(error)))
      })
    },
    disconnect(clientId, why, phrase) {
      const connection = reception.connectionOf(clientId)
      connection?.end(why === 'taken-over' ? reason.sessionTakenOver : reason.administrativeAction, phrase)
      return connection !== undefined
    },
    endAll,
  }
}

function interestOf({ filter, plain, acknowledged, groups }: Route<Subscription>): LocalInterest {
  const qos = plain === 0 ? undefined : acknowledged > 0 ? 1 : 0
  return { filter, qos, groups: groups === undefined ? [] : [...groups.values()].map(groupOf) }
}

function groupOf({ name, online, queueingAway }: ShareGroup<Subscription>): LocalGroup {
  return { share: name, online: online.length, queueing: queueingAway }
}
