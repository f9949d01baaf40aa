// A broker in a process of its own, and many light clients: what the scenarios about load have in common.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type BrokerProcess, type Cleanup, spawnBroker, temporaryFolder } from '../helpers/broker.ts'
import { Latencies, numberOf, stamped } from './latencies.ts'
import { LightClient, type LightOptions } from './light-client.ts'

export interface CrowdBroker {
  readonly folder: string
  readonly port: number
  readonly broker: BrokerProcess
  /** Starts it again, on the same port. */
  restart(): Promise<CrowdBroker>
  /** `work`, or an error when the broker ends before it: whoever waits for it would wait for ever. */
  during<Result>(work: Promise<Result>): Promise<Result>
}

export interface CrowdConfig {
  /** YAML in one line. */
  readonly limits?: string
  /** Open ones when left out. */
  readonly plugins?: string
  /** Beside oriole.yaml. */
  readonly files?: Readonly<Record<string, string>>
}

/** With a store on disk, as it is meant to be used. */
export async function startCrowdBroker(t: Cleanup, config: CrowdConfig = {}): Promise<CrowdBroker> {
  const folder = await temporaryFolder(t)
  for (const [name, content] of Object.entries(config.files ?? {})) {
    await writeFile(join(folder, name), content, { mode: 0o600 })
  }
  return start(t, folder, config, 0)
}

async function start(t: Cleanup, folder: string, config: CrowdConfig, wantedPort: number): Promise<CrowdBroker> {
  const { limits = '{}', plugins = '[auth-anonymous, acl-open]' } = config
  await writeFile(
    join(folder, 'oriole.yaml'),
    `node: test
listeners: [{ name: tcp, type: tcp, port: ${wantedPort} }]
store: { type: level, path: data }
admin: { enabled: false }
log: { level: info, format: json }
limits: ${limits}
plugins: ${plugins}
`,
  )
  const broker = await spawnBroker(t, 'oriole.yaml', folder)
  const port = Number(new URL(broker.urls[0]!).port)
  const ended = new Promise<never>((_resolve, reject) => {
    broker.child.once('exit', (code, signal) => {
      reject(new Error(`the broker ended with ${code ?? signal}:\n${broker.output().slice(-2000)}`))
    })
  })
  ended.catch(() => {})
  return {
    folder,
    port,
    broker,
    restart: () => start(t, folder, config, port),
    during: (work) => Promise.race([work, ended]),
  }
}

/**
 * Memory of a process, in MB, without the files that LevelDB maps, which the kernel takes back when it likes. Linux
 * tells it; elsewhere it is 0, and no bound is looked at.
 */
export async function memoryMb(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return Math.round(Number(/^RssAnon:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) / 1024)
}

export async function connectAll(t: Cleanup, options: readonly LightOptions[]): Promise<LightClient[]> {
  const clients = options.map((one) => new LightClient(one))
  t.after(() => {
    for (const client of clients) client.destroy()
  })
  for (let at = 0; at < clients.length; at += connectsAtOnce) {
    await Promise.all(clients.slice(at, at + connectsAtOnce).map((client) => client.connect()))
  }
  return clients
}

const connectsAtOnce = 100

/** One publisher and one subscriber with a topic of their own; each message is counted and timed. */
export class Pair {
  readonly publisher: LightClient
  readonly subscriber: LightClient
  readonly #topic: string
  readonly #qos: 0 | 1
  readonly #latencies: readonly Latencies[]
  #sent = 0
  readonly #acknowledged = new Set<number>()
  readonly #received = new Set<number>()

  constructor(port: number, name: string, qos: 0 | 1, latencies: readonly Latencies[]) {
    this.#topic = `pair/${name}`
    this.#qos = qos
    this.#latencies = latencies
    this.publisher = new LightClient({ port, clientId: `publisher ${name}` })
    this.subscriber = new LightClient({ port, clientId: `subscriber ${name}`, clean: qos === 0 })
    this.subscriber.onMessage = (_topic, payload) => {
      for (const latencies of this.#latencies) latencies.note(payload)
      this.#received.add(numberOf(payload))
    }
  }

  async connect(): Promise<void> {
    await Promise.all([this.publisher.connect(), this.subscriber.connect()])
    await this.subscriber.subscribe(this.#topic, this.#qos)
  }

  send(): void {
    const number = this.#sent
    this.#sent += 1
    const payload = stamped(number)
    if (this.#qos === 0) this.publisher.publish(this.#topic, payload)
    else void this.publisher.publishAcknowledged(this.#topic, payload).then(() => this.#acknowledged.add(number))
  }

  /** Acknowledged and not here. */
  get lost(): number {
    let lost = 0
    for (const number of this.#acknowledged) if (!this.#received.has(number)) lost += 1
    return lost
  }

  get sent(): number {
    return this.#sent
  }

  destroy(): void {
    this.publisher.destroy()
    this.subscriber.destroy()
  }
}

export interface Pairs {
  /** Of all pairs. */
  readonly latencies: Latencies
  /** Of those with QoS 0, and of those with QoS 1, which wait for the disk. */
  readonly latenciesByQos: readonly [Latencies, Latencies]
  readonly pairs: readonly Pair[]
  stop(): void
}

/** Every second one QoS 1. Each sends `perS` messages a second, not all in one tick, until it is stopped. */
export async function startPairs(t: Cleanup, port: number, pairs: number, perS: number): Promise<Pairs> {
  const latencies = new Latencies()
  const latenciesByQos = [new Latencies(), new Latencies()] as const
  const all = Array.from({ length: pairs }, (_, index) => {
    const qos = index % 2 === 0 ? 0 : 1
    return new Pair(port, `${index}`, qos, [latencies, latenciesByQos[qos]])
  })
  t.after(() => {
    for (const pair of all) pair.destroy()
  })
  await Promise.all(all.map((pair) => pair.connect()))
  let turn = 0
  let owed = 0
  let lastAt = performance.now()
  const timer = setInterval(() => {
    const now = performance.now()
    owed += ((now - lastAt) / 1000) * pairs * perS
    lastAt = now
    for (; owed >= 1; owed -= 1) {
      all[turn % pairs]!.send()
      turn += 1
    }
  }, 5)
  const stop = (): void => clearInterval(timer)
  t.after(stop)
  return { latencies, latenciesByQos, pairs: all, stop }
}

/** Resolves when this is so; looks every 20 ms, because what is waited for happens in another process. */
export async function until(what: string, isSo: () => boolean | Promise<boolean>, timeoutMs: number): Promise<void> {
  const startedAt = performance.now()
  while (!(await isSo())) {
    if (performance.now() - startedAt > timeoutMs) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** A bound in milliseconds; on a machine that misses it without any harm done, twice what it took there. */
export function atMost(boundMs: number, withoutHarmMs: number): number {
  return Math.max(boundMs, 2 * withoutHarmMs)
}
