// A real redis-server on a port that stays: killed, hung and started again, with its data or without.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import type { Cleanup } from './broker.ts'

export class RedisProcess {
  readonly port: number
  readonly #t: Cleanup
  readonly #folder: string
  #child: ChildProcess | undefined

  constructor(t: Cleanup, port: number, folder: string) {
    this.#t = t
    this.port = port
    this.#folder = folder
    t.after(() => this.#child?.kill('SIGKILL'))
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  /** Resolves when it answers. What it wrote is in its file before it answers, so kill -9 takes none of it. */
  async start(): Promise<void> {
    await mkdir(this.#folder, { recursive: true })
    const settings = ['--port', `${this.port}`, '--bind', '127.0.0.1', '--dir', this.#folder, '--save', '']
    const child = spawn('redis-server', [...settings, '--appendonly', 'yes', '--appendfsync', 'everysec'], {
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    this.#child = child
    await Promise.race([
      this.#answers(),
      once(child, 'exit').then(() => {
        throw new Error(`redis-server ended; is port ${this.port} taken?`)
      }),
    ])
  }

  async kill(): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }

  /** As it is when it has no volume: the next start begins with nothing. */
  async forget(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true })
  }

  /** Connections stay, nothing answers. */
  hang(): void {
    this.#child?.kill('SIGSTOP')
  }

  resume(): void {
    this.#child?.kill('SIGCONT')
  }

  async #answers(): Promise<void> {
    let isOver = false
    this.#t.after(() => {
      isOver = true
    })
    while (!isOver) {
      if (await pong(this.port)) return
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

/** False also while it loads its data, which it answers with an error. */
function pong(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.on('error', () => resolve(false))
    socket.on('close', () => resolve(false))
    socket.on('connect', () => socket.write('PING\r\n'))
    socket.on('data', (chunk) => {
      resolve(chunk.toString().startsWith('+PONG'))
      socket.destroy()
    })
  })
}
