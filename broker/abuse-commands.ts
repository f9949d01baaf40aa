// What an admin does about clients, over the socket in the data folder: kick and ban. Each leaves a line for the audit.
import type { ControlCommand } from './admin/control.ts'
import { type Ban, type Bans, banKinds, candidateOf, checkBan } from './bans.ts'
import type { Cluster } from './cluster/cluster.ts'
import { OrioleError } from './errors.ts'
import type { ClientInfo, PluginLog } from './plugin.ts'

export interface Desk {
  readonly bans: Bans
  readonly log: PluginLog
  /** Ends the connections that fit; how many. */
  end(fits: (client: ClientInfo) => boolean, phrase: string): number
  /** Undefined: the broker is alone. */
  readonly cluster: Cluster | undefined
}

export function abuseCommands({ bans, log, end, cluster }: Desk): Readonly<Record<string, ControlCommand>> {
  return {
    async kick({ client, user }) {
      const ended = end(({ id, identity }) => id === client || identity.username === user, 'kicked by an admin')
      log.info({ audit: 'admin', client, user, ended }, 'kicked')
      const whom = { client: textOf(client), user: textOf(user) }
      return { ended, others: (await cluster?.operations.kickElsewhere(whom)) ?? [] }
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
      const { word, stored } = bans.add(ban)
      const ended = end((client) => bans.find(candidateOf(client)) !== undefined, 'banned')
      await stored
      log.info({ audit: 'admin', ...ban, ended }, 'banned')
      return { ended, others: (await cluster?.bans.tell([word])) ?? [] }
    },
    async 'ban remove'({ kind, value }) {
      const ban = banned(kind, value)
      const word = await bans.remove(ban.kind, ban.value)
      const removed = word !== undefined
      log.info({ audit: 'admin', ...ban, removed }, 'ban removed')
      return { removed, others: (word && (await cluster?.bans.tell([word]))) ?? [] }
    },
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function banned(kind: unknown, value: unknown): Pick<Ban, 'kind' | 'value'> {
  const known = banKinds.find((candidate) => candidate === kind)
  if (known === undefined || typeof value !== 'string') {
    throw new OrioleError('ORI_BAN_INVALID', 'name a user, a client or an address that is banned')
  }
  return { kind: known, value: checkBan(known, value) }
}
