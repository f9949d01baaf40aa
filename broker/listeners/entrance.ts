// What every listener does with a socket that it accepted: limits first, then the PROXY header, then the next stage.
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { addressList, plainAddress } from '../address.ts'
import type { LimitsConfig, ListenerConfig } from '../config/schema.ts'
import { errorText, OrioleError } from '../errors.ts'
import type { PluginLog } from '../plugin.ts'
import { Arrival, type ArrivalOwner } from './arrival.ts'
import { Gate } from './gate.ts'
import type { ConnectionRefusal, IncomingConnection, ListenerCounts, OnConnection } from './listener.ts'
import { type ProxySource, readProxyHeader } from './proxy-protocol.ts'
import { RefusalLog } from './refusal-log.ts'

export interface ListenerDeps {
  readonly limits: Pick<LimitsConfig, 'packetMaxBytes' | 'connectTimeoutMs'>
  readonly log: PluginLog
  readonly resolvePath: (path: string) => string
  readonly onConnection: OnConnection
  readonly counts: ListenerCounts
  /** Where this listener stands in the config, for messages: `listeners.0`. */
  readonly setting?: string
  /** Asked at each accept: why nobody may come in now (limits of the whole broker). */
  readonly refuseNow?: () => ConnectionRefusal | undefined
  /** The certificates of these were revoked: whoever can tell them so does, and they are cut soon. */
  readonly onRevoked?: (connections: ReadonlySet<IncomingConnection>) => void
}

/** TLS, or WebSocket, or the hand-over itself. */
export type EnterStage = (arrival: Arrival, stream: Duplex) => void

export interface Stage {
  readonly enter: EnterStage
  close(): void
}

export class Entrance implements ArrivalOwner {
  readonly listener: string
  readonly #timeoutMs: number
  readonly #config: ListenerConfig
  readonly #deps: ListenerDeps
  readonly #enterStage: EnterStage
  readonly #gate: Gate
  readonly #isTrustedProxy: (address: string) => boolean
  readonly #refusalLog: RefusalLog
  /** Not yet handed over, the oldest first; each leaves at its deadline. */
  readonly #arrivals = new Set<Arrival>()
  /** Of the oldest one: one timer for all of them. */
  #deadline: NodeJS.Timeout | undefined

  /** Throws ORI_CONFIG_INVALID for an entry of `trustedProxies` that is no address. */
  constructor(config: ListenerConfig, deps: ListenerDeps, enterStage: EnterStage) {
    this.listener = config.name
    this.#timeoutMs = deps.limits.connectTimeoutMs
    this.#config = config
    this.#deps = deps
    this.#enterStage = enterStage
    this.#gate = new Gate(config.accept)
    this.#isTrustedProxy = trustedProxies(config, deps)
    this.#refusalLog = new RefusalLog(deps.log, config.name)
  }

  accept(socket: Socket): void {
    // The reason of a broken socket is heard by whoever holds the stream; without a listener it would end the process.
    socket.on('error', ignore)
    const address = plainAddress(socket.remoteAddress)
    const refusal = this.#deps.refuseNow?.() ?? this.#gate.enter()
    if (refusal !== undefined) {
      this.#count(refusal, address, undefined)
      socket.destroy()
      return
    }
    const arrival = new Arrival(socket, address, this)
    // The client was gone before we looked: without an address it would pass for a Unix socket.
    if (address === '' && this.#config.type !== 'unix') arrival.refuse('aborted', undefined)
    else if (this.#config.proxyProtocol) this.#askProxy(arrival)
    else this.#admit(arrival)
    if (!arrival.settled) this.#await(arrival)
  }

  /** Cuts all that were not handed over. */
  close(): void {
    clearTimeout(this.#deadline)
    for (const arrival of this.#arrivals) arrival.refuse('aborted', 'the broker stops')
  }

  onReady(connection: IncomingConnection): void {
    this.#deps.counts.connectionsOpened++
    try {
      this.#deps.onConnection(connection)
    } catch (error) {
      this.#deps.log.error({ listener: this.listener, error: errorText(error) }, 'connection failed at its start')
      connection.stream.destroy()
    }
  }

  onRefused(arrival: Arrival, reason: ConnectionRefusal, detail: string | undefined): void {
    this.#count(reason, arrival.address, detail)
  }

  onSettled(arrival: Arrival): void {
    this.#arrivals.delete(arrival)
  }

  onClosed({ address, counted }: Arrival): void {
    this.#gate.leave()
    if (counted) this.#gate.leaveAddress(address)
  }

  /** A connection that the operating system could not give us, for want of file descriptors for example. */
  acceptFailed(error: unknown): void {
    this.#count('system', '', errorText(error))
  }

  #askProxy(arrival: Arrival): void {
    if (!this.#isTrustedProxy(arrival.address)) {
      arrival.refuse('proxy', 'not in trustedProxies')
      return
    }
    const onHeader = (source: ProxySource | undefined): void => {
      if (source !== undefined) {
        arrival.address = source.address
        arrival.port = source.port
      }
      this.#admit(arrival)
    }
    readProxyHeader(arrival.socket, onHeader, (detail) => arrival.refuse('proxy', detail))
  }

  /** The real address is known. */
  #admit(arrival: Arrival): void {
    const { address } = arrival
    const refusal = this.#gate.enterAddress(address, performance.now())
    if (refusal !== undefined) {
      arrival.refuse(refusal, undefined)
      return
    }
    arrival.counted = true
    this.#enterStage(arrival, arrival.socket)
  }

  #await(arrival: Arrival): void {
    this.#arrivals.add(arrival)
    this.#deadline ??= setTimeout(() => this.#cutLate(), this.#timeoutMs)
  }

  /** Those who were refused and told why, and do not go, are cut too. */
  #cutLate(): void {
    this.#deadline = undefined
    for (const arrival of this.#arrivals) {
      const leftMs = arrival.acceptedAt + this.#timeoutMs - Date.now()
      if (leftMs > 0) {
        this.#deadline = setTimeout(() => this.#cutLate(), leftMs)
        return
      }
      arrival.refuse('timeout', undefined)
    }
  }

  #count(reason: ConnectionRefusal, address: string, detail: string | undefined): void {
    this.#deps.counts.connectionsRefused[reason]++
    this.#refusalLog.note(reason, address, detail)
  }
}

/** No list: all who can reach a listener that asks for the header. A Unix socket is reached by its owner only. */
function trustedProxies(config: ListenerConfig, deps: ListenerDeps): (address: string) => boolean {
  const entries = config.accept.trustedProxies
  if (entries.length === 0 || config.type === 'unix') return () => true
  try {
    return addressList(entries)
  } catch (error) {
    const text = `"${errorText(error)}" is neither an address nor a CIDR range (listener "${config.name}")`
    const setting = `${deps.setting ?? 'listeners'}.accept.trustedProxies`
    throw new OrioleError('ORI_CONFIG_INVALID', `${text}; set ${setting}`, { cause: error })
  }
}

function ignore(): void {}
