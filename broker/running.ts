// What the command line knows of a running broker.
import type { Config } from './config/schema.ts'
import type { Listener } from './listeners/listener.ts'

export interface Running {
  readonly config: Config
  readonly listeners: readonly Listener[]
  /** Undefined when the admin listener is off. */
  readonly adminUrl?: string | undefined
  /** Only when it was made at this start. */
  readonly adminPassword?: string | undefined
  /** What plugins want the person at the terminal to know, one line each. */
  readonly announcements?: readonly string[] | undefined
  /** Undefined when nothing is kept on disk. */
  readonly dataDir?: string | undefined
  /** Resolves when the clients and sessions of this node are at other nodes: it is to be stopped. Else never. */
  readonly drained?: Promise<void> | undefined
  /** `now`: tells nobody, but flushes. */
  stop(options?: { readonly now?: boolean }): Promise<void>
}
