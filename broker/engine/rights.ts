// Rights that change while clients are connected: who they are is made anew, and what they hold is asked for again.
import { isDeepStrictEqual } from 'node:util'
import type { DeliveryHouse } from '../delivery/house.ts'
import type { Session } from '../delivery/session.ts'
import { errorText } from '../errors.ts'
import type { ClientInfo, Identity, RightsChange } from '../plugin.ts'
import type { Connection } from '../protocol/connection.ts'
import { reason } from '../protocol/reason-codes.ts'
import { reauthorize } from '../protocol/reauthorize.ts'
import { askAway } from './away-members.ts'
import { credentialsOf } from './credentials-of.ts'

/** So long the loop is kept from others, at most, by questions that are answered at once. */
const sliceMs = 4
/** Connections whose questions wait for plugins; a backend that is asked for each is not asked for all at once. */
const askedAtOnce = 100
/** Members that are away for whom plugins failed, one after the other: then the plugins are left alone for a while. */
const failuresMax = 10
const retryMs = 30_000

export interface RightsHouse extends DeliveryHouse {
  /** All of whom it is known who they are. */
  known(): Iterable<Connection>
  readonly sessions: { awake(): Iterable<Session> }
}

/** For all connections of one change together: the loop has its turn in between. */
class Slices {
  #endsAt = performance.now() + sliceMs
  #pause: Promise<void> | undefined

  /** Undefined: go on. */
  readonly pause = (): Promise<void> | undefined => {
    if (this.#pause === undefined && performance.now() < this.#endsAt) return undefined
    this.#pause ??= new Promise((resolve) => {
      setImmediate(() => {
        this.#pause = undefined
        this.#endsAt = performance.now() + sliceMs
        resolve()
      })
    })
    return this.#pause
  }
}

export class Rights {
  readonly #house: RightsHouse
  /** Members that are away and could not be asked. */
  readonly #unknown = new Set<Session>()
  #retry: NodeJS.Timeout | undefined
  #isStopped = false

  constructor(house: RightsHouse) {
    this.#house = house
  }

  /** Every answer that was asked for before counts no more. Never rejects. */
  async changed(affects: (client: ClientInfo) => boolean = everybody): Promise<RightsChange> {
    this.#house.hooks.rights.version += 1
    this.#house.counts.rightsChanges += 1
    const change = { clients: 0, asked: 0, ended: 0, disconnected: 0 }
    const slices = new Slices()
    // What was answered just now by the old rules has its place when the walk begins.
    await nextTurn()
    await eachInSlices([...this.#house.known()], slices, (connection) => {
      if (connection.closed || !this.#isAffected(connection.info, affects)) return undefined
      change.clients += 1
      return this.#ask(connection, change, slices)
    })
    // Behind the others: who lost all just now is away by now, too.
    await this.#askAway(this.#house.sessions.awake(), affects, slices, Number.POSITIVE_INFINITY)
    this.#house.log.info({ audit: 'rights', ...change }, 'rights asked again')
    return change
  }

  /** Rights may have changed while the broker did not run. Never rejects. */
  started(): Promise<void> {
    return this.#askAway(this.#house.sessions.awake(), everybody, new Slices(), failuresMax)
  }

  stop(): void {
    clearTimeout(this.#retry)
    this.#isStopped = true
  }

  /**
   * Those of these sessions that are members of shared groups and away. One whose plugin fails keeps its turns until the
   * plugin answers: at a start, what that asks may not run yet. After `failuresInRow` the plugins are left alone for a
   * while; then those come first that were not asked.
   */
  async #askAway(
    sessions: Iterable<Session>,
    affects: (client: ClientInfo) => boolean,
    slices: Slices,
    failuresInRow: number,
  ): Promise<void> {
    let failures = 0
    const failed: Session[] = []
    const left: Session[] = []
    await eachInSlices(sessions, slices, (session) => {
      const { lastClient } = session
      if (lastClient === undefined || !this.#isAffected(lastClient, affects)) return undefined
      if (failures >= failuresInRow || this.#isStopped) {
        left.push(session)
        return undefined
      }
      return this.#askMember(session).then((isKnown) => {
        failures = isKnown ? 0 : failures + 1
        if (!isKnown) failed.push(session)
      })
    })
    if (failed.length > 0) this.#askLater([...left, ...failed])
  }

