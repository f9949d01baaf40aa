// The broker: aedes' core with our own connections, sessions and delivery behind it. The only room that knows aedes.
import { Aedes } from 'aedes'
import type { Bans } from '../bans.ts'
import type { Cluster, ClusterHouse } from '../cluster/cluster.ts'
import type { LimitsConfig } from '../config/schema.ts'
import type { Subscription } from '../delivery/subscription.ts'
import type { HookRunner } from '../hooks.ts'
import type { IncomingConnection } from '../listeners/listener.ts'
import type { Message, QoS } from '../message.ts'
import type { Counts } from '../metrics/counts.ts'
import type { ClientInfo, Identity, PluginLog, RightsChange } from '../plugin.ts'
import type { Connection } from '../protocol/connection.ts'
import { reason } from '../protocol/reason-codes.ts'
import { Router } from '../router/router.ts'
import type { ShareStrategy } from '../router/share-group.ts'
import type { Recovered, Store } from '../store/store.ts'
import { type Packet, toMessage, toPacket } from './aedes-types.ts'
import { makeClusterHouse } from './cluster-house.ts'
import { Dispatcher } from './dispatcher.ts'
import type { Engine, LiveClient } from './engine.ts'
import { LiveBus } from './live-bus.ts'
import { AedesPersistence } from './persistence.ts'
import { expiryStepMs, Reception } from './reception.ts'
import { giveBackSpace } from './space.ts'

export interface BrokerParts {
  readonly node: string
  readonly limits: LimitsConfig
  readonly shareStrategy: ShareStrategy
  readonly hooks: HookRunner
  readonly counts: Counts
  readonly store: Store
  readonly bans: Bans
  readonly log: PluginLog
  /** Undefined: the broker is alone. */
  readonly cluster?: Cluster | undefined
}

type Done = (error?: Error) => void

const tickMs = 1_000
const checkpointMs = 200
const spaceEveryMs = 5_000
/** The longest that fits a timer when aedes multiplies it by four. */
const heartbeatMs = 500_000_000

export class Broker extends Aedes implements Engine {
  readonly reception: Reception
  readonly dispatcher: Dispatcher
  /** aedes' `mq`: in-process listeners of extensions. */
  readonly bus: LiveBus
  readonly #parts: BrokerParts
  readonly #router: Router<Subscription>
  readonly #timers: NodeJS.Timeout[] = []
  #givingBack = false

  constructor(parts: BrokerParts) {
    const bus = new LiveBus()
    const router = new Router<Subscription>(parts.shareStrategy)
    const dispatcher = new Dispatcher(router, parts.cluster)
    const reception = new Reception(parts, dispatcher, router)
    const persistence = new AedesPersistence(parts.store, reception.sessions)
    // The core's own heartbeat goes to `$SYS` and wakes its sweep of stale wills; both have nothing to do here.
    super({ id: parts.node, mq: bus, persistence, heartbeatInterval: heartbeatMs })
    this.#parts = parts
    this.#router = router
    const { cluster } = parts
    if (cluster !== undefined) router.watcher = (filter) => cluster.routing.changed(filter)
    this.bus = bus
    this.dispatcher = dispatcher
    this.reception = reception
    // aedes makes `handle` a field that answers a Client; of a client its core asks only what Connection has.
    this.handle = ((stream: IncomingConnection['stream']) =>
      this.accept({
        stream,
        listener: '',
        address: '',
        port: 0,
        certificate: undefined,
        acceptedAt: Date.now(),
      })) as unknown as Aedes['handle']
    bus.onEmit = (message) => dispatcher.publish(message, undefined, ignore)
    const listens = (): boolean => !bus.idle || this.listenerCount('publish') > 0
    reception.enter({
      get listens() {
        return listens()
      },
      told: (message, client) => this.#told(message, client),
      emitEvent: (event, connection) => this.emit(event as 'client', connection as never),
      changed: (connected) => {
        this.connectedClients = connected
      },
    })
  }

  /** Takes up what the store kept, and serves. Instead of aedes' `listen`. */
  async serve(recovered: Recovered): Promise<void> {
    this.reception.recover(recovered)
    await super.listen()
    this.#every(tickMs, () => this.reception.tick(Date.now()))
    this.#every(expiryStepMs, () => this.reception.endExpired(Date.now()))
    this.#every(checkpointMs, () => this.reception.checkpoint())
    this.#every(spaceEveryMs, () => this.#giveBack())
  }

