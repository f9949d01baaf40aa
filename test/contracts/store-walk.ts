// The part of the store contract that takes a long random walk and compares every step with a naive model.
import assert from 'node:assert/strict'
import type { Store, StreamPosition } from '../../broker/store/store.ts'
import { committed, matchedBy, messageOf, randomOf, readAll, subscriptionOf, testLimits } from '../helpers/store.ts'
import type { MadeStore, StoreTest } from './store.ts'
import { sessionsOf } from './store-survival.ts'

const steps = 1_500
const streamNames = ['a', 'b/#', '+/c', '\0private', 'ü']
const topics = ['a', 'a/b', 'a/b/c', 'b', '/', 'b/', '$x/a', 'a/c']
const filters = ['#', '+', 'a/#', '+/b', 'a/+/c', '/+', '+/', '$x/#', 'b/', '+/a']
const clientIds = ['one', 'two', 'one2']

/** So many drops of a stream are sure to be remembered one by one over a restart; of more, the older ones are blurred. */
const exactDrops = 128

interface ModelStream {
  sequences: number[]
  dropped: number[]
  /** False once more was dropped before a restart than is remembered one by one. */
  isExact: boolean
}

interface Model {
  readonly payloads: Map<number, string>
  readonly streams: Map<string, ModelStream>
  readonly retained: Map<string, string>
  /** Client id to the filters it holds; absent: no session. */
  readonly sessions: Map<string, Set<string>>
}

type Random = (below: number) => number

export function storeWalkContract(test: StoreTest): void {
  test('a random walk agrees with a naive model at every step', async (t, made) => {
    const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31))
    t.diagnostic(`seed ${seed}`)
    try {
      await walk(made, randomOf(seed))
    } catch (error) {
      throw new Error(`the walk with SEED=${seed} failed`, { cause: error })
    }
  })
}

async function walk(made: MadeStore, random: Random): Promise<void> {
  const model: Model = { payloads: new Map(), streams: new Map(), retained: new Map(), sessions: new Map() }
  for (const name of streamNames) model.streams.set(name, { sequences: [], dropped: [], isExact: true })
  let store = made.store
  for (let step = 0; step < steps; step += 1) {
    change(store, model, random)
    const what = random(40)
    if (what < 8) {
      await committed(store)
      await compareRead(store, model, random)
      compareRetained(store, model, random)
    }
    if (what === 39 && made.reopen !== undefined) store = await restart(made.reopen, store, model)
  }
}

function change(store: Store, model: Model, random: Random): void {
  const what = random(20)
  if (what < 10) append(store, model, random)
  else if (what < 12) trim(store, model, random)
  else if (what < 15) retain(store, model, random)
  else changeSession(store, model, random)
}

function append(store: Store, model: Model, random: Random): void {
  const names = streamNames.filter(() => random(3) === 0)
  const payload = `p${random(1_000_000)}`
  const sequence = store.append(messageOf('t', payload), names)
  model.payloads.set(sequence, payload)
  for (const name of names) {
    const stream = model.streams.get(name)!
    stream.sequences.push(sequence)
    if (stream.sequences.length > testLimits.queueMessages) stream.dropped.push(stream.sequences.shift()!)
  }
}

function trim(store: Store, model: Model, random: Random): void {
  const name = streamNames[random(streamNames.length)]!
  const stream = model.streams.get(name)!
  const known = [...stream.dropped, ...stream.sequences]
  const upTo = known.length === 0 ? random(100) : known[random(known.length)]!
  store.trim(name, upTo)
  stream.sequences = stream.sequences.filter((sequence) => sequence > upTo)
  stream.dropped = stream.dropped.filter((sequence) => sequence > upTo)
  if (stream.dropped.length === 0) stream.isExact = true
}

function retain(store: Store, model: Model, random: Random): void {
  const topic = topics[random(topics.length)]!
  const payload = random(3) === 0 ? '' : `r${random(1_000_000)}`
  store.putRetained(messageOf(topic, payload))
  if (payload === '') model.retained.delete(topic)
  else model.retained.set(topic, payload)
}

function changeSession(store: Store, model: Model, random: Random): void {
  const clientId = clientIds[random(clientIds.length)]!
  const held = model.sessions.get(clientId)
  if (held === undefined) {
    store.putSession({ clientId, username: 'u', expiryS: 1, disconnectedAt: undefined, createdAt: 1 })
    model.sessions.set(clientId, new Set())
  } else if (random(6) === 0) {
    store.deleteSession(clientId)
    model.sessions.delete(clientId)
  } else {
    const filter = filters[random(filters.length)]!
    if (random(3) === 0) {
      store.deleteSubscription(clientId, filter)
      held.delete(filter)
    } else {
      store.putSubscription(clientId, subscriptionOf(filter))
      held.add(filter)
    }
  }
}

