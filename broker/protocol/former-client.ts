// Who a client was, in a form that outlives the process: its will, and its turns in shared groups, ask for its rights when it is
// gone.
import type { HookRunner } from '../hooks.ts'
import type { ClientInfo, Identity } from '../plugin.ts'
import type { FormerClient } from '../store/store.ts'

export function formerClientOf(client: ClientInfo, hooks: Pick<HookRunner, 'proofOf'>): FormerClient {
  const { address, listener } = client
  const { identity, plugin } = hooks.proofOf(client.identity) ?? { identity: client.identity, plugin: '' }
  return { identity: storable(identity), provenBy: plugin, address, listener }
}

/** For questions about its rights; how it connected is not known any more. */
export function clientInfoOf(clientId: string, { identity, address, listener }: FormerClient): ClientInfo {
  return { id: clientId, identity, address, listener, protocolVersion: 5, cleanStart: false, connectedAt: 0 }
}

/** Plugins may put into it what they like; what JSON cannot hold is left out. */
function storable(identity: Identity): Identity {
  if (isStorable(identity)) return identity
  return Object.fromEntries(Object.entries(identity).filter(([, value]) => isStorable(value))) as unknown as Identity
}

function isStorable(value: unknown): boolean {
  try {
    JSON.stringify(value)
    return true
  } catch {
    return false
  }
}
