// The WebSocket stage: an HTTP request becomes a WebSocket that speaks MQTT, or gets one line that says why not.
import { createServer, type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import type { ListenerConfig } from '../config/schema.ts'
import type { Arrival } from './arrival.ts'
import type { ListenerDeps, Stage } from './entrance.ts'
import { WebSocketStream } from './ws-stream.ts'

type WebConfig = Extract<ListenerConfig, { type: 'ws' | 'wss' }>

/** "mqttv3.1" is what clients of MQTT 3.1 offer; `mqtt` is the name of the standard [MQTT-6.0.0-3]. */
const subprotocols = ['mqtt', 'mqttv3.1'] as const
/** A frame may hold a whole packet and the beginning of the next. */
const frameExtraBytes = 64 * 1024
/** Request line and headers; over it 431. */
const headersMaxBytes = 8 * 1024
/** For the peer's half of the closing handshake; then the socket is cut. */
const closeTimeoutMs = 5_000

interface Refusal {
  readonly status: number
  readonly line: string
}

export function openWebSocketStage(config: WebConfig, deps: ListenerDeps): Stage {
  const options = {
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: deps.limits.packetMaxBytes + frameExtraBytes,
    handleProtocols: chooseSubprotocol,
    // ws knows it, its types do not yet.
    closeTimeout: closeTimeoutMs,
  }
  const webSockets = new WebSocketServer(options)
  const arrivals = new WeakMap<Duplex, Arrival>()
  const http = createServer({ maxHeaderSize: headersMaxBytes }, onRequest)
  http.on('upgrade', onUpgrade)
  http.on('clientError', (error: Error & { code?: string }, stream) => {
    const status = error.code === 'HPE_HEADER_OVERFLOW' ? 431 : 400
    refuse(stream, { status, line: 'not an HTTP request' }, error.code)
  })
  webSockets.on('wsClientError', (error, stream) => refuse(stream, { status: 400, line: error.message }))
  return { enter, close: () => {} }

  function enter(arrival: Arrival, stream: Duplex): void {
    arrivals.set(stream, arrival)
    // Documented: a connection may be put into a server that does not listen itself.
    http.emit('connection', stream)
  }

  function onUpgrade(request: IncomingMessage, stream: Duplex, head: Buffer): void {
    stream.on('error', ignore)
    const refusal = refusalOf(config, request)
    if (refusal !== undefined) {
      refuse(stream, refusal)
      return
    }
    webSockets.handleUpgrade(request, stream, head, (socket) => {
      const webSocketStream = new WebSocketStream(socket)
      webSocketStream.on('error', (error) => {
        deps.log.debug({ listener: config.name, error: error.message }, 'websocket connection broke')
      })
      arrivals.get(stream)?.handOver(webSocketStream)
    })
  }

  /** Anything but an upgrade. */
  function onRequest(request: IncomingMessage, response: ServerResponse): void {
    const { status, line } = isOurPath(config, request)
      ? { status: 426, line: 'this is MQTT over WebSocket: connect with an MQTT client' }
      : wrongPath(config)
    arrivals.get(request.socket)?.refuseGently('upgrade', line)
    const body = `${line}\n`
    response.writeHead(status, {
      Connection: 'close',
      Upgrade: 'websocket',
      'Content-Type': 'text/plain',
      'Content-Length': Buffer.byteLength(body),
    })
    response.end(body)
  }

  function refuse(stream: Duplex, { status, line }: Refusal, detail: string = line): void {
    arrivals.get(stream)?.refuseGently('upgrade', detail)
    if (!stream.writable) {
      stream.destroy()
      return
    }
    stream.once('finish', () => stream.destroy())
    stream.end(
      [
        `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
        'Connection: close',
        'Content-Type: text/plain',
        `Content-Length: ${Buffer.byteLength(line) + 1}`,
        '',
        `${line}\n`,
      ].join('\r\n'),
    )
  }
}

function refusalOf(config: WebConfig, request: IncomingMessage): Refusal | undefined {
  if (!isOurPath(config, request)) return wrongPath(config)
  const { origin } = request.headers
  if (config.origins.length > 0 && origin !== undefined && !config.origins.includes(origin)) {
    return { status: 403, line: 'this Origin is not in the list of the listener' }
  }
  const offered = request.headers['sec-websocket-protocol']?.split(',').map((name) => name.trim()) ?? []
  if (!subprotocols.some((name) => offered.includes(name))) {
    return { status: 400, line: 'the WebSocket subprotocol "mqtt" must be offered' }
  }
  return undefined
}

function isOurPath(config: WebConfig, request: IncomingMessage): boolean {
  return config.path === '/' || request.url?.split('?', 1)[0] === config.path
}

function wrongPath(config: WebConfig): Refusal {
  return { status: 404, line: `nothing here: MQTT over WebSocket is at ${config.path}` }
}

function chooseSubprotocol(offered: Set<string>): string | false {
  return subprotocols.find((name) => offered.has(name)) ?? false
}

/** The stream's end is seen by whoever waits for the close. */
function ignore(): void {}
