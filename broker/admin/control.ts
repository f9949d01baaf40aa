// The broker's door for whoever owns its data: a socket file (0600) in the data folder (0700). One JSON line each way.
import { chmodSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { join, relative, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { type ErrorCode, errorCodes, errorText, OrioleError } from '../errors.ts'
import type { PluginLog } from '../plugin.ts'

/** `sun_path` of Linux is 108 bytes, of macOS 104, the closing zero included. */
const pathMaxBytes = 103
/** More would be a mistake: one person at a terminal, one job of a scheduler. Others are closed. */
const connectionsMax = 4
const requestMaxBytes = 65_536
const requestTimeoutMs = 10_000

export interface ControlCommands {
  /** Copies the data into this folder; the answer is shown to whoever asked. Stops when the signal says so. */
  backup(to: string, signal: AbortSignal): Promise<unknown>
}

export interface Control {
  /** Ends what is being done, and waits for it. */
  close(): Promise<void>
}

interface Request {
  readonly do: 'backup'
  readonly to: string
}

type Answer = { readonly done: unknown } | { readonly code: string | undefined; readonly message: string }

/** The caller has the lock of the data: a socket file that is there was left by a broker that was killed. */
export async function openControl(dataDir: string, commands: ControlCommands, log: PluginLog): Promise<Control> {
  const path = socketPath(dataDir)
  const stopping = new AbortController()
  const working = new Set<Promise<void>>()
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    socket.on('error', (error) => log.debug({ error: errorText(error) }, 'control connection failed'))
    const work = serve(socket, commands, stopping.signal).catch((error: unknown) => {
      log.error({ error: errorText(error) }, 'control request failed')
      socket.destroy()
    })
    working.add(work)
    void work.finally(() => working.delete(work))
  })
  server.maxConnections = connectionsMax
  try {
    await listen(server, path)
  } catch (error) {
    // Some file systems know no sockets. The broker serves all the same.
    log.warn({ path, error: errorText(error) }, 'no backups while the broker runs: the socket cannot be made')
  }
  return {
    async close() {
      stopping.abort()
      const closed = new Promise((done) => server.close(done))
      await Promise.all(working)
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

async function listen(server: Server, path: string): Promise<void> {
  if (Buffer.byteLength(path) > pathMaxBytes) throw new Error(`the path is longer than ${pathMaxBytes} bytes`)
  await rm(path, { force: true })
  await new Promise<void>((listening, failed) => {
    server.once('error', failed)
    server.listen(path, listening)
    // The file is made within the call above: nobody can have used it before.
    if (server.listening) chmodSync(path, 0o600)
  })
}

async function serve(socket: Socket, commands: ControlCommands, signal: AbortSignal): Promise<void> {
  const line = await readLine(socket, signal)
  if (line === undefined) {
    socket.destroy()
    return
  }
  const answer = await obey(line, commands, signal)
  socket.end(`${JSON.stringify(answer)}\n`)
}

async function obey(line: string, commands: ControlCommands, signal: AbortSignal): Promise<Answer> {
  try {
    const request = JSON.parse(line) as Partial<Request>
    if (request.do !== 'backup' || typeof request.to !== 'string') {
      return { code: undefined, message: 'this broker knows no such request; is it of another version?' }
    }
    return { done: await commands.backup(request.to, signal) }
  } catch (error) {
    return { code: error instanceof OrioleError ? error.code : undefined, message: errorText(error) }
  }
}

/** Undefined: none came in time, or too much. */
function readLine(socket: Socket, signal: AbortSignal): Promise<string | undefined> {
  return new Promise((done) => {
    const timer = setTimeout(() => done(undefined), requestTimeoutMs)
    signal.addEventListener('abort', () => done(undefined), { once: true })
    let text = ''
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      const end = text.indexOf('\n')
      if (end === -1 && text.length < requestMaxBytes) return
      clearTimeout(timer)
      done(end === -1 ? undefined : text.slice(0, end))
    })
    socket.once('close', () => {
      clearTimeout(timer)
      done(undefined)
    })
  })
}

/** Asks the broker that runs on this data folder. Undefined: none does. Throws what the broker threw. */
export async function askForBackup(dataDir: string, to: string): Promise<unknown> {
  const socket = connect(socketPath(dataDir))
  const connected = await new Promise<boolean>((done, failed) => {
    socket.once('connect', () => done(true))
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED' || error.code === 'ENOTDIR') done(false)
      else failed(new OrioleError('ORI_STORE_OPEN', `cannot ask the broker of ${dataDir}: ${error.message}`))
    })
  })
  if (!connected) return undefined
  socket.write(`${JSON.stringify({ do: 'backup', to: resolve(to) } satisfies Request)}\n`)
  for await (const line of createInterface({ input: socket })) {
    const answer = JSON.parse(line) as Answer
    if ('done' in answer) return answer.done
    throw new OrioleError(
      errorCodes.find((code): code is ErrorCode => code === answer.code) ?? 'ORI_STORE_OPEN',
      answer.message,
    )
  }
  throw new OrioleError('ORI_STORE_OPEN', 'the broker ended before the backup was made; make it again')
}

/** The shorter way to it, because the length of a socket's path is limited. */
function socketPath(dataDir: string): string {
  const path = resolve(join(dataDir, 'oriole.sock'))
  const fromHere = relative(process.cwd(), path)
  return Buffer.byteLength(fromHere) < Buffer.byteLength(path) ? fromHere : path
}
