// The disk is full, then broken, then read-only under a running broker: nothing is promised meanwhile, and it recovers.
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, rmdir, statfs, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import type { BrokerProcess, Cleanup } from '../helpers/broker.ts'
import type { Random } from '../helpers/random.ts'
import { until } from './crowd.ts'
import { diskBroker } from './disk-broker.ts'
import { LightClient } from './light-client.ts'
import { checkOrder } from './order.ts'
import { SteadyClient } from './steady-client.ts'
import { canTrace } from './strace.ts'

const run = promisify(execFile)
const fillFilter = 'fill/#'
/** On their way at once. */
const window = 10
/** Attempts to come back are up to 5 s apart. */
const recoveryMaxMs = 30_000
const failedPhrase = 'nothing can be stored; nothing is acknowledged until it works again'

export interface DiskfullReport {
  readonly faults: readonly string[]
  readonly acknowledged: number
  readonly again: number
}

/** A file system of 16 MB in memory; undefined: this process may not mount one. It is gone after the test. */
export async function smallDisk(t: Cleanup): Promise<string | undefined> {
  const path = await mkdtemp(join(tmpdir(), 'oriole-full-'))
  try {
    await run('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', path])
  } catch {
    await rmdir(path)
    return undefined
  }
  t.after(async () => {
    // Lazily: a process that was just killed may still have files open.
    await run('umount', ['-l', path])
    await rmdir(path)
  })
  return path
}

/** `disk`: of `smallDisk`. Throws AssertionError when a promise is broken. */
export async function diskfullRun(t: Cleanup, random: Random, disk: string): Promise<DiskfullReport> {
  const { port, start } = await diskBroker(t, { dataPath: join(disk, 'data'), admin: true })
  const broker = await start()
  const away = new SteadyClient(port, 'away')
  const filler = new Filler(port)
  t.after(() => {
    for (const client of [away, filler.client]) client.destroy()
  })
  await away.connect()
  await away.subscribe(fillFilter, 2)
  await away.disconnect()
  await filler.client.connect()
  const heartbeat = await startHeartbeat(t, port)

  const faults: Readonly<Record<string, Fault>> = {
    full: () => fillUp(disk, 500_000 + random.below(3_000_000)),
    ...((await canTrace()) && {
      'input/output error': () => failing(broker, 'fsync,fdatasync', 'EIO'),
      'read-only': () => failing(broker, 'fsync,fdatasync,open,openat,rename,unlink,mkdir', 'EROFS'),
    }),
  }
  let failures = 0
  for (const [name, begin] of Object.entries(faults)) {
    const end = await begin()
    failures += 1
    await filler.untilRefused()
    await until(`${name}: /ready says no`, async () => (await readiness(broker)).status === 503, recoveryMaxMs)
    for (let attempt = 0; attempt < 3; attempt += 1) {
      await heartbeat.serves()
      await filler.tryAgain()
    }
    const { status, text } = await readiness(broker)
    assert.equal(status, 503)
    assert.match(text, /storage: cannot write to .*; free space or check the disk/)
    assert.equal(broker.child.exitCode, null, broker.output())
    assert.equal(linesWith(broker, failedPhrase), failures, `${name}: one line in the log`)
    await end()
    await until(`${name}: /ready says yes`, async () => (await readiness(broker)).status === 200, recoveryMaxMs)
    await filler.goOn(20)
  }

  assert.equal(linesWith(broker, '"level":"error"'), failures, broker.output())
  await broker.kill(random.pick(['SIGTERM', 'SIGKILL']))
  const after = await start()
  const again = await checkAway(away, filler)
  await filler.client.ended()
  assert.equal(await after.kill('SIGTERM'), 0, after.output())
  return { faults: Object.keys(faults), acknowledged: filler.sent, again }
}

/** Begins; resolves with what ends it. */
type Fault = () => Promise<() => Promise<void>>

async function fillUp(disk: string, leaveBytes: number): Promise<() => Promise<void>> {
  const path = join(disk, 'ballast')
  const { bavail, bsize } = await statfs(disk)
  await writeFile(path, Buffer.alloc(Math.max(0, bavail * bsize - leaveBytes)))
  return () => rm(path)
}