  /** Members of shared groups that are away, whose rights may have changed while the broker did not run. Never rejects. */
  askMembersAgain(): Promise<void> {
    return this.reception.rights.started()
  }

  /** What the other nodes may ask of this one. */
  clusterHouse(): ClusterHouse {
    return makeClusterHouse(this.#parts.store, this.#router, this.dispatcher, this.reception, (fits, phrase) =>
      this.endAll(fits, phrase),
    )
  }

  /** A connection of a listener. */
  accept(incoming: IncomingConnection): Connection {
    return this.reception.accept(incoming)
  }

  /** aedes' contract: publishes in the name of the broker. `done` is called when it is stored as its QoS asks. */
  override publish(packet: Packet, client?: unknown, done?: Done): void {
    const callback = (typeof client === 'function' ? client : done) as Done | undefined
    // Heartbeats and births of the core concern nobody: there is one way between nodes, and it is not `$SYS`.
    if (packet.topic.startsWith(`$SYS/${this.id}/`)) {
      callback?.()
      return
    }
    this.publishMessage(toMessage(packet, ''), callback)
  }

  publishMessage(message: Message, done?: Done): void {
    this.reception.publish(message, undefined, (error) => done?.(error))
  }

  /** The clients of whom it is known who they are, as plugins see them; most are connected. */
  *clientInfos(): IterableIterator<ClientInfo> {
    for (const connection of this.reception.known()) if (!connection.closed) yield connection.info
  }

  *liveClients(): IterableIterator<LiveClient> {
    for (const connection of this.reception.known()) {
      if (connection.closed || !connection.connected) continue
      const { info, session } = connection
      const proven = this.#parts.hooks.proofOf(info.identity)?.identity ?? info.identity
      yield { info, proven, filters: () => filtersOf(session.subscriptions.values()) }
    }
  }

  /** Also one that is on its way in. */
  disconnect(clientId: string, phrase: string): boolean {
    const found = [...this.reception.identifiedAs(clientId)]
    for (const connection of found) connection.end(reason.administrativeAction, phrase)
    return found.length > 0
  }

  /** Ends those who fit, whether they have a session yet or not; how many. */
  endAll(fits: (client: ClientInfo) => boolean, phrase: string): number {
    const ending = [...this.reception.known()].filter((connection) => !connection.closed && fits(connection.info))
    for (const connection of ending) connection.end(reason.administrativeAction, phrase)
    return ending.length
  }

  rightsChanged(affects?: (client: ClientInfo) => boolean): Promise<RightsChange> {
    return this.reception.rights.changed(affects)
  }

  changeIdentity(clientId: string, identity: Identity): boolean {
    const found = [...this.reception.identifiedAs(clientId)].filter(
      ({ info }) => info.identity.username === identity.username,
    )
    for (const connection of found) {
      this.reception.rights.changeIdentity(connection, identity).catch((error: unknown) => {
        this.#parts.log.error({ clientId, error: String(error) }, 'an identity could not be changed')
        connection.end(reason.unspecifiedError, 'the identity could not be changed')
      })
    }
    return found.length > 0
  }

  /** Tells the clients, and closes the store once everything is written. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer)
    this.reception.rights.stop()
    this.reception.moving.stop()
    this.reception.close()
    await new Promise<void>((resolve) => super.close(() => resolve()))
    await this.flush()
  }

  /** Writes all that is not written, and closes the store: nothing is acknowledged any more. */
  async flush(): Promise<void> {
    this.reception.checkpoint()
    await this.#parts.store.close()
  }

  #told(message: Message, client: ClientInfo | undefined): void {
    if (!this.bus.idle) this.bus.tell(message)
    if (this.listenerCount('publish') > 0) this.emit('publish', toPacket(message) as never, client as never)
  }

  #every(ms: number, work: () => void): void {
    this.#timers.push(setInterval(work, ms))
  }

  #giveBack(): void {
    if (this.#givingBack) return
    this.#givingBack = true
    const { sessions, shadows } = this.reception
    giveBackSpace(this.#parts.store, sessions, shadows)
      .catch((error: unknown) => this.#parts.log.error({ error: String(error) }, 'giving back space failed'))
      .finally(() => {
        this.#givingBack = false
      })
  }
}

function ignore(): void {}

function* filtersOf(subscriptions: Iterable<Subscription>): IterableIterator<{ filter: string; qos: QoS }> {
  for (const { filter, record } of subscriptions) yield { filter, qos: record.qos }
}
