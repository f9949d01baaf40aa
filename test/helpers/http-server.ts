// A real HTTP or HTTPS server whose answer a test sets, and changes.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createSecureServer, type ServerOptions } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { Cleanup } from './broker.ts'

export interface AskedRequest {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

export type Answer = (response: ServerResponse, request: AskedRequest) => void

export interface TestServer {
  readonly url: string
  readonly port: number
  readonly requests: readonly AskedRequest[]
  /** What it answers from now on. */
  answer: Answer
  /** Resolves when so many requests have come. */
  asked(count: number): Promise<void>
  /** Cuts all connections and refuses new ones. */
  stop(): Promise<void>
}

export function json(value: unknown, status = 200): Answer {
  return (response) => {
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(typeof value === 'string' ? value : JSON.stringify(value))
  }
}

/** Ways never to come to an end, after the head of a good answer. `filler`: what is allowed to stand there. */
export function endless(filler: string): Readonly<Record<string, Answer>> {
  const again =
    (text: string, everyMs: number): Answer =>
    (response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      const timer = setInterval(() => response.write(text), everyMs)
      response.on('close', () => clearInterval(timer))
    }
  return {
    'too much without end': again(filler.repeat(65_536), 1),
    'one byte now and then': again(' ', 50),
    silence: () => {},
  }
}

/** On 127.0.0.1; closed after the test. `port`: 0 is a free one. */
export async function startServer(t: Cleanup, answer: Answer, tls?: ServerOptions, port = 0): Promise<TestServer> {
  const requests: AskedRequest[] = []
  const sockets = new Set<Socket>()
  const waiting = new Set<() => void>()
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('error', () => {})
    request.on('end', () => {
      const { method = '', url = '', headers } = request
      const asked = { method, url, headers, body: Buffer.concat(chunks).toString() }
      requests.push(asked)
      for (const look of [...waiting]) look()
      self.answer(response, asked)
    })
  }
  const server = tls === undefined ? createServer(onRequest) : createSecureServer(tls, onRequest)
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const own = (server.address() as AddressInfo).port
  const stop = async (): Promise<void> => {
    if (!server.listening) return
    const closed = once(server, 'close')
    server.close()
    for (const socket of sockets) socket.destroy()
    await closed
  }
  t.after(stop)
  const self = {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${own}/`,
    port: own,
    requests,
    answer,
    asked: (count: number) =>
      new Promise<void>((resolve) => {
        const look = (): void => {
          if (requests.length < count) return
          waiting.delete(look)
          resolve()
        }
        waiting.add(look)
        look()
      }),
    stop,
  }
  return self
}
