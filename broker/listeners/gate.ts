// The accept limits of one listener: who may come in, before a byte is read.
import type { AcceptConfig } from '../config/schema.ts'
import type { ConnectionRefusal } from './listener.ts'

/** Addresses remembered within one second; above it the second starts anew, so that the memory stays bounded. */
const recentAddressesMax = 100_000

type GateLimits = Pick<AcceptConfig, 'connectionsMax' | 'connectionsPerAddress' | 'perAddressPerS'>

export class Gate {
  readonly #limits: GateLimits
  #open = 0
  /** Only addresses with an open connection stand here. */
  readonly #openByAddress = new Map<string, number>()
  readonly #recentByAddress = new Map<string, number>()
  #second = 0

  constructor(limits: GateLimits) {
    this.#limits = limits
  }

  /** A socket was accepted. The answer is why it may not stay; else `leave` must follow once. */
  enter(): ConnectionRefusal | undefined {
    const { connectionsMax } = this.#limits
    if (connectionsMax > 0 && this.#open >= connectionsMax) return 'limit'
    this.#open++
    return undefined
  }

  leave(): void {
    this.#open--
  }

  /** Its real address is known; "" (a Unix socket) is not limited. Without a refusal `leaveAddress` must follow once. */
  enterAddress(address: string, nowMs: number): ConnectionRefusal | undefined {
    if (address === '') return undefined
    const { connectionsPerAddress, perAddressPerS } = this.#limits
    if (perAddressPerS > 0 && this.#countRecent(address, nowMs) > perAddressPerS) return 'address_rate'
    if (connectionsPerAddress === 0) return undefined
    const open = this.#openByAddress.get(address) ?? 0
    if (open >= connectionsPerAddress) return 'address_limit'
    this.#openByAddress.set(address, open + 1)
    return undefined
  }

  leaveAddress(address: string): void {
    const open = this.#openByAddress.get(address)
    if (open === undefined) return
    if (open === 1) this.#openByAddress.delete(address)
    else this.#openByAddress.set(address, open - 1)
  }

  /** A fixed window of one second: one lookup for each connection and nothing to sweep. */
  #countRecent(address: string, nowMs: number): number {
    const second = Math.floor(nowMs / 1000)
    if (second !== this.#second || this.#recentByAddress.size >= recentAddressesMax) {
      this.#second = second
      this.#recentByAddress.clear()
    }
    const count = (this.#recentByAddress.get(address) ?? 0) + 1
    this.#recentByAddress.set(address, count)
    return count
  }
}
