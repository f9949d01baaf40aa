// aedes' persistence contract, served on our store, for extensions that ask `broker.persistence`.
import { Readable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Store } from '../store/store.ts'
import type { Packet } from './aedes-types.ts'
import { toMessage, toPacket } from './aedes-types.ts'
import type { Sessions } from './sessions.ts'

/** Sessions, queues and wills live in our own connection and store; what aedes' core asks of them is empty here. */
export class AedesPersistence {
  readonly #store: Store
  readonly #sessions: Sessions

  constructor(store: Store, sessions: Sessions) {
    this.#store = store
    this.#sessions = sessions
  }

  /** aedes demands a native async method. */
  async setup(): Promise<void> {}

  async storeRetained(packet: Packet): Promise<void> {
    this.#store.putRetained(toMessage(packet, ''))
  }

  createRetainedStreamCombi(filters: readonly string[]): Readable {
    const store = this.#store
    return Readable.from(
      (async function* () {
        for (const filter of filters) {
          for (const message of store.matchRetained(filter)) {
            if (message === undefined) await nextTurn()
            else if (message.payload !== undefined) yield toPacket(message)
            else {
              const loaded = await store.loadRetained(message.topic)
              if (loaded !== undefined) yield toPacket(loaded)
            }
          }
        }
      })(),
    )
  }

  async subscriptionsByClient(client: { readonly id: string }): Promise<{ topic: string; qos: number }[]> {
    const subscriptions = this.#sessions.get(client.id)?.subscriptions.values() ?? []
    return [...subscriptions].map(({ record }) => ({ topic: record.filter, qos: record.qos }))
  }

  /** Empty: a stale-will sweep of aedes ends the process when a will is refused. Our wills are published by Wills. */
  async *streamWill(): AsyncGenerator<never> {}
}
