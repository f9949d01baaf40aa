// Who a client was, in a form that outlives the process: its will, and its turns in shared groups, ask for its rights when it is
// gone.
import type { HookRunner } from '../hooks.ts'
import type { ClientInfo } from '../plugin.ts'
import type { FormerClient } from '../store/store.ts'

export function formerClientOf(client: ClientInfo, hooks: Pick<HookRunner, 'proofOf'>): FormerClient {
  const { address, listener } = client
  const { identity, plugin } = hooks.proofOf(client.identity) ?? { identity: client.identity, plugin: '' }
  return { identity, provenBy: plugin, address, listener }
}

/** For questions about its rights; how it connected is not known any more. */
export function clientInfoOf(clientId: string, { identity, address, listener }: FormerClient): ClientInfo {
  return { id: clientId, identity, address, listener, protocolVersion: 5, cleanStart: false, connectedAt: 0 }
}
