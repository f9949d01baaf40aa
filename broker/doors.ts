// The doors of the house: all listeners, opened together, and shut while clients are sent to other nodes.
import { resolve } from 'node:path'
import type { Config } from './config/schema.ts'
import type { IncomingConnection, Listener } from './listeners/listener.ts'
import { type ListenerDeps, openListener } from './listeners/open.ts'

export type DoorParts = Pick<ListenerDeps, 'log' | 'counts'> & {
  readonly refuseNow: NonNullable<ListenerDeps['refuseNow']>
  onConnection(connection: IncomingConnection): void
  onRevoked(connections: ReadonlySet<IncomingConnection>): void
}

export class Doors {
  readonly #config: Pick<Config, 'listeners' | 'limits'>
  readonly #parts: DoorParts
  #open: Listener[] = []
  #isShut = false

  constructor(config: Pick<Config, 'listeners' | 'limits'>, parts: DoorParts) {
    this.#config = config
    this.#parts = parts
  }

  /** As in the config; also while they are shut. */
  get listeners(): readonly Listener[] {
    return this.#open
  }

  /** Throws OrioleError when one of them cannot be opened; `close` closes those that were. */
  async open(): Promise<void> {
    const { listeners, limits } = this.#config
    for (const [index, entry] of listeners.entries()) {
      // Where the port was to be any free one, it stays what it was.
      const { port } = this.#open[index] ?? { port: 0 }
      this.#open[index] = await openListener(port === 0 || entry.type === 'unix' ? entry : { ...entry, port }, {
        ...this.#parts,
        limits,
        resolvePath: (path) => resolve(path),
        setting: `listeners.${index}`,
      })
    }
  }

  /** Nobody comes in any more; whoever is inside stays. */
  async shut(): Promise<void> {
    if (this.#isShut) return
    this.#isShut = true
    await this.#closeAll()
  }

  async reopen(): Promise<void> {
    await this.open()
    this.#isShut = false
  }

  async close(): Promise<void> {
    if (!this.#isShut) await this.#closeAll()
  }

  /** The last one that was opened first. */
  async #closeAll(): Promise<void> {
    for (const listener of this.#open.toReversed()) await listener.close()
  }
}
