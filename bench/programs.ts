// Other programs: found, run to their end, or started pinned to one core.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Scope } from './scope.ts'

/** A part of the bench that this machine has no means for: its row says so, and the others go on. */
export class Unavailable extends Error {}

/** The core of whoever is measured, and the one of the load. */
export const cores = { broker: 0, generator: 1 } as const

export function findProgram(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/local/sbin']
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path))
}

export const canPin = findProgram('taskset') !== undefined && availableParallelism() > 1

/** Resolves with its standard output; rejects with what it wrote to standard error. */
export async function run(program: string, args: readonly string[], cwd?: string): Promise<string> {
  const options = { maxBuffer: 64 * 1024 * 1024, ...(cwd === undefined ? {} : { cwd }) }
  const { stdout } = await promisify(execFile)(program, args, options)
  return stdout
}

export interface StartOptions {
  /** One, or several: `0,1`. */
  readonly core: number | string
  readonly cwd?: string
  readonly stdin?: 'ignore' | 'pipe'
}

/** Killed when the scope ends. With taskset the process number is that of the program itself: taskset becomes it. */
export function startPinned(scope: Scope, program: string, args: readonly string[], options: StartOptions): Started {
  const [command, ...rest] = canPin ? ['taskset', '-c', String(options.core), program, ...args] : [program, ...args]
  const child = spawn(command!, rest, {
    stdio: [options.stdin ?? 'ignore', 'pipe', 'pipe'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
  const started = new Started(child)
  scope.after(() => started.stop('SIGKILL'))
  return started
}

export class Started {
  readonly child: ChildProcess
  #output = ''
  #errors = ''
  #look: (() => void)[] = []

  constructor(child: ChildProcess) {
    this.child = child
    child.stdout?.on('data', (chunk: Buffer) => {
      // Of a broker that logs much only the beginning is of interest.
      if (this.#output.length < 1_000_000) this.#output += chunk.toString()
      for (const look of this.#look) look()
    })
    child.stderr?.on('data', (chunk: Buffer) => {
      if (this.#errors.length < 100_000) this.#errors += chunk.toString()
      for (const look of this.#look) look()
    })
    child.on('error', (error) => {
      this.#errors += error.message
    })
    child.on('exit', () => {
      for (const look of this.#look) look()
    })
  }

  get pid(): number {
    return this.child.pid!
  }

  get output(): string {
    return this.#output
  }

  get errors(): string {
    return this.#errors
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null || this.child.pid === undefined
  }

  /** Resolves when this stands in its standard output or error; rejects when it ends before. */
  printed(pattern: RegExp, timeoutMs = 60_000): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(this.#failure(`printed nothing like ${pattern} in time`)), timeoutMs)
      const settle = (act: () => void): void => {
        clearTimeout(timer)
        this.#look = this.#look.filter((one) => one !== look)
        act()
      }
      const look = (): void => {
        if (pattern.test(this.#output) || pattern.test(this.#errors)) settle(resolve)
        else if (this.hasEnded) settle(() => reject(this.#failure('ended')))
      }
      this.#look.push(look)
      look()
    })
  }

  /** Resolves with its standard output when it ends well. */
  async finished(): Promise<string> {
    if (!this.hasEnded) await once(this.child, 'close')
    if (this.child.exitCode !== 0) throw this.#failure(`ended with ${this.child.exitCode ?? this.child.signalCode}`)
    return this.#output
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    if (this.hasEnded) return
    const ended = once(this.child, 'exit')
    this.child.kill(signal)
    await ended
  }

  #failure(what: string): Error {
    return new Error(
      `${this.child.spawnargs.slice(0, 8).join(' ')} ${what}:\n${this.#output.slice(-2000)}${this.#errors}`,
    )
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}
