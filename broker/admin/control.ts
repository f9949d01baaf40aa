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
/** A broker that has not answered by then hangs. Those that are not hurried last as long as their clients and data need. */
const answerWithinMs = 60_000
const unhurried: ReadonlySet<string> = new Set(['drain', 'backup'])

/** What was asked for: the name of the command, and what it needs to know. Who obeys checks the fields. */
export interface ControlRequest {
  readonly do: string
  readonly [field: string]: unknown
}

/** Resolves with what is shown to whoever asked. The signal: the broker stops, or nobody waits for the answer any more. */
export type ControlCommand = (request: ControlRequest, signal: AbortSignal) => Promise<unknown>

export interface Control {
  /** Ends what is being done, and waits for it. */
  close(): Promise<void>
}

/** Who asks for one of these is answered, and hung up on by the end of the process: then all is free again. */
const endsTheBroker: ReadonlySet<string> = new Set(['drain'])

type Answer = { readonly done: unknown } | { readonly code: string | undefined; readonly message: string }

/** The caller has the lock of the data: a socket file that is there was left by a broker that was killed. */
export async function openControl(
  dataDir: string,
  commands: Readonly<Record<string, ControlCommand>>,
  log: PluginLog,
): Promise<Control> {
  const path = socketPath(dataDir)
  const stopping = new AbortController()
  const working = new Set<Promise<void>>()
  const sockets = new Set<Socket>()
  const untilTheEnd = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    socket.on('error', (error) => log.debug({ error: errorText(error) }, 'control connection failed'))
    const work = serve(socket, commands, stopping.signal, () => untilTheEnd.add(socket)).catch((error: unknown) => {
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
    log.warn(
      { path, error: errorText(error) },
      'no backups and no commands while the broker runs: the socket cannot be made',
    )
  }
  return {
    async close() {
      stopping.abort()
      server.close()
      await Promise.all(working)
      for (const socket of sockets) if (!untilTheEnd.has(socket)) socket.destroy()
    },
  }
}

async function listen(server: Server, path: string): Promise<void> {
  if (Buffer.byteLength(path) > pathMaxBytes) throw new Error(`the path is longer than ${pathMaxBytes} bytes`)
  await rm(path, { force: true })
  await new Promise<void>((listening, failed) => {
    server.once('error', failed)
    // Of workers behind one port each has its own.
    server.listen({ path, exclusive: true }, listening)
    // The file is made within the call above: nobody can have used it before.
    if (server.listening) chmodSync(path, 0o600)
  })
}

async function serve(
  socket: Socket,
  commands: Readonly<Record<string, ControlCommand>>,
  stopping: AbortSignal,
  waitForTheEnd: () => void,
): Promise<void> {
  const line = await readLine(socket, stopping)
  if (line === undefined) {
    socket.destroy()
    return
  }
  const gone = new AbortController()
  socket.once('close', () => gone.abort())
  const request = parseRequest(line)
  const answer = await obey(request, commands, AbortSignal.any([stopping, gone.signal]))
  if ('done' in answer && endsTheBroker.has(request?.do ?? '')) {
    waitForTheEnd()
    socket.write(`${JSON.stringify(answer)}\n`)
    socket.unref()
    return
  }
  socket.end(`${JSON.stringify(answer)}\n`)
}

function parseRequest(line: string): ControlRequest | undefined {
  try {
    const request = JSON.parse(line) as Partial<ControlRequest> | null
    return typeof request?.do === 'string' ? (request as ControlRequest) : undefined
  } catch {
    // Whoever sent it is told that it is no request.
    return undefined
  }
}

async function obey(
  request: ControlRequest | undefined,
  commands: Readonly<Record<string, ControlCommand>>,
  signal: AbortSignal,
): Promise<Answer> {
  const command = request !== undefined && Object.hasOwn(commands, request.do) ? commands[request.do] : undefined
  if (request === undefined || command === undefined) {
    return { code: undefined, message: 'this broker knows no such request; is it of another version?' }
  }
  try {
    return { done: await command(request, signal) }
  } catch (error) {
    return { code: error instanceof OrioleError ? error.code : undefined, message: errorText(error) }
  }
}

/** Undefined: none came in time, or too much. */
function readLine(socket: Socket, signal: AbortSignal): Promise<string | undefined> {
  return new Promise((done) => {
    const timer = setTimeout(() => done(undefined), requestTimeoutMs)
    const stopped = () => done(undefined)
    signal.addEventListener('abort', stopped, { once: true })
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
      // It lives as long as the broker.
      signal.removeEventListener('abort', stopped)
      done(undefined)
    })
  })
}

/**
 * Asks the broker that runs on this data folder. Undefined: none does. Throws what the broker threw. Resolves when it has
 * answered; where the answer is that it ends, when it has ended. The signal hangs up: the broker gives up what it does.
 */
export async function askBroker(dataDir: string, request: ControlRequest, signal?: AbortSignal): Promise<unknown> {
  const socket = connect(socketPath(dataDir))
  const connected = await new Promise<boolean>((done, failed) => {
    socket.once('connect', () => done(true))
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED' || error.code === 'ENOTDIR') done(false)
      else failed(new OrioleError('ORI_STORE_OPEN', `cannot ask the broker of ${dataDir}: ${error.message}`))
    })
  })
  if (!connected) return undefined
  signal?.addEventListener('abort', () => socket.destroy(), { once: true })
  if (!unhurried.has(request.do)) socket.setTimeout(answerWithinMs, () => socket.destroy())
  socket.write(`${JSON.stringify(request)}\n`)
  let answer: Answer | undefined
  const lines = createInterface({ input: socket })
  // Without it a connection that breaks leaves the loop waiting for ever.
  socket.once('close', () => lines.close())
  for await (const line of lines) answer ??= JSON.parse(line) as Answer
  if (answer === undefined) {
    throw new OrioleError(
      'ORI_CONTROL_FAILED',
      `the broker ended, or hangs: it did not answer "${request.do}"; ask again`,
    )
  }
  if ('done' in answer) return answer.done
  const { code, message } = answer
  throw new OrioleError(errorCodes.find((known): known is ErrorCode => known === code) ?? 'ORI_CONTROL_FAILED', message)
}

/** The shorter way to it, because the length of a socket's path is limited. */
function socketPath(dataDir: string): string {
  const path = resolve(join(dataDir, 'oriole.sock'))
  const fromHere = relative(process.cwd(), path)
  return Buffer.byteLength(fromHere) < Buffer.byteLength(path) ? fromHere : path
}
