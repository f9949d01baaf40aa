// A listener under test: opened on a free port, closed at the end, its connections echo what they get.
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import type { TestContext } from 'node:test'
import { listenerSchema } from '../../broker/config/schema.ts'
import type { IncomingConnection, Listener } from '../../broker/listeners/listener.ts'
import { type ListenerDeps, openListener } from '../../broker/listeners/open.ts'
import { type Counts, createCounts } from '../../broker/metrics/counts.ts'

export interface LogLine {
  readonly level: string
  readonly phrase: string
  readonly fields: Readonly<Record<string, unknown>>
}

export interface TestListener {
  readonly listener: Listener
  readonly port: number
  readonly counts: Counts
  readonly connections: readonly IncomingConnection[]
  readonly lines: readonly LogLine[]
  /** The next connection that comes, or the first that came and was not asked for. */
  nextConnection(): Promise<IncomingConnection>
  /** Resolves with the first line, past or future, whose phrase and fields contain all of `text`. */
  logged(text: string): Promise<LogLine>
}

type Overrides = Partial<Omit<ListenerDeps, 'limits'>> & { readonly limits?: Partial<ListenerDeps['limits']> }

/** `config` as it stands in the YAML file; port 0 and the name "test" unless it says otherwise. */
export async function openTestListener(
  t: TestContext,
  config: Readonly<Record<string, unknown>>,
  overrides: Overrides = {},
): Promise<TestListener> {
  const counts = createCounts()
  const connections: IncomingConnection[] = []
  const lines: LogLine[] = []
  const waiting = new Set<() => void>()
  const wake = (): void => {
    for (const check of [...waiting]) check()
  }
  const note =
    (level: string) =>
    (fields: object, phrase: string): void => {
      lines.push({ level, phrase, fields: fields as Record<string, unknown> })
      wake()
    }
  const port = config.type === 'unix' ? {} : { port: 0 }
  const listener = await openListener(listenerSchema.parse({ name: 'test', ...port, ...config }), {
    log: { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') },
    resolvePath: (path) => path,
    counts,
    setting: 'listeners.0',
    onConnection: (connection) => {
      connections.push(connection)
      echo(connection.stream)
      wake()
    },
    ...overrides,
    limits: { packetMaxBytes: 1024 * 1024, connectTimeoutMs: 10_000, ...overrides.limits },
  })
  t.after(async () => {
    await listener.close()
    for (const { stream } of connections) stream.destroy()
  })
  let taken = 0
  const until = <T>(find: () => T | undefined): Promise<T> =>
    new Promise((resolve) => {
      const check = (): void => {
        const found = find()
        if (found === undefined) return
        waiting.delete(check)
        resolve(found)
      }
      waiting.add(check)
      check()
    })
  return {
    listener,
    port: listener.port,
    counts,
    connections,
    lines,
    nextConnection: () => {
      const index = taken++
      return until(() => connections[index])
    },
    logged: (text) => until(() => lines.find((line) => JSON.stringify(line).includes(text))),
  }
}

/** A plain TCP client that is closed at the end of the test. */
export async function dial(t: TestContext, port: number, host = '127.0.0.1'): Promise<Socket> {
  const socket = connect({ port, host })
  t.after(() => socket.destroy())
  await once(socket, 'connect')
  return socket
}

/** Resolves with the first `bytes` bytes that come. */
export async function receive(stream: Duplex, bytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let total = 0
  return new Promise((resolve, reject) => {
    const onData = (chunk: Buffer): void => {
      chunks.push(chunk)
      total += chunk.length
      if (total < bytes) return
      stream.off('data', onData)
      resolve(Buffer.concat(chunks))
    }
    stream.on('data', onData)
    stream.once('close', () => reject(new Error(`closed after ${total} of ${bytes} bytes`)))
    stream.once('error', reject)
  })
}

/** Resolves with all that came when the other side has closed, however it closed. */
export async function receiveAll(stream: Duplex): Promise<Buffer> {
  const chunks: Buffer[] = []
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  stream.on('error', () => {})
  if (!stream.closed) await new Promise((resolve) => stream.once('close', resolve))
  return Buffer.concat(chunks)
}

export async function makeFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'oriole-'))
  t.after(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }))
  return folder
}

function echo(stream: Duplex): void {
  stream.on('error', () => {})
  stream.on('data', (chunk: Buffer) => stream.write(chunk))
}
