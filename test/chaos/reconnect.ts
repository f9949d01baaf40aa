// All devices come back at once after a restart of the broker, with their tokens and their sessions, while others
// publish: how long until the last one is served, and what the others notice.
import assert from 'node:assert/strict'
import { setTimeout as wait } from 'node:timers/promises'
import { makeToken } from '../../broker/password.ts'
import type { Cleanup } from '../helpers/broker.ts'
import type { Random } from '../helpers/random.ts'
import { type CrowdBroker, connectAll, startCrowdBroker, startPairs, until } from './crowd.ts'
import { LightClient } from './light-client.ts'

export interface ReconnectOptions {
  readonly devices: number
  /** For the last device, from the moment when all begin. */
  readonly servedMaxMs: number
  /** Of those who publish meanwhile. */
  readonly p99MaxMs: number
}

export interface ReconnectReport {
  readonly devices: number
  readonly restartMs: number
  /** From the first connect to CONNACK of half of the devices, and of the last. */
  readonly halfServedMs: number
  readonly allServedMs: number
  /** Connects that the broker or the system refused, and that were tried again. */
  readonly retries: number
  readonly p99BeforeMs: number
  readonly p99Ms: number
  readonly publishedMeanwhile: number
}

const pairs = 20
const perS = 20

/** Throws AssertionError when a promise is broken. */
export async function reconnectRun(t: Cleanup, random: Random, options: ReconnectOptions): Promise<ReconnectReport> {
  const names = Array.from({ length: options.devices }, (_, index) => `device${index}`)
  const tokens = names.map(() => makeToken())
  const users = names.map((name, index) => `${name}: "${tokens[index]!.hash}"\n`).join('')
  const first = await startCrowdBroker(t, {
    plugins: '[auth-file: { users: users.yaml, admin: false }, auth-anonymous, acl-open]',
    files: { 'users.yaml': users },
  })
  const { port } = first
  const options0 = names.map((name, index) => {
    const password = tokens[index]!.token
    return { port, clientId: name, clean: false, username: name, password }
  })
  const devices = await first.during(connectAll(t, options0))
  const received = new Set<string>()
  for (const device of devices) device.onMessage = () => received.add(device.clientId)
  await first.during(Promise.all(devices.map((device) => device.subscribe(`cmd/${device.clientId}`, 1))))
  const stopping = performance.now()
  await first.broker.kill('SIGTERM')
  const second = await first.restart()
  const restartMs = round(performance.now() - stopping)
  const report = await second.during(measure(t, second, random, devices))
  const told = JSON.stringify({ ...report, restartMs })
  await second.during(checkSessions(t, second, devices, received))
  assert.ok(report.allServedMs < options.servedMaxMs, `served too late: ${told}`)
  assert.ok(report.p99Ms < options.p99MaxMs, `the others waited: ${told}`)
  for (const device of devices) device.destroy()
  await second.broker.kill('SIGTERM')
  return { ...report, restartMs }
}

async function measure(
  t: Cleanup,
  { port }: CrowdBroker,
  random: Random,
  devices: readonly LightClient[],
): Promise<Omit<ReconnectReport, 'restartMs'>> {
  const load = await startPairs(t, port, pairs, perS)
  await wait(2_000)
  const p99BeforeMs = load.latencies.percentile(0.99)
  load.latencies.clear()

  const startedAt = performance.now()
  const servedAt: number[] = []
  let retries = 0
  const comeBack = async (device: LightClient): Promise<void> => {
    for (let pauseMs = 500; ; pauseMs = Math.min(pauseMs * 2, 8_000)) {
      try {
        await device.connect()
        assert.equal(device.sessionPresent, true, `${device.clientId} lost its session`)
        servedAt.push(performance.now() - startedAt)
        return
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error
        retries += 1
        await wait(pauseMs + random.below(pauseMs))
      }
    }
  }
  await Promise.all(devices.map(comeBack))
  // What was published while they came is on its way.
  await wait(500)
  load.stop()
  await until(
    'the pairs are acknowledged',
    () => load.pairs.every(({ publisher }) => publisher.unacknowledged === 0),
    30_000,
  )
  await until('what was acknowledged arrives', () => load.pairs.every(({ lost }) => lost === 0), 30_000)
  for (const pair of load.pairs) pair.destroy()
  return {
    devices: devices.length,
    halfServedMs: round(servedAt[Math.floor(servedAt.length / 2)] ?? 0),
    allServedMs: round(servedAt.at(-1) ?? 0),
    retries,
    p99BeforeMs,
    p99Ms: load.latencies.percentile(0.99),
    publishedMeanwhile: load.latencies.count,
  }
}

/** Their subscriptions are there too: a message reaches each. */
async function checkSessions(
  t: Cleanup,
  { port }: CrowdBroker,
  devices: readonly LightClient[],
  received: ReadonlySet<string>,
): Promise<void> {
  const sender = new LightClient({ port, clientId: 'sender' })
  t.after(() => sender.destroy())
  await sender.connect()
  const hello = Buffer.from('hello')
  for (let at = 0; at < devices.length; at += 100) {
    await Promise.all(
      devices.slice(at, at + 100).map((one) => sender.publishAcknowledged(`cmd/${one.clientId}`, hello)),
    )
  }
  await until('each device gets its message', () => received.size === devices.length, 30_000)
}

function round(ms: number): number {
  return Math.round(ms)
}
