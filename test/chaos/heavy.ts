// Large messages that keep the disk busy: while they are written, whatever is answered too early is not on it yet.
import assert from 'node:assert/strict'
import { SteadyClient } from './steady-client.ts'

/** Enough at once for some milliseconds. */
const burst = 16
const payloadBytes = 250_000

/** A publisher, and a reader that is away. */
export class HeavyLoad {
  static readonly filter = 'heavy'
  readonly publisher: SteadyClient
  readonly reader: SteadyClient
  readonly #sent: Promise<void>[] = []

  constructor(port: number) {
    this.publisher = new SteadyClient(port, 'heavy publisher')
    this.reader = new SteadyClient(port, 'heavy reader')
  }

  async begin(): Promise<void> {
    await this.reader.connect()
    await this.reader.subscribe(HeavyLoad.filter, 1)
    await this.reader.disconnect()
    await this.publisher.connect()
  }

  /** Resolves when so many of them are acknowledged, at most 16; the others are still on their way. */
  async sendUntilAcknowledged(count: number): Promise<void> {
    const enough = this.publisher.acknowledged + Math.min(count, burst)
    for (let n = 0; n < burst; n += 1) {
      const payload = `${this.#sent.length}`.padEnd(payloadBytes)
      this.#sent.push(this.publisher.publish(HeavyLoad.filter, payload, 1))
    }
    await this.publisher.until(() => this.publisher.acknowledged >= enough)
  }

  /** Everything that was sent has to be acknowledged by now, or to be on its way. Throws AssertionError. */
  async check(): Promise<void> {
    await Promise.all(this.#sent)
    await this.publisher.publish(HeavyLoad.filter, 'end', 1)
    await this.publisher.disconnect()
    await this.reader.connect()
    await this.reader.until(() => this.reader.received.at(-1)?.text === 'end')
    await this.reader.disconnect()
    const numbers = new Set(this.reader.received.map(({ text }) => Number(text)))
    for (const number of this.#sent.keys()) assert.ok(numbers.has(number), `large message ${number} is lost`)
  }

  destroy(): void {
    this.publisher.destroy()
    this.reader.destroy()
  }
}
