// Real nodes of a cluster for tests: a redis-server, and brokers in processes of their own with names, ports and folders that stay.
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type BrokerProcess, type Cleanup, spawnBroker, temporaryFolder } from './broker.ts'
import { type CommandResult, runCommand } from './command.ts'
import { freePort } from './free-port.ts'
import { type Proxy as RedisProxy, startProxy, startRedis, type TestRedis } from './redis.ts'

export interface ClusterOptions {
  readonly nodes: readonly string[]
  /** A node as it is without a cluster, to compare with. */
  readonly isAlone?: boolean
  /** Fields of `cluster:` in YAML: `replicas: 1`. */
  readonly settings?: string
  /** Without any, a killed Redis comes back empty. */
  readonly redisArguments?: readonly string[]
  /** Nothing stands between the nodes and Redis; what is measured is not the proxy. */
  readonly isDirect?: boolean
  /** Fields of `limits:` in YAML. */
  readonly limits?: string
  /** fsync for each commit; `os` where no process is killed. */
  readonly durability?: 'disk' | 'os'
}

/** Larger than any run: what is looked for is loss, and full queues and too quick clients are refused by design. */
const roomyLimits = [
  'queueMessages: 1000000',
  'queueBytes: 4000000000',
  'sessionsPerUser: 1000000',
  'connectsPerClient: { perS: 100000, burst: 100000 }',
  'loopDelayMs: 0',
].join(', ')

/** Of no cluster but that of the tests. */
const key = '0123456789abcdef'.repeat(4)

export class ClusterNode {
  readonly name: string
  readonly port: number
  readonly folder: string
  /** Between this node and Redis, unless it is direct. */
  readonly redisProxy: RedisProxy
  readonly #redisPort: number
  readonly #t: Cleanup
  readonly #adminPort: number
  #broker: BrokerProcess | undefined
  #output = ''
  #mayEnd = true

  constructor(
    t: Cleanup,
    name: string,
    folder: string,
    ports: readonly [number, number],
    redis: { readonly proxy: RedisProxy; readonly port: number },
  ) {
    this.#t = t
    this.name = name
    this.folder = folder
    this.port = ports[0]
    this.#adminPort = ports[1]
    this.redisProxy = redis.proxy
    this.#redisPort = redis.port
  }

  get isRunning(): boolean {
    const child = this.#broker?.child
    return child !== undefined && child.exitCode === null && child.signalCode === null
  }

  /** It ended, and nobody asked for it. */
  get hasCrashed(): boolean {
    return !this.isRunning && !this.#mayEnd
  }

