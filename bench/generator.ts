// The load generator: compiled when its sources changed, run pinned to its own core, its one line of JSON read.
import { existsSync, statSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { RunningBroker } from './brokers/broker.ts'
import { cacheFolder, repository } from './places.ts'
import { cores, findProgram, run, type Started, startPinned, Unavailable } from './programs.ts'
import type { Sample } from './row.ts'
import type { Scope } from './scope.ts'

export const password = 'made-for-the-bench'
export const username = 'bench'

/** What the generator prints; times in seconds, latencies in microseconds. */
interface Printed {
  readonly measuredS: number
  readonly connected: number
  readonly published: number
  readonly delivered: number
  readonly acknowledged: number
  readonly publishedInAll: number
  readonly p50Us: number
  readonly p99Us: number
  readonly p999Us: number
  readonly maxUs: number
  readonly brokerCpuS: number
  readonly generatorCpuS: number
  readonly brokerCoreBusyS: number
  readonly generatorCoreBusyS: number
}

export class Generator {
  readonly #program: string
  readonly hasTls: boolean

  constructor(program: string, hasTls: boolean) {
    this.#program = program
    this.hasTls = hasTls
  }

  /** Puts load on the broker; resolves with what was measured. */
  async load(scope: Scope, broker: RunningBroker, args: readonly string[]): Promise<Sample> {
    const started = this.#start(scope, broker, args)
    return sampleOf(JSON.parse((await started.finished()).trim()) as Printed)
  }

  /** For what comes before a measurement: resolves when it is done. */
  async prepare(scope: Scope, broker: RunningBroker, args: readonly string[]): Promise<void> {
    await this.#start(scope, broker, args).finished()
  }

  /** Connections that stay until the scope ends; resolves when all are there and have subscribed. */
  async hold(scope: Scope, broker: RunningBroker, args: readonly string[]): Promise<Started> {
    const started = this.#start(scope, broker, ['--mode', 'hold', ...args])
    await started.printed(/"held"/, 120_000)
    return started
  }

  #start(scope: Scope, broker: RunningBroker, args: readonly string[]): Started {
    const given = new Set(args)
    const login = given.has('--user') ? [] : ['--user', username]
    const port = given.has('--port') ? [] : ['--port', String(broker.port)]
    const where = ['--broker-core', String(cores.broker), '--own-core', String(cores.generator)]
    const all = [...port, '--broker-pid', String(broker.pid), ...where, '--password', password, ...login, ...args]
    return startPinned(scope, this.#program, all, { core: broker.loadCores ?? cores.generator, stdin: 'pipe' })
  }
}

function sampleOf(printed: Printed): Sample {
  const { measuredS, delivered, acknowledged, connected, brokerCpuS, generatorCpuS } = printed
  const work = delivered || acknowledged || connected
  return {
    figures: {
      deliveredPerS: delivered / measuredS,
      acknowledgedPerS: acknowledged / measuredS,
      connectsPerS: connected / measuredS,
      publishedInAll: printed.publishedInAll,
      p50Us: printed.p50Us,
      p99Us: printed.p99Us,
      p999Us: printed.p999Us,
      maxMs: printed.maxUs / 1000,
    },
    cpuUsEach: (brokerCpuS * 1e6) / work,
    brokerShare: brokerCpuS / measuredS,
    generatorShare: generatorCpuS / measuredS,
    othersShare:
      Math.max(0, printed.brokerCoreBusyS - brokerCpuS, printed.generatorCoreBusyS - generatorCpuS) / measuredS,
  }
}

/** Throws Unavailable when there is no C compiler. */
export async function buildGenerator(): Promise<Generator> {
  const compiler = findProgram(process.env.CC ?? 'cc') ?? findProgram('gcc')
  if (compiler === undefined) {
    throw new Unavailable(
      'the load generator is C, and no compiler is here; on Debian: sudo apt-get install gcc libc6-dev',
    )
  }
  const sources = join(repository, 'bench/generator')
  const names = await readdir(sources)
  const hasTls = existsSync('/usr/include/openssl/ssl.h')
  const program = join(await cacheFolder('generator'), hasTls ? 'load-tls' : 'load')
  if (
    isNewer(
      program,
      names.map((name) => join(sources, name)),
    )
  )
    return new Generator(program, hasTls)
  const files = names.filter((name) => name.endsWith('.c')).map((name) => join(sources, name))
  const tls = hasTls ? ['-DWITH_TLS', '-lssl', '-lcrypto'] : []
  await run(compiler, ['-O2', '-Wall', '-Wextra', '-o', program, ...files, ...tls])
  return new Generator(program, hasTls)
}

function isNewer(program: string, sources: readonly string[]): boolean {
  return existsSync(program) && sources.every((path) => statSync(path).mtimeMs < statSync(program).mtimeMs)
}
