// From the settings of Redis to what ioredis takes, the same for one server, for sentinels and for a Redis Cluster.
import { readFile } from 'node:fs/promises'
import type { ConnectionOptions } from 'node:tls'
import type { RedisOptions } from 'ioredis'
import type { RedisConfig } from '../config/schema.ts'
import { slotConnector } from './slot-connector.ts'

/** A connection or an answer that takes longer counts as Redis being away. */
export const commandTimeoutMs = 2_000
const connectTimeoutMs = 2_000
/** A connection that does not close by itself (Redis hangs, the cable is cut) is cut. */
const disconnectTimeoutMs = 100
const backOffMs = { first: 50, most: 1_000 }

/** Reads the PEM files. `slotKey`: a key of ours, whose node in a Redis Cluster is the one to talk to. */
export async function redisOptions(config: RedisConfig, slotKey: string): Promise<RedisOptions> {
  const tls = await tlsOptions(config)
  const common: RedisOptions = {
    ...optional('username', config.username),
    ...optional('password', config.password),
    ...optional('db', config.db),
    ...optional('tls', tls),
    connectTimeout: connectTimeoutMs,
    commandTimeout: commandTimeoutMs,
    disconnectTimeout: disconnectTimeoutMs,
    keepAlive: 10_000,
    retryStrategy: backOff,
    // The master became a replica, or our slot moved: connecting again finds the right one.
    reconnectOnError: (error) => /READONLY|^MOVED|^CLUSTERDOWN/.test(error.message),
    // What is not answered now is an error now; nothing is kept for later, and nothing is sent twice.
    enableReadyCheck: false,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    disableClientInfo: true,
    lazyConnect: true,
  }
  if (config.sentinels !== undefined) {
    const { sentinels, sentinelName, sentinelUsername, sentinelPassword } = config
    return {
      ...common,
      sentinels: [...sentinels],
      ...optional('name', sentinelName),
      ...optional('sentinelUsername', sentinelUsername),
      ...optional('sentinelPassword', sentinelPassword),
      sentinelRetryStrategy: backOff,
      // A sentinel that hangs must not keep the next one from being asked.
      sentinelCommandTimeout: commandTimeoutMs,
      ...(tls === undefined ? {} : { sentinelTLS: tls, enableTLSForSentinelMode: true }),
    }
  }
  if (config.nodes !== undefined) return { ...common, Connector: slotConnector(config.nodes, slotKey, common) }
  return { ...common, ...address(config) }
}

/** Grows to a second; a part of it is chance, so that nodes do not come back in one moment. */
function backOff(attempt: number): number {
  const longest = Math.min(backOffMs.first * 2 ** Math.min(attempt, 10), backOffMs.most)
  return Math.ceil(longest * (0.5 + Math.random() / 2))
}

function address({ url, host, port, path }: RedisConfig): RedisOptions {
  if (path !== undefined) return { path }
  if (url === undefined) return { host: host ?? '127.0.0.1', port: port ?? 6_379 }
  const parsed = new URL(url)
  const db = parsed.pathname.slice(1)
  return {
    host: parsed.hostname.replace(/^\[|\]$/g, ''),
    port: parsed.port === '' ? 6_379 : Number(parsed.port),
    ...(parsed.username === '' ? {} : { username: decodeURIComponent(parsed.username) }),
    ...(parsed.password === '' ? {} : { password: decodeURIComponent(parsed.password) }),
    ...(db === '' ? {} : { db: Number(db) }),
  }
}

async function tlsOptions({ tls, url }: RedisConfig): Promise<ConnectionOptions | undefined> {
  if (tls === undefined || tls === false || tls === true) {
    return tls === true || url?.startsWith('rediss:') ? {} : undefined
  }
  const read = async (path: string | undefined): Promise<Buffer | undefined> =>
    path === undefined ? undefined : readFile(path)
  const [ca, cert, key] = await Promise.all([read(tls.ca), read(tls.certificate), read(tls.key)])
  return {
    minVersion: 'TLSv1.2',
    ...optional('ca', ca),
    ...optional('cert', cert),
    ...optional('key', key),
    ...optional('servername', tls.serverName),
  }
}

/** Nothing where the value is undefined: ioredis tells "not set" from "set to undefined". */
function optional<Key extends string, Value>(key: Key, value: Value | undefined): { [K in Key]?: Value } {
  return value === undefined ? {} : ({ [key]: value } as { [K in Key]?: Value })
}