async function compareRead(store: Store, model: Model, random: Random): Promise<void> {
  const positions: StreamPosition[] = []
  for (const stream of streamNames) {
    if (random(2) === 0) continue
    const after = random(2) === 0 ? 0 : random(store.lastSequence + 1)
    const upTo = random(3) === 0 ? random(store.lastSequence + 1) : undefined
    positions.push({ stream, after, upTo })
  }
  const has = new Set<number>()
  for (const sequence of model.payloads.keys()) if (random(10) === 0) has.add(sequence)
  const wanted = new Set<number>()
  const missed = new Set<number>()
  let isExact = true
  for (const { stream, after, upTo = Number.POSITIVE_INFINITY } of positions) {
    const { sequences, dropped, isExact: streamIsExact } = model.streams.get(stream)!
    for (const sequence of sequences) if (sequence > after && sequence <= upTo) wanted.add(sequence)
    for (const sequence of dropped) if (sequence > after && sequence <= upTo && !has.has(sequence)) missed.add(sequence)
    isExact &&= streamIsExact
  }
  for (const sequence of wanted) missed.delete(sequence)
  const inOrder = [...wanted].sort((a, b) => a - b)
  const read = await readAll(store, positions, 1 + random(7), has)
  assert.deepEqual(read.sequences, inOrder)
  assert.deepEqual(
    read.payloads,
    inOrder.map((sequence) => model.payloads.get(sequence)),
  )
  if (isExact) {
    assert.equal(read.skipped, missed.size)
    assert.deepEqual(read.gaps, missedByStream(model, positions, missed))
  }
  const held = [...model.streams].filter(([, { sequences }]) => sequences.length > 0).map(([name]) => name)
  assert.deepEqual([...store.streams()].sort(), held.sort())
}

function missedByStream(
  model: Model,
  positions: readonly StreamPosition[],
  missed: ReadonlySet<number>,
): Record<string, number> {
  const counts = positions.map(({ stream, after, upTo = Number.POSITIVE_INFINITY }) => {
    const { dropped } = model.streams.get(stream)!
    const of = dropped.filter((sequence) => sequence > after && sequence <= upTo && missed.has(sequence))
    return [stream, of.length] as const
  })
  return Object.fromEntries(counts.filter(([, count]) => count > 0))
}

function compareRetained(store: Store, model: Model, random: Random): void {
  const filter = filters[random(filters.length)]!
  const found = matchedBy(store, filter).map(({ topic, payload }) => `${topic} ${payload.toString()}`)
  const wanted = [...model.retained]
    .filter(([topic]) => matches(filter, topic))
    .map(([topic, payload]) => `${topic} ${payload}`)
  assert.deepEqual(found.sort(), wanted.sort(), filter)
  assert.equal(store.retainedCount, model.retained.size)
}

async function restart(reopen: NonNullable<MadeStore['reopen']>, before: Store, model: Model): Promise<Store> {
  const { lastSequence } = before
  for (const stream of model.streams.values()) if (stream.dropped.length > exactDrops) stream.isExact = false
  const { store, recovered } = await reopen()
  assert.ok(store.lastSequence >= lastSequence)
  const found = sessionsOf(recovered).map(({ session, subscriptions }) => [
    session.clientId,
    subscriptions.map(({ filter }) => filter).sort(),
  ])
  const wanted = [...model.sessions].map(([clientId, held]) => [clientId, [...held].sort()])
  assert.deepEqual(found, wanted.sort())
  return store
}

/** MQTT 5.0, 4.7, as slowly and plainly as possible. */
function matches(filter: string, topic: string): boolean {
  if (topic.startsWith('$') && /^[+#]/.test(filter)) return false
  const wanted = filter.split('/')
  const levels = topic.split('/')
  for (let index = 0; index < wanted.length; index += 1) {
    // `a/#` takes `a` too: the level that is missing is the one of `#`.
    if (wanted[index] === '#') return true
    if (index >= levels.length) return false
    if (wanted[index] !== '+' && wanted[index] !== levels[index]) return false
  }
  return levels.length === wanted.length
}
