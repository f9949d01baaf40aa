// The admin HTTP server: is it alive, is it ready, and its numbers. Loopback only, no cookies.
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import type { AdminConfig } from '../config/schema.ts'
import { errorText, OrioleError } from '../errors.ts'
import { listenError } from '../listen-error.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { PluginLog } from '../plugin.ts'

export interface AdminDeps {
  readonly log: PluginLog
  readonly metrics: Pick<Metrics, 'render' | 'contentType'>
  /** Why the broker should get no clients now, a phrase each; none: it is ready. */
  readonly readyReasons: () => readonly string[]
  /** More to know beside the answer, for people: it decides nothing. */
  readonly readyDetails?: () => Readonly<Record<string, unknown>>
}

export interface Admin {
  /** `http://127.0.0.1:8080` */
  readonly url: string
  readonly port: number
  /** Ends what is being answered, too. */
  close(): Promise<void>
}

const routes = 'GET /live, GET /ready, GET /metrics'
const requestTimeoutMs = 10_000

/** Throws ORI_PORT_TAKEN or ORI_LISTEN_FAILED with the way out. */
export async function openAdmin(config: AdminConfig, deps: AdminDeps): Promise<Admin> {
  const { host, port } = config
  if (!isLoopback(host)) {
    const text = `admin.host "${host}" is not loopback, and the admin server has no lock on its door`
    throw new OrioleError('ORI_LISTEN_FAILED', `${text}; set admin.host to 127.0.0.1`)
  }
  const server = fastify({ forceCloseConnections: true, requestTimeout: requestTimeoutMs, bodyLimit: 64 * 1024 })
  addRoutes(server, deps)
  try {
    // Of workers behind one port each has its own.
    await server.listen({ host, port, exclusive: true })
  } catch (error) {
    await server.close()
    throw listenError(error, { who: 'admin', setting: 'admin', host, port })
  }
  const bound = server.server.address()
  const openPort = bound !== null && typeof bound === 'object' ? bound.port : port
  const shownHost = host.includes(':') ? `[${host}]` : host
  return { url: `http://${shownHost}:${openPort}`, port: openPort, close: () => server.close() }
}

function addRoutes(server: FastifyInstance, deps: AdminDeps): void {
  server.addHook('onRequest', async (request, reply) => {
    reply.headers({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' })
    // A web page can make a name of its own point to 127.0.0.1, but it cannot send another Host.
    if (isLoopback(hostName(request))) return
    await reply.code(421).send({ error: 'this server answers only to localhost, 127.0.0.1 and [::1] as Host' })
  })
  server.get('/live', async () => ({ live: true }))
  server.get('/ready', async (_request, reply) => {
    const reasons = deps.readyReasons()
    const details = deps.readyDetails?.()
    if (reasons.length === 0) return { ready: true, ...details }
    return reply.code(503).send({ ready: false, reasons, ...details })
  })
  server.get('/metrics', async (_request, reply) => {
    return reply.type(deps.metrics.contentType).send(await deps.metrics.render())
  })
  server.setNotFoundHandler(async (_request, reply) => {
    await reply.code(404).send({ error: `nothing here; there are ${routes}` })
  })
  server.setErrorHandler(async (error, _request, reply) => {
    const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500
    if (status < 500) {
      await reply.code(status).send({ error: errorText(error) })
      return
    }
    deps.log.error({ error: errorText(error) }, 'admin request failed')
    await reply.code(500).send({ error: 'the broker could not answer; its log says why' })
  })
}

/** Without port and brackets; "" when there is none. */
function hostName(request: FastifyRequest): string {
  const host = request.headers.host?.toLowerCase() ?? ''
  return host.startsWith('[') ? host.slice(1, host.indexOf(']')) : (host.split(':', 1)[0] ?? '')
}

/** A name or a whole IPv4 address: "127.0.0.1.example.com" is neither. */
function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host)
}
