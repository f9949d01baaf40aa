// One subscriber of a hot topic stops reading. The others do not notice; it is parked at its mark, and when it reads
// again it gets every QoS 1 message that was acknowledged to a publisher, in order.
import assert from 'node:assert/strict'
import { setTimeout as wait } from 'node:timers/promises'
import type { Cleanup } from '../helpers/broker.ts'
import { atMost, type CrowdBroker, connectAll, memoryMb, startCrowdBroker, until } from './crowd.ts'
import { Latencies, numberOf, stamped } from './latencies.ts'
import { LightClient } from './light-client.ts'

export interface FrozenOptions {
  readonly subscribers: number
  /** How long it does not read. */
  readonly frozenS: number
  /** On the hot topic. */
  readonly perS: number
  /** For the 99th percentile of the others. */
  readonly p99MaxMs: number
}

export interface FrozenReport {
  readonly qos: 0 | 1
  readonly p99BeforeMs: number
  readonly p99FrozenMs: number
  readonly delivered: number
  /** To the frozen one, after it reads again. */
  readonly later: number
  readonly memoryMb: number
}

/** Large messages that only the frozen one gets, so that its buffers fill up in any case, also the kernel's. */
const fillerBytes = 32 * 1024
/** More than the buffers of two sockets in the kernel take. */
const fillerMessages = 1_250
const lowBytes = 256 * 1024

export async function frozenRun(t: Cleanup, options: FrozenOptions): Promise<FrozenReport[]> {
  return [await oneRun(t, 0, options), await oneRun(t, 1, options)]
}

async function oneRun(t: Cleanup, qos: 0 | 1, options: FrozenOptions): Promise<FrozenReport> {
  const limits = `{ outputLowBytes: ${lowBytes}, queueMessages: 1000000, queueBytes: 4000000000 }`
  const crowd = await startCrowdBroker(t, { limits })
  const report = await crowd.during(measure(t, crowd, qos, options))
  await crowd.broker.kill('SIGTERM')
  return report
}

async function measure(t: Cleanup, crowd: CrowdBroker, qos: 0 | 1, options: FrozenOptions): Promise<FrozenReport> {
  const { broker, port } = crowd
  const latencies = new Latencies()
  let delivered = 0
  const others = await connectAll(
    t,
    Array.from({ length: options.subscribers - 1 }, (_, index) => ({ port, clientId: `other ${index}` })),
  )
  for (const other of others) {
    other.onMessage = (_topic, payload) => {
      delivered += 1
      latencies.note(payload)
    }
  }
  await Promise.all(others.map((other) => other.subscribe('hot', qos)))

  const received = { hot: [] as number[], filler: [] as number[] }
  const frozen = new LightClient({ port, clientId: 'frozen', clean: false })
  const publisher = new LightClient({ port, clientId: 'publisher' })
  t.after(() => frozen.destroy())
  t.after(() => publisher.destroy())
  frozen.onMessage = (topic, payload) => received[topic.length === 3 ? 'hot' : 'filler'].push(numberOf(payload))
  await frozen.connect()
  await frozen.subscribe('hot', qos)
  await frozen.subscribe('filler', qos)
  await publisher.connect()

  const load = startLoad(publisher, qos, options.perS, fillerMessages / options.frozenS)
  t.after(() => load.stop())
  // The same load while it reads: what is looked for is what its silence does.
  load.fill(true)
  const measuredS = Math.max(2, options.frozenS / 3)
  await wait(measuredS * 1000)
  const p99BeforeMs = latencies.percentile(0.99)
  latencies.clear()

  frozen.freeze()
  await wait(options.frozenS * 1000)
  load.fill(false)
  const p99FrozenMs = latencies.percentile(0.99)
  const usedMb = await memoryMb(broker.child.pid)
  load.stop()
  await until('the publisher is acknowledged', () => publisher.unacknowledged === 0, 60_000)
  assert.ok(
    p99FrozenMs < atMost(options.p99MaxMs, p99BeforeMs),
    `p99 of the others: ${p99FrozenMs} ms, before ${p99BeforeMs} ms`,
  )

  assert.ok(received.filler.length < load.sent.filler, 'it got everything while it was frozen')
  const hotBefore = received.hot.length
  if (!frozen.isConnected) await frozen.connect()
  frozen.thaw()
  if (qos === 1) await gets(frozen, received, load.acknowledged)
  else await until('QoS 0 comes again', () => received.hot.length > hotBefore, 30_000)
  if (qos === 0) assert.ok(received.filler.length < load.sent.filler, 'nothing was dropped: it was not slow')
  assert.ok(usedMb < 400, `${usedMb} MB`)
  const later = received.hot.length - hotBefore
  for (const client of [...others, frozen, publisher]) client.destroy()
  return { qos, p99BeforeMs, p99FrozenMs, delivered, later, memoryMb: usedMb }
}

interface Counted {
  hot: number
  filler: number
}

interface Load {
  readonly sent: Counted
  readonly acknowledged: Counted
  fill(on: boolean): void
  stop(): void
}

function startLoad(publisher: LightClient, qos: 0 | 1, perS: number, fillerPerS: number): Load {
  const sent = { hot: 0, filler: 0 }
  const acknowledged = { hot: 0, filler: 0 }
  let filling = false
  const owed = { hot: 0, filler: 0 }
  let lastAt = performance.now()
  const send = (topic: 'hot' | 'filler', bytes: number): void => {
    const payload = stamped(sent[topic], bytes)
    sent[topic] += 1
    if (qos === 0) publisher.publish(topic, payload)
    else
      void publisher.publishAcknowledged(topic, payload).then(() => {
        acknowledged[topic] += 1
      })
  }
  const timer = setInterval(() => {
    const now = performance.now()
    const seconds = (now - lastAt) / 1000
    lastAt = now
    owed.hot += seconds * perS
    owed.filler += filling ? seconds * fillerPerS : 0
    for (; owed.hot >= 1; owed.hot -= 1) send('hot', 64)
    for (; owed.filler >= 1; owed.filler -= 1) send('filler', fillerBytes)
  }, 5)
  return {
    sent,
    acknowledged,
    fill: (on) => {
      filling = on
    },
    stop: () => clearInterval(timer),
  }
}

/** Each number at least once, and for the first time in its order. */
async function gets(frozen: LightClient, received: Record<keyof Counted, number[]>, wanted: Counted): Promise<void> {
  const isThere = (topic: keyof Counted): boolean => new Set(received[topic]).size >= wanted[topic]
  await until(
    'the frozen one gets what it missed',
    async () => {
      if (!frozen.isConnected) await frozen.connect()
      return isThere('hot') && isThere('filler')
    },
    120_000,
  ).catch((error: unknown) => {
    const got = `${new Set(received.hot).size}, ${new Set(received.filler).size}`
    throw new Error(`it got ${got} of ${wanted.hot}, ${wanted.filler}`, { cause: error })
  })
  for (const numbers of Object.values(received)) {
    const first = [...new Set(numbers)]
    assert.deepEqual(
      first,
      first.map((_, index) => index),
      'not in order',
    )
  }
}
