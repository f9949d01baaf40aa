// Wills: kept from CONNECT on, published once when their client is gone, also when it died with the broker
// (MQTT-3.1.2-7 … -10, MQTT-3.1.3-9).
import type { ClusterWills } from '../cluster/cluster.ts'
import { Fifo } from '../delivery/fifo.ts'
import type { HookRunner } from '../hooks.ts'
import type { Message } from '../message.ts'
import type { Counts } from '../metrics/counts.ts'
import type { ClientInfo, Decision, PluginLog } from '../plugin.ts'
import { clientInfoOf } from '../protocol/former-client.ts'
import { publishedNow } from '../protocol/will-message.ts'
import type { Store, WillRecord } from '../store/store.ts'
import { Deadlines } from './deadlines.ts'

/** How long wills are published before others have their turn. */
const turnMs = 10

export interface WillsHouse {
  readonly store: Store
  readonly hooks: HookRunner
  readonly counts: Counts
  readonly log: PluginLog
  readonly cluster: ClusterWills | undefined
  publish(message: Message): void
}

interface Armed {
  readonly clientId: string
  readonly will: WillRecord
  readonly info: ClientInfo
  /** Other nodes must be asked first; false: one of them has published it. */
  mayPublish?: Promise<boolean> | undefined
}

export class Wills {
  readonly #house: WillsHouse
  readonly #armed = new Map<string, Armed>()
  readonly #due = new Deadlines<Armed>()
  /** To be published; those who left together take turns with the living. They are in the store until then. */
  readonly #fired = new Fifo<Armed>()
  #publishing = false

  constructor(house: WillsHouse) {
    this.#house = house
  }

  /** The client with this will is connected now. */
  arm(info: ClientInfo, will: WillRecord, sessionExpiryS: number): void {
    this.#armed.set(info.id, { clientId: info.id, will, info })
    this.#house.store.putWill(info.id, will)
    this.#house.cluster?.put(info.id, { ...will, delayS: Math.min(will.delayS, sessionExpiryS) })
  }

  /** What the store kept: those clients died with the broker. Whose session is gone waits no longer. */
  recover(wills: ReadonlyMap<string, WillRecord>, sessionExpiryS: (clientId: string) => number): void {
    const now = Date.now()
    for (const [clientId, will] of wills) {
      const armed = { clientId, will, info: clientInfoOf(clientId, will) }
      this.#armed.set(clientId, armed)
      const delayS = Math.min(will.delayS, sessionExpiryS(clientId))
      this.#delay(armed, Math.min(will.firesAt ?? Number.POSITIVE_INFINITY, now + delayS * 1000))
    }
  }

  /** The client said goodbye, or came back in time (MQTT-3.1.2-10, MQTT-3.1.3-9). */
  disarm(clientId: string): void {
    const armed = this.#armed.get(clientId)
    if (armed === undefined) return
    this.#armed.delete(clientId)
    this.#due.clear(armed)
    this.#house.store.deleteWill(clientId)
    this.#house.cluster?.delete(clientId)
  }

  /** Of a client of another node, which is gone. */
  publish(clientId: string, will: WillRecord): void {
    this.#ask({ clientId, will, info: clientInfoOf(clientId, will) })
  }

  /** The connection is gone without a goodbye. The will waits no longer than its session (MQTT-3.1.3.2.2). */
  release(clientId: string, sessionExpiryS: number): void {
    const armed = this.#armed.get(clientId)
    if (armed === undefined) return
    const delayS = Math.min(armed.will.delayS, sessionExpiryS)
    if (delayS === 0) this.fire(clientId)
    else this.#delay(armed, Date.now() + delayS * 1000)
  }

  /** Publishes the will, if there is one, in the next turn of the loop. */
  fire(clientId: string): void {
    const armed = this.#armed.get(clientId)
    if (armed === undefined) return
    this.#armed.delete(clientId)
    this.#due.clear(armed)
    // In the order in which they fire, and before the next will of this client is put there.
    armed.mayPublish = this.#house.cluster?.take(clientId)
    this.#fired.push(armed)
    if (this.#publishing) return
    this.#publishing = true
    setImmediate(() => this.#publishSome())
  }

  fireDue(now: number): void {
    for (const armed of this.#due.due(now)) this.fire(armed.clientId)
  }

  #delay(armed: Armed, firesAt: number): void {
    this.#due.set(armed, firesAt)
    const will = { ...armed.will, firesAt }
    this.#house.store.putWill(armed.clientId, will)
    this.#house.cluster?.put(armed.clientId, will)
  }

  /** Ten thousand who leave at once cost their wills a second, and nobody else more than a turn. */
  #publishSome(): void {
    const endsAt = performance.now() + turnMs
    do {
      const armed = this.#fired.shift()
      if (armed === undefined) {
        this.#publishing = false
        return
      }
      if (armed.mayPublish === undefined) this.#ask(armed)
      else void armed.mayPublish.then((may) => (may ? this.#ask(armed) : this.#forget(armed.clientId)))
    } while (performance.now() < endsAt)
    setImmediate(() => this.#publishSome())
  }

  /** Rights may have changed since CONNECT, and who the client is: asked again. The hooks never throw. */
  #ask(armed: Armed): void {
    const { hooks } = this.#house
    if (hooks.isCurrent(armed.info.identity)) this.#askRight(armed)
    else void this.#identify(armed).then((now) => now && this.#askRight(now))
  }

  /** Who it is by now; undefined: nobody any more, and the will is refused. */
  async #identify({ clientId, will, info }: Armed): Promise<Armed | undefined> {
    const { hooks } = this.#house
    const proof = hooks.proofOf(info.identity) ?? { identity: will.identity, plugin: will.provenBy }
    const { username } = info.identity
    const { address, listener, protocolVersion } = info
    const credentials = { clientId, username, address, listener, protocolVersion }
    const answer = await hooks.identify(proof, { ...credentials, password: undefined, certificate: undefined })
    if ('deny' in answer) this.#refuse(clientId, will, answer.deny)
    else return { clientId, will, info: { ...info, identity: answer.identity } }
    return undefined
  }

  #askRight(armed: Armed): void {
    const { topic, qos, retain } = armed.will.message
    const decision = this.#house.hooks.authorizePublish(armed.info, { topic, qos, retain, will: true })
    if (decision instanceof Promise) void decision.then((answer) => this.#decided(armed, answer))
    else this.#decided(armed, decision)
  }

  #refuse(clientId: string, { message }: WillRecord, because: string): void {
    this.#house.counts.aclDenied.will += 1
    this.#house.log.info({ audit: 'refusal', clientId, topic: message.topic, because }, 'will refused')
    this.#forget(clientId)
  }

  #decided({ clientId, will, info }: Armed, decision: Decision): void {
    const { message } = will
    if (!decision.allow) {
      this.#refuse(clientId, will, decision.because)
      return
    }
    const { onPublish } = this.#house.hooks
    const changed = onPublish === undefined ? publishedNow(message) : onPublish(publishedNow(message), info)
    if (changed instanceof Promise) void changed.then((answer) => this.#publish(clientId, answer))
    else this.#publish(clientId, changed)
  }

  /** Null: a plugin dropped it. */
  #publish(clientId: string, message: Message | null): void {
    if (message !== null) {
      this.#house.counts.willsPublished += 1
      this.#house.publish(message)
    }
    this.#forget(clientId)
  }

  /** In the same batch as the published message: a crash neither loses the will nor publishes it again. */
  #forget(clientId: string): void {
    // The client may have come back with another will, which replaced this one in the store.
    if (!this.#armed.has(clientId)) this.#house.store.deleteWill(clientId)
  }
}