/** These calls fail with this error, as they do on a broken disk, as long as strace is attached. */
async function failing({ child }: BrokerProcess, calls: string, error: string): Promise<() => Promise<void>> {
  const inject = ['-e', `trace=${calls}`, '-e', `inject=${calls}:error=${error}`]
  const tracer = spawn('strace', ['-f', '-o', '/dev/null', ...inject, '-p', `${child.pid}`], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const ended = once(tracer, 'exit')
  let said = ''
  for await (const line of createInterface({ input: tracer.stderr })) {
    said += `${line}\n`
    if (line.includes('attached')) break
  }
  assert.match(said, /attached/, `strace could not attach to the broker: ${said}`)
  tracer.stderr.resume()
  return async () => {
    tracer.kill('SIGINT')
    await ended
  }
}

async function readiness(broker: BrokerProcess): Promise<{ status: number; text: string }> {
  const [, url] = /"admin":"(http:[^"]+)"/.exec(broker.output())!
  const response = await fetch(`${url}/ready`)
  return { status: response.status, text: await response.text() }
}

function linesWith(broker: BrokerProcess, text: string): number {
  return broker
    .output()
    .split('\n')
    .filter((line) => line.includes(text)).length
}

/** Sends what has to be stored, because a session is away. */
class Filler {
  readonly client: SteadyClient
  sent = 0

  constructor(port: number) {
    this.client = new SteadyClient(port, 'filler')
  }

  async untilRefused(): Promise<void> {
    let isRefused = false
    const lane = async (): Promise<void> => {
      while (!isRefused) await this.#publish()
    }
    for (let n = 0; n < window; n += 1) void lane()
    await this.client.ended()
    isRefused = true
  }

  /** While nothing can be stored it is refused, or let in and ended when it sends again: it is not acknowledged. */
  async tryAgain(): Promise<void> {
    const before = this.client.acknowledged
    await this.client.connect().catch(() => {})
    await this.client.ended()
    assert.equal(this.client.acknowledged, before, 'acknowledged while nothing can be stored')
  }

  async goOn(more: number): Promise<void> {
    await this.client.connect()
    assert.equal(this.client.sessionPresent, true)
    for (let n = 0; n < more; n += 1) void this.#publish()
    await this.client.allAcknowledged()
  }

  /** Even numbers with QoS 2. */
  #publish(): Promise<void> {
    const number = this.sent
    this.sent += 1
    // LevelDB compresses: random, so that it takes room.
    const payload = `${number} ${randomBytes(5_000).toString('hex')}`
    return this.client.publish('fill/up', payload, number % 2 === 0 ? 2 : 1)
  }
}

/** Needs no disk: a subscriber with a clean session, and a publisher with QoS 0 and 1. */
async function startHeartbeat(t: Cleanup, port: number): Promise<{ serves(): Promise<void> }> {
  const subscriber = new LightClient({ port, clientId: 'live subscriber' })
  const publisher = new LightClient({ port, clientId: 'live publisher' })
  t.after(() => {
    for (const client of [subscriber, publisher]) client.destroy()
  })
  const received: string[] = []
  subscriber.onMessage = (_topic, payload) => void received.push(payload.toString())
  await Promise.all([subscriber.connect(), publisher.connect()])
  await subscriber.subscribe('live', 1)
  let count = 0
  return {
    async serves() {
      count += 1
      publisher.publish('live', Buffer.from(`${count} QoS 0`))
      void publisher.publishAcknowledged('live', Buffer.from(`${count} QoS 1`))
      await until('what needs no disk is acknowledged', () => publisher.unacknowledged === 0, 10_000)
      const both = () => received.includes(`${count} QoS 0`) && received.includes(`${count} QoS 1`)
      await until('what needs no disk is delivered', both, 10_000)
    },
  }
}

/** Everything that was acknowledged, in its order; QoS 2 once. Returns how often a QoS 1 message came again. */
async function checkAway(away: SteadyClient, filler: Filler): Promise<number> {
  await away.connect()
  assert.equal(away.sessionPresent, true)
  await away.publish('fill/end', 'end', 1)
  await away.until(() => away.received.at(-1)?.text === 'end')
  await away.disconnect()
  const numbers = away.received.slice(0, -1).map(({ text }) => Number(text.slice(0, text.indexOf(' '))))
  assert.deepEqual(
    [...new Set(numbers)],
    Array.from({ length: filler.sent }, (_, number) => number),
  )
  const exact = numbers.filter((number) => number % 2 === 0)
  assert.equal(new Set(exact).size, exact.length, 'a QoS 2 message came twice')
  return checkOrder(away.clientId, numbers, filler.sent)
}
