// Keeps the workers of one machine running: starts them, starts again who dies, and stops all in order.
import cluster, { type Worker } from 'node:cluster'
import type { Config } from './config/schema.ts'
import { createLog, type Logger } from './log.ts'
import { type SupervisorMessage, type WorkerMessage, type WorkerReady, workerVariable } from './worker-messages.ts'
import { configOfWorker, shareFirstAdmin } from './workers.ts'

/** A worker that dies at once is started again later and later. */
const backOffMs = { first: 100, most: 30_000 }
/** After so long it was no bad start. */
const soundAfterMs = 60_000
/** A worker stops within ten seconds; one that does not is killed. */
const stopMaxMs = 12_000

export interface SupervisorOptions {
  readonly config: Config
  readonly count: number
  /** The program and its arguments. */
  readonly exec: string
  readonly args: readonly string[]
}

export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #log: Logger
  /** By number, from 1. */
  readonly #workers = new Map<number, Worker>()
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #failures = new Map<number, number>()
  #isStopping = false
  #worstCode = 0
  #allGone: () => void = () => {}

  constructor(options: SupervisorOptions) {
    this.#options = options
    this.#log = createLog(options.config.log).child({ room: 'workers' })
    // Connections are handed out in turn: they are long, and the kernel would give most of them to one worker.
    cluster.schedulingPolicy = cluster.SCHED_RR
    cluster.setupPrimary({ exec: options.exec, args: [...options.args] })
  }

  /** Resolves when all are ready: the first one alone at first, because it may make what all need. Rejects when one ends. */
  async start(): Promise<readonly WorkerReady[]> {
    const first = await this.#startFirstTime(1)
    const rest = Array.from({ length: this.#options.count - 1 }, (_, index) => this.#startFirstTime(index + 2))
    const all = [first, ...(await Promise.all(rest))]
    for (const worker of this.#workers.keys()) this.#keep(worker)
    this.#log.info({ workers: all.length }, 'workers ready')
    return all
  }

  /** Resolves when the last one has been drained and has ended. */
  emptied(): Promise<void> {
    return new Promise((resolve) => {
      this.#allGone = resolve
    })
  }

  /** Resolves with the exit code when all have ended. */
  async stop(now: Promise<void>): Promise<number> {
    this.#isStopping = true
    for (const timer of this.#timers) clearTimeout(timer)
    this.#tell('stop')
    void now.then(() => this.#tell('stop now'))
    const overdue = setTimeout(() => {
      for (const worker of this.#workers.values()) worker.process.kill('SIGKILL')
    }, stopMaxMs)
    await Promise.all([...this.#workers.values()].map((worker) => new Promise((done) => worker.once('exit', done))))
    clearTimeout(overdue)
    return this.#worstCode
  }

  async #startFirstTime(number: number): Promise<WorkerReady> {
    const worker = await this.#fork(number)
    return new Promise((resolve, reject) => {
      worker.on('message', (message: WorkerMessage) => 'ready' in message && resolve(message.ready))
      worker.once('exit', () => reject(new Error(`worker ${number} ended at its start`)))
    })
  }

  async #fork(number: number): Promise<Worker> {
    await shareFirstAdmin(this.#options.config, number)
    const worker = cluster.fork({ [workerVariable]: String(number) })
    this.#workers.set(number, worker)
    worker.once('exit', (code: number | null) => {
      this.#workers.delete(number)
      if (this.#isStopping && code !== 0) this.#worstCode = 1
    })
    return worker
  }

  /** From here on it is started again when it ends, unless it was drained. */
  #keep(number: number): void {
    const worker = this.#workers.get(number)
    if (worker === undefined) return this.#startLater(number, 'ended')
    const startedAt = performance.now()
    let isDrained = false
    worker.on('message', (message: WorkerMessage) => {
      if ('drained' in message) isDrained = true
    })
    worker.once('exit', (code: number | null, signal: string | null) => {
      if (this.#isStopping) return
      if (isDrained) {
        this.#log.info({ worker: number }, 'worker drained: it is not started again')
        if (this.#workers.size === 0 && this.#timers.size === 0) this.#allGone()
        return
      }
      if (performance.now() - startedAt > soundAfterMs) this.#failures.delete(number)
      this.#startLater(number, signal ?? `exit code ${code}`)
    })
  }

  #startLater(number: number, why: string): void {
    const failures = this.#failures.get(number) ?? 0
    this.#failures.set(number, failures + 1)
    const waitMs = Math.min(backOffMs.first * 2 ** Math.min(failures, 20), backOffMs.most)
    const { node } = configOfWorker(this.#options.config, number)
    this.#log.error({ worker: number, node, why, waitMs }, 'worker ended: it is started again')
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      this.#fork(number).then(
        () => this.#keep(number),
        (error: unknown) => this.#startLater(number, String(error)),
      )
    }, waitMs)
    this.#timers.add(timer)
  }

  #tell(message: SupervisorMessage): void {
    for (const worker of this.#workers.values()) if (worker.isConnected()) worker.send(message)
  }
}
