// Fills a data folder through the store, as many sessions, retained messages and queued messages as a run wants.
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Message } from '../broker/message.ts'
import { createLevelStore } from '../broker/store/level.ts'
import { committed, type Store } from '../broker/store/store.ts'

export interface Fill {
  /** Offline persistent sessions; each has two filters with QoS 1. */
  readonly sessions?: number
  /** The two filters of session `n`; else its own inbox, and a room that it shares with 99 others. */
  readonly filtersOf?: (n: number) => readonly string[]
  readonly retained?: number
  /** Else `site/N/x/temperature`, in groups of 100 for each site. */
  readonly retainedTopicOf?: (n: number) => string
  readonly retainedPayloadBytes?: number
}

/** Writes in steps, so that memory stays small; the folder is new. */
export async function fillStore(path: string, fill: Fill): Promise<void> {
  const store = createLevelStore({
    path,
    durability: 'os',
    limits: { queueMessages: 1_000_000, queueBytes: 1_073_741_824, queueAgeS: 86_400 },
    log: { debug() {}, info() {}, warn() {}, error: (fields, phrase) => console.error(phrase, fields) },
  })
  await store.open()
  try {
    await addSessions(store, fill)
    await addRetained(store, fill)
  } finally {
    await store.close()
  }
}

async function addSessions(store: Store, { sessions = 0, filtersOf = usualFilters }: Fill): Promise<void> {
  const now = Date.now()
  for (let n = 0; n < sessions; n += 1) {
    const clientId = `client-${n}`
    store.putSession({
      clientId,
      username: `user-${n}`,
      expiryS: 604_800,
      disconnectedAt: now - (n % 3_600_000),
      createdAt: now - 86_400_000,
    })
    for (const filter of filtersOf(n)) {
      store.putSubscription(clientId, {
        filter,
        qos: 1,
        noLocal: false,
        retainAsPublished: false,
        retainHandling: 0,
        subscriptionId: undefined,
        since: 0,
        retainedPending: false,
        keptUntil: 0,
      })
    }
    store.putCursor(clientId, { position: 0, done: [], inflight: [] })
    if (n % 5_000 === 4_999) await written(store)
  }
  await written(store)
}

async function addRetained(store: Store, fill: Fill): Promise<void> {
  const { retained = 0, retainedTopicOf = usualTopic, retainedPayloadBytes = 64 } = fill
  const payload = Buffer.alloc(retainedPayloadBytes, 'r')
  for (let n = 0; n < retained; n += 1) {
    store.putRetained(retainedMessage(retainedTopicOf(n), payload, n))
    if (n % 5_000 === 4_999) await written(store)
  }
  await written(store)
}

function usualFilters(n: number): readonly string[] {
  return [`im/u/user-${n}/#`, `im/g/room-${Math.floor(n / 100)}/#`]
}

function usualTopic(n: number): string {
  return `site/${Math.floor(n / 100)}/x/sensor-${n % 100}`
}

function retainedMessage(topic: string, payload: Buffer, n: number): Message {
  return {
    topic,
    payload,
    qos: 1,
    retain: true,
    properties: undefined,
    clientId: `device-${n}`,
    username: `user-${Math.floor(n / 100)}`,
    publishedAt: Date.now(),
    expiresAt: undefined,
  }
}

async function written(store: Store): Promise<void> {
  await committed(store)
  await nextTurn()
}
