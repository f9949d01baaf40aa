// Real Redis servers for tests: started, frozen, killed and brought back; and a proxy between, that can be cut and healed.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { type Cleanup, temporaryFolder } from './broker.ts'
import { freePort } from './free-port.ts'

export interface TestRedis {
  readonly host: '127.0.0.1'
  readonly port: number
  /** Of its Unix socket. */
  readonly path: string
  /** `redis://127.0.0.1:PORT` */
  readonly url: string
  readonly pid: number | undefined
  /** kill -9; connections break. What was not written to its file is gone. */
  kill(): Promise<void>
  /** After `kill`, on the same port; resolves when it answers. `empty`: without what it had written. */
  start(options?: { readonly empty?: boolean }): Promise<void>
  /** SIGSTOP: it hangs with all its connections open. */
  freeze(): void
  /** SIGCONT. */
  thaw(): void
}

export interface RedisSettings {
  /** More arguments of redis-server, for example `['--requirepass', 'x']`. */
  readonly arguments?: readonly string[]
  /** Each write on its disk before it answers, so that a kill loses nothing. Without it a kill loses all. */
  readonly keeps?: boolean
}

/** On a free port and a Unix socket, in a temporary folder, gone after the test. */
export async function startRedis(t: Cleanup, settings: RedisSettings = {}): Promise<TestRedis> {
  for (let triesLeft = 4; ; triesLeft -= 1) {
    try {
      return await startAt(t, settings, await freePort())
    } catch (error) {
      // The port was taken meanwhile, or that of a Redis Cluster's bus, which is 10,000 higher.
      if (triesLeft === 0) throw error
    }
  }
}

async function startAt(t: Cleanup, settings: RedisSettings, port: number): Promise<TestRedis> {
  const folder = await temporaryFolder(t)
  const path = join(folder, 'redis.sock')
  let child: ChildProcess | undefined
  let runs = 0
  const redis: TestRedis = {
    host: '127.0.0.1',
    port,
    path,
    url: `redis://127.0.0.1:${port}`,
    get pid() {
      return child?.pid
    },
    async kill() {
      const killed = child
      child = undefined
      if (killed === undefined || killed.exitCode !== null || killed.signalCode !== null) return
      const exited = once(killed, 'exit')
      killed.kill('SIGKILL')
      await exited
    },
    async start({ empty = false } = {}) {
      if (child !== undefined) return
      if (empty) runs += 1
      const keeps =
        settings.keeps === true ? ['--appendonly', 'yes', '--appendfsync', 'always'] : ['--appendonly', 'no']
      child = spawn(
        'redis-server',
        [
          ...['--port', String(port), '--bind', '127.0.0.1', '--unixsocket', path, '--dir', folder, '--save', ''],
          ...['--appenddirname', `aof-${runs}`, '--daemonize', 'no', '--loglevel', 'warning'],
          ...keeps,
          ...(settings.arguments ?? []),
        ],
        { stdio: 'ignore' },
      )
      await answers(port, child)
    },
    freeze: () => void child?.kill('SIGSTOP'),
    thaw: () => void child?.kill('SIGCONT'),
  }
  t.after(() => redis.kill())
  await redis.start()
  return redis
}

export interface Proxy {
  readonly port: number
  /** Connections stay open and nothing passes, as when a cable is pulled; new ones connect and hang. */
  cut(): void
  /** Connections are reset, and new ones refused at once. */
  reset(): void
  /** Old connections that were cut are gone; new ones pass. */
  heal(): void
  close(): Promise<void>
}

/** From a free port of this machine to `port`. */
export async function startProxy(t: Cleanup, port: number): Promise<Proxy> {
  let state: 'open' | 'cut' | 'reset' = 'open'
  const sockets = new Set<Socket>()
  // Without it each hop may wait 40 ms for an acknowledgement (Nagle and delayed ACK), which no cable does.
  const server = createServer({ noDelay: true }, (inside) => {
    sockets.add(inside)
    inside.on('close', () => sockets.delete(inside))
    inside.on('error', () => {})
    if (state === 'reset') return inside.destroy()
    if (state === 'cut') return inside.pause()
    const outside = connect({ host: '127.0.0.1', port, noDelay: true })
    sockets.add(outside)
    outside.on('close', () => {
      sockets.delete(outside)
      inside.destroy()
    })
    outside.on('error', () => inside.destroy())
    inside.on('close', () => outside.destroy())
    inside.on('data', (bytes) => state === 'open' && outside.write(bytes))
    outside.on('data', (bytes) => state === 'open' && inside.write(bytes))
    return undefined
  })
  const destroyAll = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const close = async (): Promise<void> => {
    destroyAll()
    await new Promise((resolve) => server.close(resolve))
  }
  t.after(close)
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port')
  return {
    port: address.port,
    cut() {
      state = 'cut'
    },
    reset() {
      state = 'reset'
      destroyAll()
    },
    heal() {
      state = 'open'
      destroyAll()
    },
    close,
  }
}

/**
 * Resolves when it says anything to PING: with a password it says so, and is there. Not while it loads its file. Rejects
 * when the server has ended.
 */
export async function answers(port: number, server: ChildProcess): Promise<void> {
  while (server.exitCode === null && server.signalCode === null) {
    const reply = await new Promise<string | undefined>((resolve) => {
      const socket = connect({ host: '127.0.0.1', port, timeout: 1_000 })
      socket.on('timeout', () => socket.destroy())
      socket.on('connect', () => socket.write('PING\r\n'))
      socket.on('data', (bytes) => {
        socket.destroy()
        resolve(bytes.toString())
      })
      socket.on('error', () => resolve(undefined))
      socket.on('close', () => resolve(undefined))
    })
    if (reply !== undefined && !reply.startsWith('-LOADING')) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error('redis-server ended')
}
