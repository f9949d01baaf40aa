// Ended in order or killed, again and again, with the same node id: what is old comes before what is new, and all of it.
import assert from 'node:assert/strict'
import { createLevelStore } from '../../broker/store/level.ts'
import type { Cleanup } from '../helpers/broker.ts'
import type { Random } from '../helpers/random.ts'
import { readAll, recordLog } from '../helpers/store.ts'
import { diskBroker, roomyLimits } from './disk-broker.ts'
import { checkOrder } from './order.ts'
import { SteadyClient } from './steady-client.ts'

const filter = 'order/#'
const messagesMax = 200

export interface RestartReport {
  readonly restarts: number
  readonly killed: number
  readonly published: number
  /** How often a QoS 1 message came again; that is allowed. */
  readonly again: number
}

/** Throws AssertionError when a promise is broken. */
export async function restartRun(t: Cleanup, random: Random, restarts: number): Promise<RestartReport> {
  const { port, dataPath, start } = await diskBroker(t)
  let broker = await start()
  const publisher = new SteadyClient(port, 'publisher')
  // One is away all the time, one comes and reads everything now and then, so that nothing is left of the log.
  const away = new OrderedReader(port, 'away')
  const visiting = new OrderedReader(port, 'visiting')
  t.after(() => {
    for (const client of [publisher, away.client, visiting.client]) client.destroy()
  })
  const hasAway = random.chance()
  for (const reader of hasAway ? [away, visiting] : [visiting]) {
    await reader.connect()
    await reader.client.subscribe(filter, 2)
    await reader.client.disconnect()
  }

  let published = 0
  let killed = 0
  const publishSome = async (): Promise<void> => {
    const sending: Promise<void>[] = []
    for (let left = 1 + random.below(messagesMax); left > 0; left -= 1) {
      sending.push(publisher.publish('order/a', `${published}`, published % 2 === 0 ? 2 : 1))
      published += 1
    }
    // Sometimes it is ended with messages on their way: they are sent again, before anything new.
    if (random.chance()) await Promise.all(sending)
    else await sending[random.below(sending.length)]
  }
  for (let restart = 0; restart < restarts; restart += 1) {
    await publisher.connect()
    await publishSome()
    if (random.chance()) {
      await visiting.connect()
      if (random.chance()) await visiting.upTo(published - 1)
      if (random.chance()) await visiting.client.disconnect()
    }
    const signal = random.pick(['SIGTERM', 'SIGKILL'] as const)
    if (signal === 'SIGKILL') killed += 1
    assert.equal(await broker.kill(signal), signal === 'SIGTERM' ? 0 : signal, broker.output())
    await Promise.all([publisher.ended(), visiting.client.ended()])
    broker = await start()
  }

  await publisher.connect()
  await publishSome()
  // Everything that came before is acknowledged before this one.
  await publisher.publish('order/a', `${published}`, published % 2 === 0 ? 2 : 1)
  published += 1
  await publisher.disconnect()
  if (hasAway) {
    assert.equal(await broker.kill('SIGTERM'), 0, broker.output())
    await checkLog(dataPath, published)
    broker = await start()
  }
  let again = 0
  for (const reader of hasAway ? [away, visiting] : [visiting]) {
    await reader.connect()
    await reader.upTo(published - 1)
    again += reader.check(published)
    await reader.client.disconnect()
  }
  assert.equal(await broker.kill('SIGTERM'), 0, broker.output())
  return { restarts, killed, published, again }
}

/** Nobody has read for `away`: the log holds everything from the first message on, in its order. */
async function checkLog(path: string, published: number): Promise<void> {
  const store = createLevelStore({ path, durability: 'disk', limits: roomyLimits, log: recordLog() })
  await store.open()
  try {
    const { payloads, sequences } = await readAll(store, [{ stream: filter, after: 0 }], 1_000)
    checkOrder('the log', payloads.map(Number), published)
    for (const [index, sequence] of sequences.entries()) assert.ok(sequence > (sequences[index - 1] ?? 0))
    assert.ok(store.lastSequence >= sequences.at(-1)!)
  } finally {
    await store.close()
  }
}

class OrderedReader {
  readonly client: SteadyClient
  #wasHere = false

  constructor(port: number, clientId: string) {
    this.client = new SteadyClient(port, clientId)
  }

  async connect(): Promise<void> {
    await this.client.connect()
    assert.equal(this.client.sessionPresent, this.#wasHere, `the session of ${this.client.clientId} is gone`)
    this.#wasHere = true
  }

  async upTo(number: number): Promise<void> {
    const { received } = this.client
    const last = `${number}`
    let looked = 0
    await this.client.until(() => {
      while (looked < received.length && received[looked]!.text !== last) looked += 1
      return looked < received.length
    })
  }

  /** Returns how many came again. */
  check(published: number): number {
    const { received, clientId } = this.client
    const exact = received.filter(({ text, qos }) => qos === 2 || Number(text) % 2 === 0).map(({ text }) => text)
    assert.equal(new Set(exact).size, exact.length, `${clientId} got a QoS 2 message twice`)
    const numbers = received.map(({ text }) => Number(text))
    return checkOrder(clientId, numbers, published)
  }
}
