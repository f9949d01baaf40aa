// How fast the clients of one user, and of one group, may publish together: they share what a single client has alone.
import type { LimitsConfig } from '../config/schema.ts'
import type { Identity } from '../plugin.ts'
import type { Connection } from '../protocol/connection.ts'
import { type Pace, paceOf } from '../protocol/pace.ts'

interface Shared {
  readonly pace: Pace
  /** Connections that hold it: a user who is gone is forgotten, and begins anew. */
  holders: number
}

export class Paces {
  readonly #limits: LimitsConfig
  readonly #byUser = new Map<string, Shared>()
  readonly #byGroup: ReadonlyMap<string, Pace>
  /** The user whose pace a connection holds. */
  readonly #held = new WeakMap<Connection, string>()

  constructor(limits: LimitsConfig) {
    this.#limits = limits
    const groups = Object.entries(limits.perGroup).flatMap(([group, each]) => {
      const pace = paceOf(each, 'group')
      return pace === undefined ? [] : [[group, pace] as const]
    })
    this.#byGroup = new Map(groups)
  }

  /** Those of the identity of now. Whoever calls it calls `letGo` when the connection is gone. */
  take(connection: Connection, { username, groups }: Identity): void {
    this.letGo(connection)
    const ofUser = username === '' ? undefined : this.#ofUser(connection, username)
    const paces = groups.flatMap((group) => this.#byGroup.get(group) ?? [])
    if (ofUser !== undefined) paces.push(ofUser)
    if (paces.length > 0 || connection.intake.sharedPaces.length > 0) connection.intake.sharedPaces = paces
  }

  letGo(connection: Connection): void {
    const username = this.#held.get(connection)
    const shared = username === undefined ? undefined : this.#byUser.get(username)
    if (username === undefined || shared === undefined) return
    this.#held.delete(connection)
    shared.holders -= 1
    if (shared.holders === 0) this.#byUser.delete(username)
  }

  #ofUser(connection: Connection, username: string): Pace | undefined {
    const known = this.#byUser.get(username)
    const pace = known?.pace ?? paceOf(this.#limits.perUser, 'user')
    if (pace === undefined) return undefined
    const shared = known ?? { pace, holders: 0 }
    shared.holders += 1
    this.#byUser.set(username, shared)
    this.#held.set(connection, username)
    return pace
  }
}
