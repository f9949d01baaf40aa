// What a session must wait for on other nodes: who sends to it, and its shadow.
import type { Cluster } from '../cluster/cluster.ts'
import type { Session } from '../delivery/session.ts'
import type { Store } from '../store/store.ts'

/** Resolves when other nodes know what the session subscribed to; undefined: there is nothing that they have to know. */
export function settledElsewhere(
  { routing, replicas }: Pick<Cluster, 'routing' | 'replicas'>,
  session: Session,
): Promise<unknown> | undefined {
  const known = routing.settled()
  const kept = session.persistent ? replicas.settled(session.clientId) : undefined
  return known === undefined || kept === undefined ? (known ?? kept) : Promise.all([known, kept])
}

/** As DeliveryHouse has it. */
export function commitSent(
  cluster: Pick<Cluster, 'replicas'> | undefined,
  store: Store,
  session: Session,
  done: (error: Error | undefined) => void,
): void {
  const noted = cluster?.replicas.noted(session.clientId)
  store.commit((error) => {
    if (noted === undefined || error !== undefined) done(error)
    else void noted.then(() => done(undefined))
  })
}
