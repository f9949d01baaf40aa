// What an admin does about clients, over the socket in the data folder: kick and ban. Each leaves a line for the audit.
import type { ControlCommand } from './admin/control.ts'
import { type Ban, type Bans, banKinds, checkBan } from './bans.ts'
import { OrioleError } from './errors.ts'
import type { ClientInfo, PluginLog } from './plugin.ts'

export interface Desk {
  readonly bans: Bans
  readonly log: PluginLog
  /** Ends the connections that fit; how many. */
  end(fits: (client: ClientInfo) => boolean, phrase: string): number
}

export function abuseCommands({ bans, log, end }: Desk): Readonly<Record<string, ControlCommand>> {
  return {
    async kick({ client, user }) {
      const ended = end(({ id, identity }) => id === client || identity.username === user, 'kicked by an admin')
      log.info({ audit: 'admin', client, user, ended }, 'kicked')
      return { ended }
    },
    async 'ban list'() {
      return { bans: bans.list() }
    },
    async 'ban add'({ kind, value, forS, because }) {
      const since = Date.now()
      const ban: Ban = {
        ...banned(kind, value),
        since,
        ...(typeof forS === 'number' && forS > 0 && { until: since + forS * 1000 }),
        ...(typeof because === 'string' && { because }),
      }
      const stored = bans.add(ban)
      const ended = end((client) => bans.find(candidate(client)) !== undefined, 'banned')
      await stored
      log.info({ audit: 'admin', ...ban, ended }, 'banned')
      return { ended }
    },
    async 'ban remove'({ kind, value }) {
      const ban = banned(kind, value)
      const removed = await bans.remove(ban.kind, ban.value)
      log.info({ audit: 'admin', ...ban, removed }, 'ban removed')
      return { removed }
    },
  }
}

function candidate({ id, identity, address }: ClientInfo) {
  return { clientId: id, username: identity.username, address }
}

function banned(kind: unknown, value: unknown): Pick<Ban, 'kind' | 'value'> {
  const known = banKinds.find((candidate) => candidate === kind)
  if (known === undefined || typeof value !== 'string') {
    throw new OrioleError('ORI_BAN_INVALID', 'name a user, a client or an address that is banned')
  }
  return { kind: known, value: checkBan(known, value) }
}
