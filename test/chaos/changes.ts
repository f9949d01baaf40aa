// Subscriptions and retained messages that change all the time, one after the other, and a model of what is promised.
import assert from 'node:assert/strict'
import type { Random } from '../helpers/random.ts'
import type { SteadyClient } from './steady-client.ts'

const names = 20

export class Changes {
  count = 0
  readonly #client: SteadyClient
  readonly #random: Random
  readonly #filters = new Set<string>()
  readonly #retained = new Map<string, string>()
  /** What was asked for and not acknowledged when the broker was killed: either is right. */
  #open: { readonly name: string; readonly wanted: string | undefined } | undefined
  #stop = () => {}

  constructor(client: SteadyClient, random: Random) {
    this.#client = client
    this.#random = random
  }

  /** Until it is stopped: the connection is gone by then. */
  async run(): Promise<void> {
    const stopped = new Promise<'stopped'>((resolve) => {
      this.#stop = () => resolve('stopped')
    })
    for (;;) {
      const name = `${this.#random.pick(['filter', 'kept'])}/${this.#random.below(names)}`
      const wanted = this.#random.chance(3) ? undefined : `${this.#random.below(1_000_000)}`
      this.#open = { name, wanted }
      if ((await Promise.race([this.#change(name, wanted), stopped])) === 'stopped') return
      this.#open = undefined
      this.count += 1
      this.#note(name, wanted)
    }
  }

  stop(): void {
    this.#stop()
  }

  /** Throws AssertionError when other subscriptions are there than were acknowledged. */
  check(clientId: string, filters: readonly string[]): void {
    const model = new Set(this.#filters)
    if (this.#open?.name.startsWith('filter/')) {
      if (filters.includes(this.#open.name)) model.add(this.#open.name)
      else model.delete(this.#open.name)
    }
    assert.deepEqual([...filters].sort(), [...model].sort(), `subscriptions of ${clientId}`)
  }

  checkRetained(retained: ReadonlyMap<string, string>): void {
    const model = new Map(this.#retained)
    if (this.#open?.name.startsWith('kept/') && retained.get(this.#open.name) === this.#open.wanted) {
      this.#note(this.#open.name, this.#open.wanted, model)
    }
    assert.deepEqual([...retained].sort(), [...model].sort(), 'retained messages')
  }

  #change(name: string, wanted: string | undefined): Promise<void> {
    if (name.startsWith('kept/')) return this.#client.publish(name, wanted ?? '', 1, true)
    return wanted === undefined ? this.#client.unsubscribe(name) : this.#client.subscribe(name, 1)
  }

  #note(name: string, wanted: string | undefined, retained = this.#retained): void {
    if (name.startsWith('kept/')) {
      if (wanted === undefined) retained.delete(name)
      else retained.set(name, wanted)
    } else if (wanted === undefined) this.#filters.delete(name)
    else this.#filters.add(name)
  }
}
