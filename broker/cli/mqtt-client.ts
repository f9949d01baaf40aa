// The connection of `pub` and `sub`: their common options, and one clear line for each way to fail.
import { readFileSync } from 'node:fs'
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'
import { errorText } from '../errors.ts'
import { type Input, type Option, UsageError } from './command.ts'
import { CommandError } from './fail.ts'
import { askSecret } from './secret-input.ts'

export const connectionOptions = {
  host: { short: 'h', value: 'HOST', help: 'the broker; default 127.0.0.1' },
  port: { short: 'p', value: 'PORT', help: 'default 1883, with TLS 8883' },
  url: { value: 'URL', help: 'instead of host and port: mqtt://, mqtts://, ws:// or wss://' },
  user: { short: 'u', value: 'NAME', help: 'username; the password is asked for when it is not given' },
  password: { short: 'P', value: 'TEXT', help: 'password; better in the environment variable ORIOLE_PASSWORD' },
  id: { short: 'i', value: 'CLIENT', help: 'client id; default a random one' },
  protocol: { short: 'V', value: 'VERSION', help: 'MQTT 3.1, 3.1.1 or 5; default 5' },
  ca: { value: 'FILE', help: 'PEM file of authorities to trust; switches TLS on' },
  cert: { value: 'FILE', help: 'PEM file of a client certificate' },
  key: { value: 'FILE', help: 'PEM file of its private key' },
  insecure: { help: 'do not check the certificate of the broker; for tests' },
  'keep-session': { short: 'c', help: 'keep the session for the next time; needs -i' },
  'session-expiry': { value: 'SECONDS', help: 'how long it is kept (MQTT 5); default as long as the broker allows' },
  timeout: { value: 'SECONDS', help: 'give up after that time' },
} satisfies Record<string, Option>

/** The connection has this long, when no --timeout says less. */
const connectTimeoutMs = 30_000
/** From DISCONNECT to the end of the connection. */
const goodbyeMs = 300
const never = 0xffff_ffff
const versions: Readonly<Record<string, 3 | 4 | 5>> = { '3.1': 3, '3.1.1': 4, '3': 4, '4': 4, '5': 5, '5.0': 5 }
const schemes = ['mqtt', 'mqtts', 'ws', 'wss']

export interface Connected {
  readonly client: MqttClient
  readonly version: 3 | 4 | 5
  /** Rejects when the connection ends although nobody asked for it. */
  readonly lost: Promise<never>
  /** Sends DISCONNECT and closes. */
  end(): Promise<void>
}

/**
 * Resolves after CONNACK. `prepare` gets the client before it connects: messages of a kept session follow CONNACK at
 * once. Throws UsageError, or CommandError with the reason of the refusal.
 */
export async function connect(
  input: Input,
  commandName: string,
  prepare: (client: MqttClient) => void = () => {},
): Promise<Connected> {
  const { url, version, options } = await readConnection(input, `oriole ${commandName} --help`)
  const client = mqtt.connect(url, { ...options, manualConnect: true })
  prepare(client)
  let ended = false
  const lost = new Promise<never>((_, reject) => {
    let farewell: string | undefined
    client.on('disconnect', (packet) => {
      farewell = `the broker ended the connection: ${reasonText(packet.reasonCode ?? 0)}`
    })
    client.on('error', (error) => reject(new CommandError(refusal(error, url), { cause: error })))
    client.on('close', () => {
      // A moment later, so that an error that says more comes first.
      setImmediate(() => {
        if (!ended)
          reject(
            new CommandError(
              farewell ?? `the broker closed the connection${version === 5 ? '' : '; with -V 5 it says why'}`,
            ),
          )
      })
    })
  })
  // Somebody always races against it; until then it must not count as unhandled.
  lost.catch(() => {})
  const connected = new Promise<void>((resolve) => {
    client.once('connect', () => resolve())
  })
  client.connect()
  try {
    await Promise.race([connected, lost])
  } catch (error) {
    client.end(true)
    throw error
  }
  return {
    client,
    version,
    lost,
    end() {
      ended = true
      return new Promise((resolve) => {
        client.once('close', () => resolve())
        client.end(false, {}, () => resolve())
        // DISCONNECT is on its way. What was not read any more must not keep the connection open.
        setTimeout(() => client.stream.destroy(), goodbyeMs).unref()
      })
    },
  }
}

/** `not authorized (0x87)` */
export function reasonText(code: number): string {
  const words = reasonWords[code]
  const hex = `0x${code.toString(16).padStart(2, '0')}`
  return words === undefined ? `reason ${hex}` : `${words} (${hex})`
}

