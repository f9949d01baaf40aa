// kill -9 of a broker at a random moment under load; afterwards everything is compared with what was promised.
import assert from 'node:assert/strict'
import { setTimeout as wait } from 'node:timers/promises'
import { createLevelStore } from '../../broker/store/level.ts'
import type { Cleanup } from '../helpers/broker.ts'
import type { Random } from '../helpers/random.ts'
import { matchedBy, recordLog } from '../helpers/store.ts'
import { Changes } from './changes.ts'
import { diskBroker, roomyLimits } from './disk-broker.ts'
import { HeavyLoad } from './heavy.ts'
import { SteadyClient } from './steady-client.ts'

const window = 100
const topics = ['load/a', 'load/b']
/** Session to its filters; each session gets every message exactly once by them. */
const readers: Readonly<Record<string, readonly string[]>> = {
  'offline 0': ['load/#'],
  'offline 1': topics,
  'offline 2': ['load/+', 'load/a'],
  'live 0': ['load/#'],
  'live 1': topics,
}

export interface KillReport {
  readonly acknowledged: number
  /** How often a QoS 1 message came again; that is allowed. */
  readonly again: number
  readonly changes: number
}

/**
 * Killed `kills` times. The last time, and before it every second time, large messages keep the disk busy, and it is
 * killed right at an acknowledgement: what was answered and not handed to the disk is lost with it. Throws
 * AssertionError when a promise is broken.
 */
export async function killRun(t: Cleanup, random: Random, messages: number, kills = 3): Promise<KillReport> {
  const { port, dataPath, start } = await diskBroker(t)
  let broker = await start()
  const clients = await makeReaders(t, port)
  const publisher = await connected(t, port, 'publisher')
  const heavy = new HeavyLoad(port)
  t.after(() => heavy.destroy())
  await heavy.begin()
  const changer = await connected(t, port, 'changer')
  const changes = new Changes(changer, random)
  const staying = [...clients.filter(({ isConnected }) => isConnected), publisher, heavy.publisher]

  const kill = async (): Promise<void> => {
    await broker.kill('SIGKILL')
    await Promise.all([...staying, changer].map((client) => client.ended()))
    changes.stop()
    broker = await start()
    for (const client of staying) await resume(client)
  }
  const acknowledgements = (count: number) => publisher.until(() => publisher.acknowledged >= Math.min(count, messages))
  const killing = async (): Promise<void> => {
    const moments = Array.from({ length: kills }, () => random.below(messages)).sort((a, b) => b - a)
    for (let moment = moments.pop(); moment !== undefined; moment = moments.pop()) {
      await acknowledgements(moment)
      if (moments.length % 2 === 0) {
        await heavy.sendUntilAcknowledged(1 + random.below(10))
      } else await wait(random.below(5))
      await kill()
    }
    changes.stop()
  }
  await Promise.all([sendAll(publisher, messages), killing(), changes.run()])

  for (const client of clients) if (!client.isConnected) await resume(client)
  for (const topic of topics) await publisher.publish(topic, 'end', 1)
  let again = 0
  for (const client of clients) {
    await client.until(() => client.received.filter(({ text }) => text === 'end').length === topics.length)
    again += checkReader(client, messages)
    await client.disconnect()
  }
  await heavy.check()
  await publisher.disconnect()
  assert.equal(await broker.kill('SIGTERM'), 0, broker.output())
  await checkStore(dataPath, changes)
  return { acknowledged: publisher.acknowledged, again, changes: changes.count }
}

async function resume(client: SteadyClient): Promise<void> {
  await client.connect()
  assert.equal(client.sessionPresent, true, `the session of ${client.clientId} is gone`)
}

async function connected(t: Cleanup, port: number, clientId: string): Promise<SteadyClient> {
  const client = new SteadyClient(port, clientId)
  t.after(() => client.destroy())
  await client.connect()
  return client
}

async function makeReaders(t: Cleanup, port: number): Promise<SteadyClient[]> {
  const clients: SteadyClient[] = []
  for (const [clientId, filters] of Object.entries(readers)) {
    const client = await connected(t, port, clientId)
    for (const filter of filters) await client.subscribe(filter, 2)
    if (clientId.startsWith('offline')) await client.disconnect()
    clients.push(client)
  }
  return clients
}

/** Odd numbers with QoS 1, even ones with QoS 2; so many on their way at once. */
async function sendAll(publisher: SteadyClient, messages: number): Promise<void> {
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < messages) {
      const number = next
      next += 1
      await publisher.publish(topics[Math.floor(number / 2) % 2]!, `${number}`, number % 2 === 1 ? 1 : 2)
    }
  }
  await Promise.all(Array.from({ length: window }, lane))
}

/** Returns how often a QoS 1 message came again. */
function checkReader({ clientId, received }: SteadyClient, messages: number): number {
  const times = new Map<number, number>()
  const last = new Map<string, number>()
  for (const { topic, text, qos } of received) {
    if (text === 'end') continue
    const number = Number(text)
    assert.equal(qos, number % 2 === 1 ? 1 : 2)
    const before = times.get(number) ?? 0
    times.set(number, before + 1)
    if (before > 0) continue
    const lane = `${topic} ${qos}`
    assert.ok(number > (last.get(lane) ?? -1), `${clientId}: ${number} came after ${last.get(lane)}`)
    last.set(lane, number)
  }
  let again = 0
  for (let number = 0; number < messages; number += 1) {
    const count = times.get(number) ?? 0
    assert.ok(count > 0, `${clientId} never got message ${number}`)
    if (number % 2 === 0) assert.equal(count, 1, `${clientId} got message ${number}, QoS 2, ${count} times`)
    again += count - 1
  }
  return again
}

/** Sessions, subscriptions and retained messages on disk are those that were acknowledged. */
async function checkStore(path: string, changes: Changes): Promise<void> {
  const log = recordLog()
  const store = createLevelStore({ path, durability: 'disk', limits: roomyLimits, log })
  const { sessions } = await store.open()
  try {
    const found = new Map(
      [...sessions].map(({ session, subscriptions }) => [session.clientId, subscriptions.map(({ filter }) => filter)]),
    )
    for (const [clientId, filters] of Object.entries(readers)) {
      assert.deepEqual(found.get(clientId)?.sort(), [...filters].sort(), `subscriptions of ${clientId}`)
      found.delete(clientId)
    }
    const others = { publisher: [], 'heavy publisher': [], 'heavy reader': [HeavyLoad.filter] }
    for (const [clientId, filters] of Object.entries(others)) {
      assert.deepEqual(found.get(clientId), filters, `subscriptions of ${clientId}`)
      found.delete(clientId)
    }
    changes.check('changer', found.get('changer') ?? [])
    found.delete('changer')
    assert.deepEqual([...found.keys()], [], 'sessions that nobody made')
    changes.checkRetained(new Map(matchedBy(store, '#').map(({ topic, payload }) => [topic, payload.toString()])))
    assert.deepEqual(log.errors, [])
  } finally {
    await store.close()
  }
}
