// What `identify` may look at when a client is asked again, without what was proven once.
import type { ClientInfo, Credentials } from '../plugin.ts'

export function credentialsOf({ id, identity, address, listener, protocolVersion }: ClientInfo): Credentials {
  const { username } = identity
  return { clientId: id, username, password: undefined, address, listener, certificate: undefined, protocolVersion }
}