async function readConnection(input: Input, helpCommand: string) {
  const version = versions[input.text('protocol') ?? '5']
  if (version === undefined) throw new UsageError('-V is 3.1, 3.1.1 or 5', helpCommand)
  const keep = input.isSet('keep-session')
  if (keep && !input.isSet('id')) throw new UsageError('--keep-session needs a client id: -i CLIENT', helpCommand)
  const expiry = input.number('session-expiry', 0, never)
  if (expiry !== undefined && version !== 5) throw new UsageError('--session-expiry needs -V 5', helpCommand)
  const timeout = input.number('timeout', 1, 86_400)
  const expiryAsked = expiry ?? (keep ? never : undefined)
  const options: IClientOptions = {
    protocolVersion: version,
    ...(version === 3 ? { protocolId: 'MQIsdp' } : {}),
    clientId: input.text('id') ?? `oriole-cli-${Math.random().toString(36).slice(2, 12)}`,
    clean: !keep,
    reconnectPeriod: 0,
    connectTimeout: Math.min(connectTimeoutMs, (timeout ?? Number.POSITIVE_INFINITY) * 1_000),
    rejectUnauthorized: !input.isSet('insecure'),
    ...(await readUser(input, helpCommand)),
    ...readPem(input),
    ...(version === 5 && expiryAsked !== undefined ? { properties: { sessionExpiryInterval: expiryAsked } } : {}),
  }
  return { url: readUrl(input, helpCommand), version, options }
}

async function readUser(input: Input, helpCommand: string): Promise<{ username?: string; password?: string }> {
  const username = input.text('user')
  const given = input.text('password')
  if (username === undefined) {
    if (given !== undefined) throw new UsageError('a password needs a username: -u NAME', helpCommand)
    return {}
  }
  const password = given ?? process.env.ORIOLE_PASSWORD
  if (password !== undefined) return { username, password }
  return process.stdin.isTTY ? { username, password: await askSecret(`Password of ${username}: `) } : { username }
}

function readUrl(input: Input, helpCommand: string): string {
  const given = input.text('url')
  if (given === undefined) {
    const secure = ['ca', 'cert', 'insecure'].some((name) => input.isSet(name))
    const port = input.number('port', 1, 65_535) ?? (secure ? 8883 : 1883)
    const host = input.text('host') ?? '127.0.0.1'
    return `${secure ? 'mqtts' : 'mqtt'}://${host.includes(':') && !host.startsWith('[') ? `[${host}]` : host}:${port}`
  }
  if (input.isSet('host') || input.isSet('port')) throw new UsageError('either --url or -h and -p', helpCommand)
  const url = URL.canParse(given) ? new URL(given) : undefined
  const scheme = url?.protocol.slice(0, -1) ?? ''
  if (url === undefined || !schemes.includes(scheme) || url.hostname === '') {
    throw new UsageError(`--url: "${given}" is no ${schemes.join(', ')} URL with a host`, helpCommand)
  }
  if (scheme.startsWith('ws') && url.pathname === '/') url.pathname = '/mqtt'
  return url.href
}

function readPem(input: Input): IClientOptions {
  return Object.fromEntries(
    ['ca', 'cert', 'key'].flatMap((name) => {
      const path = input.text(name)
      return path === undefined ? [] : [[name, readFileNamed(path, `--${name}`)]]
    }),
  )
}

export function readFileNamed(path: string, option: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw new CommandError(`${option}: cannot read ${path}: ${errorText(error)}`, { cause: error })
  }
}

function refusal(error: unknown, url: string): string {
  const { code } = error as { code?: unknown }
  // A password may stand in the URL.
  const shown = url.replace(/\/\/[^/@]*@/, '//')
  if (typeof code === 'number') return `the broker at ${shown} refused the connection: ${reasonText(code)}`
  const inner = error instanceof AggregateError ? error.errors[0] : error
  const innerCode = (inner as NodeJS.ErrnoException | undefined)?.code
  if (innerCode === 'ECONNREFUSED') return `nobody listens at ${shown}; is the broker running?`
  if (innerCode === 'ENOTFOUND') return `there is no host of that name: ${shown}`
  return `no connection to ${shown}: ${errorText(inner)}`
}

/** CONNACK of MQTT 3 below 0x80, the reason codes of MQTT 5 above. */
const reasonWords: Readonly<Record<number, string>> = {
  0: 'normal',
  1: 'unacceptable protocol version',
  2: 'client id rejected',
  3: 'server unavailable',
  4: 'bad user name or password',
  5: 'not authorized',
  128: 'not granted',
  129: 'malformed packet',
  130: 'protocol error',
  131: 'implementation specific error',
  132: 'unsupported protocol version',
  133: 'client id not valid',
  134: 'bad user name or password',
  135: 'not authorized',
  136: 'server unavailable',
  137: 'server busy',
  138: 'banned',
  139: 'server shutting down',
  140: 'bad authentication method',
  141: 'keep alive timeout',
  142: 'session taken over',
  143: 'topic filter not valid',
  144: 'topic name not valid',
  147: 'receive maximum exceeded',
  148: 'topic alias not valid',
  149: 'packet too large',
  150: 'message rate too high',
  151: 'quota exceeded',
  152: 'administrative action',
  153: 'payload format not valid',
  154: 'retain not supported',
  155: 'QoS not supported',
  158: 'shared subscriptions not supported',
  159: 'connection rate exceeded',
  160: 'maximum connect time',
  161: 'subscription identifiers not supported',
  162: 'wildcard subscriptions not supported',
}
