// What whoever owns the data may ask of the running broker, over the socket in the data folder.
import { answer, questionSchema } from './access-question.ts'
import type { ControlCommand } from './admin/control.ts'
import type { Cluster } from './cluster/cluster.ts'
import type { Drain } from './drain.ts'
import { OrioleError } from './errors.ts'
import type { ClientInfo } from './plugin.ts'
import type { LoadedPlugins } from './plugins.ts'
import type { DiskStore } from './store/backup.ts'

/** Clients that are sent to other nodes each second when nobody says how many. */
const drainPerS = 500

export interface CommandParts {
  readonly store: DiskStore
  /** Undefined: the broker is alone. */
  readonly cluster: Cluster | undefined
  readonly drain: Drain
  sessions(): number
  readonly plugins: LoadedPlugins
  clients(): Iterable<ClientInfo>
  /** The drain is over: the broker shall end. */
  onDrained(): void
}

export function createCommands(parts: CommandParts): Readonly<Record<string, ControlCommand>> {
  const { store, cluster, drain, plugins } = parts
  const operations = () => {
    if (cluster !== undefined) return cluster.operations
    throw new OrioleError('ORI_CLUSTER_NONE', 'this broker is in no cluster: its config has no section cluster:')
  }
  return {
    backup: ({ to }, signal) => store.backup(text('to', to), signal),
    'cluster status': async () => operations().status(),
    'cluster forget': async ({ node }) => operations().forget(text('node', node)),
    'acl explain': async ({ question }) => {
      const asked = questionSchema.safeParse(question).data
      if (asked === undefined) throw wrong('question')
      return answer(plugins.access(), asked, parts.clients(), plugins.unasked)
    },
    plan: () => plugins.preview(),
    reload: async () => {
      const [here, others] = await Promise.all([plugins.reload(), cluster?.operations.reloadOthers() ?? []])
      return { ...here, others }
    },
    drain: async ({ perS = drainPerS }, signal) => {
      if (typeof perS !== 'number' || !(perS >= 1)) throw wrong('perS')
      const drained = await drain.run(perS, parts.sessions, signal)
      parts.onDrained()
      return drained
    },
  }
}

function text(field: string, value: unknown): string {
  if (typeof value === 'string') return value
  throw wrong(field)
}

function wrong(field: string): OrioleError {
  return new OrioleError(
    'ORI_CONTROL_FAILED',
    `"${field}" is not what it should be; is the command of another version?`,
  )
}