  get processId(): number {
    if (this.#broker?.child.pid === undefined) throw new Error(`${this.name} does not run`)
    return this.#broker.child.pid
  }

  /** Of the process that has ended; null: a signal ended it, or it runs. */
  get exitCode(): number | null {
    return this.#broker?.child.exitCode ?? null
  }

  /** What it printed, over all its starts. */
  get output(): string {
    return this.#output + (this.#broker?.output() ?? '')
  }

  async writeConfig({ isAlone = false, settings, limits, durability = 'disk' }: ClusterOptions): Promise<void> {
    await mkdir(this.folder, { recursive: true })
    const url = `redis://127.0.0.1:${this.#redisPort}`
    const cluster = [`name: chaos, key: ${key}, redis: { url: "${url}" }, serverReference: "127.0.0.1:${this.port}"`]
    if (settings !== undefined) cluster.push(settings)
    await writeFile(
      join(this.folder, 'oriole.yaml'),
      `node: ${this.name}
listeners: [{ name: tcp, type: tcp, port: ${this.port} }]
limits: { ${limits === undefined ? roomyLimits : `${roomyLimits}, ${limits}`} }
store: { type: level, path: data, durability: ${durability} }
log: { format: json }
admin: { port: ${this.#adminPort} }
plugins: [auth-anonymous, acl-open]
${isAlone ? '' : `cluster: { ${cluster.join(', ')} }\n`}`,
      { mode: 0o600 },
    )
  }

  /** Resolves when it listens. */
  async start(): Promise<void> {
    this.#output = this.output
    this.#broker = await spawnBroker(this.#t, 'oriole.yaml', this.folder)
    this.#mayEnd = false
  }

  /** From now on its end is no crash: it was told to drain. */
  mayEnd(): void {
    this.#mayEnd = true
  }

  /** Resolves with the exit code or the signal. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<number | NodeJS.Signals> {
    if (this.#broker === undefined) throw new Error(`${this.name} does not run`)
    this.#mayEnd = true
    return this.#broker.kill(signal)
  }

  /** It is gone for good: its disk, too. */
  async destroy(): Promise<void> {
    await this.kill('SIGKILL')
    await rm(join(this.folder, 'data'), { recursive: true, force: true })
  }

  /** Resolves when the process has ended, whoever ended it. */
  async ended(): Promise<void> {
    const child = this.#broker?.child
    if (child === undefined || !this.isRunning) return
    await new Promise((resolve) => child.once('exit', resolve))
  }

  /** A command that is given the config of this node. */
  command(...words: readonly string[]): Promise<CommandResult> {
    return runCommand(this.#t, [...words, '--config', join(this.folder, 'oriole.yaml')], { cwd: this.folder })
  }

  /** `/metrics` by name with labels; empty while it does not answer. */
  async metrics(): Promise<ReadonlyMap<string, number>> {
    const found = new Map<string, number>()
    const response = await fetch(`http://127.0.0.1:${this.#adminPort}/metrics`).catch(() => undefined)
    for (const line of ((await response?.text()) ?? '').split('\n')) {
      const at = line.lastIndexOf(' ')
      if (!line.startsWith('#') && at > 0) found.set(line.slice(0, at), Number(line.slice(at + 1)))
    }
    return found
  }

  async ready(): Promise<{ readonly status: number; readonly body: Readonly<Record<string, unknown>> }> {
    const response = await fetch(`http://127.0.0.1:${this.#adminPort}/ready`)
    return { status: response.status, body: (await response.json()) as Record<string, unknown> }
  }

  async metric(name: string): Promise<number> {
    return (await this.metrics()).get(name) ?? 0
  }
}

export class TestCluster {
  readonly redis: TestRedis
  readonly nodes: readonly ClusterNode[]

  constructor(redis: TestRedis, nodes: readonly ClusterNode[]) {
    this.redis = redis
    this.nodes = nodes
  }

  get running(): readonly ClusterNode[] {
    return this.nodes.filter((node) => node.isRunning)
  }

  /** `work`, or an error when a node ends by itself before it: whoever waits for it would wait for ever. */
  async during<Result>(work: Promise<Result>): Promise<Result> {
    let stop: () => void = () => {}
    const crashed = new Promise<never>((_resolve, reject) => {
      const timer = setInterval(() => {
        const node = this.nodes.find(({ hasCrashed }) => hasCrashed)
        if (node !== undefined) reject(new Error(`${node.name} has ended:\n${node.output.slice(-3000)}`))
      }, 200)
      stop = () => clearInterval(timer)
    })
    return Promise.race([work, crashed]).finally(stop)
  }
}

/** All of them run, and have had time to meet: a node listens when it serves with the others. */
export async function startCluster(t: Cleanup, options: ClusterOptions): Promise<TestCluster> {
  const folder = await temporaryFolder(t)
  const redis = await startRedis(t, { arguments: options.redisArguments ?? [] })
  const nodes: ClusterNode[] = []
  for (const name of options.nodes) {
    const proxy = await startProxy(t, redis.port)
    const way = { proxy, port: options.isDirect === true ? redis.port : proxy.port }
    const node = new ClusterNode(t, name, join(folder, name), [await freePort(), await freePort()], way)
    await node.writeConfig(options)
    nodes.push(node)
  }
  await Promise.all(nodes.map((node) => node.start()))
  return new TestCluster(redis, nodes)
}