  #askLater(members: readonly Session[]): void {
    for (const session of members) this.#unknown.add(session)
    if (this.#retry !== undefined || this.#isStopped) return
    this.#house.log.warn({ retryMs }, 'rights of members that are away could not be asked; they are asked again')
    this.#retry = setTimeout(() => {
      this.#retry = undefined
      const again = [...this.#unknown]
      this.#unknown.clear()
      void this.#askAway(again, everybody, new Slices(), failuresMax)
    }, retryMs).unref()
  }

  /** A plugin says who the client is now. */
  async changeIdentity(connection: Connection, identity: Identity): Promise<void> {
    const { hooks, log } = this.#house
    hooks.rights.version += 1
    const plugin = hooks.proofOf(connection.info.identity)?.plugin ?? ''
    const answer = await hooks.accept({ identity, plugin }, credentialsOf(connection.info))
    if (connection.closed) return
    if ('deny' in answer) return this.#end(connection, answer.deny)
    await renew(connection, answer.identity)
    const { asked, ended } = connection.connected ? await reauthorize(connection) : { asked: 0, ended: 0 }
    log.info({ audit: 'rights', clientId: connection.id, asked, ended }, 'identity changed')
  }

  /** One that throws speaks of everybody. */
  #isAffected(client: ClientInfo, affects: (client: ClientInfo) => boolean): boolean {
    try {
      return affects(client)
    } catch (error) {
      this.#house.log.error({ error: errorText(error) }, 'a plugin could not say whose rights change')
      return true
    }
  }

  async #ask(connection: Connection, change: Mutable<RightsChange>, { pause }: Slices): Promise<void> {
    const { hooks, log } = this.#house
    const { info } = connection
    try {
      const proof = hooks.proofOf(info.identity)
      const answer = proof && (await hooks.identify(proof, credentialsOf(info)))
      if (connection.closed) return
      if (answer !== undefined && 'deny' in answer) {
        change.disconnected += 1
        this.#end(connection, answer.deny)
        return
      }
      if (answer !== undefined) await renew(connection, answer.identity)
      if (!connection.connected) return
      const { asked, ended } = await reauthorize(connection, pause)
      change.asked += asked
      change.ended += ended
    } catch (error) {
      // What cannot be asked is not granted.
      log.error({ clientId: info.id, error: errorText(error) }, 'rights could not be asked again')
      change.disconnected += 1
      connection.end(reason.unspecifiedError, 'rights could not be asked again')
    }
  }

  async #askMember(session: Session): Promise<boolean> {
    try {
      return await askAway(this.#house, session)
    } catch (error) {
      const { clientId } = session
      this.#house.log.error({ clientId, error: errorText(error) }, 'rights of a member that is away could not be asked')
      return true
    }
  }

  /** Nobody vouches for it any more; its will is refused for the same reason when it fires. */
  #end(connection: Connection, because: string): void {
    this.#house.log.info({ audit: 'rights', clientId: connection.id, because }, 'identity withdrawn')
    connection.end(reason.notAuthorized, 'not authorized any more')
  }
}

/** `ask` never rejects; undefined: there is nothing to ask of this one. */
async function eachInSlices<One>(
  all: Iterable<One>,
  slices: Slices,
  ask: (one: One) => Promise<void> | undefined,
): Promise<void> {
  const waiting = new Set<Promise<void>>()
  for (const one of all) {
    await slices.pause()
    const work = ask(one)?.finally(() => waiting.delete(work!))
    if (work !== undefined) waiting.add(work)
    if (waiting.size >= askedAtOnce) await Promise.race(waiting)
  }
  await Promise.all(waiting)
}

/** What was answered just now to the one before has its place when it returns. */
async function renew(connection: Connection, identity: Identity): Promise<void> {
  if (isDeepStrictEqual(identity, connection.info.identity)) return
  connection.renewed(identity)
  await nextTurn()
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] }

function everybody(): boolean {
  return true
}
