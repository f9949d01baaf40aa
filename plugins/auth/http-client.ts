// Asks one address over HTTP: bounded in time, in bytes and in connections, and never sent elsewhere by an answer.
import * as http from 'node:http'
import * as https from 'node:https'
import { z } from 'zod'

export interface HttpOptions {
  readonly url: string
  /** For the whole exchange, connecting included. */
  readonly timeoutMs: number
  readonly answerMaxBytes: number
  readonly connectionsMax: number
  /** PEM. `ca`: instead of the authorities of the system. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string }
}

export interface HttpAnswer {
  readonly status: number
  /** Lower case, without parameters. */
  readonly type: string
  readonly body: Buffer
}

export interface HttpClient {
  /** A POST when there is a body, else a GET. A redirect is an answer like another. Throws HttpFailure. */
  ask(headers: Readonly<Record<string, string>>, body?: string): Promise<HttpAnswer>
  close(): void
}

/** There was no usable answer; the message is for the log. */
export class HttpFailure extends Error {
  constructor(message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.name = 'HttpFailure'
  }
}

/** A password or the keys of all tokens go over it, so that plain HTTP is for this machine only. */
export const urlSchema = z.string().superRefine((text, context) => {
  const refuse = (message: string): void => void context.addIssue({ code: 'custom', message })
  if (!URL.canParse(text)) return refuse('is no URL; write https://HOST/PATH')
  const { protocol, hostname, username, password } = new URL(text)
  if (username !== '' || password !== '') return refuse('must not hold a user or a password')
  if (protocol === 'https:') return
  if (protocol !== 'http:') return refuse('must begin with https://')
  if (!isLoopback(hostname)) refuse('must begin with https://; http:// is for addresses of this machine')
})

/** For the log: what stands behind a question mark may be a secret. */
export function shownUrl(url: string): string {
  const { origin, pathname } = new URL(url)
  return `${origin}${pathname}`
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname)
}

export function createHttpClient(options: HttpOptions): HttpClient {
  const { request, Agent } = options.url.startsWith('https:') ? https : http
  const agent = new Agent({ keepAlive: true, maxSockets: options.connectionsMax, maxFreeSockets: 10, ...options.tls })

  function askOnce(headers: Readonly<Record<string, string>>, body: string | undefined): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
      const asked = request(options.url, {
        agent,
        method: body === undefined ? 'GET' : 'POST',
        headers: { ...headers, ...length, 'accept-encoding': 'identity' },
      })
      const fail = (message: string, cause?: unknown): void => {
        clearTimeout(timer)
        asked.destroy()
        reject(new HttpFailure(message, { cause }))
      }
      const timer = setTimeout(() => fail(`no answer in ${options.timeoutMs} ms`), options.timeoutMs)
      asked.on('error', (error: NodeJS.ErrnoException) => {
        const stale = asked.reusedSocket && error.code === 'ECONNRESET'
        fail(stale ? staleConnection : error.message, error)
      })
      asked.on('response', (response) => {
        const chunks: Buffer[] = []
        let bytes = 0
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length
          if (bytes > options.answerMaxBytes) fail(`the answer is larger than ${options.answerMaxBytes} bytes`)
          else chunks.push(chunk)
        })
        response.on('error', (error) => fail(error.message, error))
        response.on('close', () => {
          if (!response.complete) fail('the answer ended too early')
        })
        response.on('end', () => {
          clearTimeout(timer)
          const { statusCode = 0, headers: given } = response
          if ((given['content-encoding'] ?? 'identity') !== 'identity') fail('the answer is compressed')
          const type = (given['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase()
          resolve({ status: statusCode, type, body: Buffer.concat(chunks) })
        })
      })
      asked.end(body)
    })
  }

  return {
    async ask(headers, body) {
      try {
        return await askOnce(headers, body)
      } catch (error) {
        // The server had closed a connection that we kept; that says nothing about the next one.
        if (error instanceof HttpFailure && error.message === staleConnection) return askOnce(headers, body)
        throw error
      }
    },
    close: () => agent.destroy(),
  }
}

const staleConnection = 'the connection had been closed'
