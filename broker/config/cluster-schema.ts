// The section `cluster` of the config file: which nodes belong together, and the Redis at which they meet.
import { z } from 'zod'
import { isLoopback } from './loopback.ts'

const keyLeastBytes = 16

const port = z.int().min(1).max(65_535)
const address = z.strictObject({ host: z.string().min(1), port: port.default(6_379) })
const addresses = (what: string) => z.array(address).min(1).optional().describe(what)

export const redisSchema = z
  .strictObject({
    url: z.string().optional().describe('redis://user:password@host:port/db, or rediss:// for TLS'),
    host: z.string().min(1).optional().describe('without url, path, sentinels and nodes: 127.0.0.1'),
    port: port.optional().describe('6379 when it is not set'),
    path: z.string().min(1).optional().describe('Unix socket of a Redis on this machine'),
    sentinels: addresses('Redis Sentinels; they know the master'),
    sentinelName: z.string().min(1).optional().describe('name of the master that the sentinels watch'),
    sentinelUsername: z.string().min(1).optional(),
    sentinelPassword: z.string().min(1).optional(),
    nodes: addresses('some nodes of a Redis Cluster; all keys of this cluster lie on one of its masters'),
    username: z.string().min(1).optional().describe('user of the Redis ACL'),
    password: z.string().min(1).optional().describe('AUTH; better from the environment'),
    db: z.int().min(0).optional().describe('number of the database'),
    tls: z
      .union([
        z.boolean(),
        z.strictObject({
          ca: z.string().optional().describe('PEM file of the authorities to trust; else those of the system'),
          certificate: z.string().optional().describe('PEM file, when Redis asks for one'),
          key: z.string().optional().describe('PEM file of its private key'),
          serverName: z.string().optional().describe('name that the certificate of Redis must have'),
        }),
      ])
      .optional()
      .describe('true, or its files'),
  })
  .superRefine((redis, { addIssue }) => {
    const problem = (path: PropertyKey | readonly PropertyKey[], message: string): void =>
      addIssue({ code: 'custom', path: [path].flat(), message, continue: true })
    const ways = (['url', 'host', 'path', 'sentinels', 'nodes'] as const).filter((way) => redis[way] !== undefined)
    for (const way of ways.slice(1)) problem(way, `there is "${ways[0]}" already; keep one of the two`)
    if (redis.port !== undefined && ways[0] !== undefined && ways[0] !== 'host') {
      problem('port', `does not go with "${ways[0]}"; write it there`)
    }
    if (redis.sentinels !== undefined && redis.sentinelName === undefined) {
      problem('sentinels', 'the name of the master is missing; set sentinelName')
    }
    if (redis.nodes !== undefined && (redis.db ?? 0) !== 0) problem('db', 'a Redis Cluster has only database 0')
    const url = redis.url === undefined ? undefined : parseUrl(redis.url)
    if (redis.url !== undefined && url === undefined) {
      problem('url', 'is not redis://host:port or rediss://host:port; a Unix socket goes into path')
    }
    const isSafe = redis.password !== undefined || hasTls(redis.tls, url) || (url?.password ?? '') !== ''
    // A password or TLS counts for all of them.
    for (const { way, host } of isSafe ? [] : hostsOf(redis, url)) {
      if (isLoopback(host)) continue
      problem(
        way,
        `${host} is not loopback, and whoever reaches it could read and delete messages; set password or tls`,
      )
    }
  })

export const clusterSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,64}$/, 'letters, digits, "-" and "_", at most 64')
    .default('oriole')
    .describe('nodes with the same name and key at the same Redis are one cluster'),
  key: z
    .string()
    .refine((key) => Buffer.byteLength(key) >= keyLeastBytes, {
      message: `must have at least ${keyLeastBytes} bytes, the same on all nodes; make one with: openssl rand -base64 32`,
    })
    .describe('secret of the cluster; better from the environment'),
  redis: redisSchema.prefault({}),
  outboxMaxBytes: z
    .int()
    .min(1024 * 1024)
    .default(1024 * 1024 * 1024)
    .describe('kept for each other node while it or Redis is away; over it the oldest are dropped'),
  replicas: z
    .union([z.literal(0), z.literal(1)])
    .optional()
    .describe('further nodes on which a session and its unread messages lie; not set: 1 from three nodes on, else 0'),
  serverReference: z
    .string()
    .min(1)
    .max(1_024)
    .optional()
    .describe('host:port where clients reach this node; told to clients of MQTT 5 that are sent to another node'),
})

export type ClusterConfig = z.infer<typeof clusterSchema>
export type RedisConfig = z.infer<typeof redisSchema>

type Addresses = Pick<RedisConfig, 'host' | 'sentinels' | 'nodes'>

function hostsOf({ host, sentinels, nodes }: Addresses, url: URL | undefined): { way: PropertyKey[]; host: string }[] {
  return [
    ...(url === undefined ? [] : [{ way: ['url'], host: url.hostname }]),
    ...(host === undefined ? [] : [{ way: ['host'], host }]),
    ...(sentinels ?? []).map((one, index) => ({ way: ['sentinels', index, 'host'], host: one.host })),
    ...(nodes ?? []).map((one, index) => ({ way: ['nodes', index, 'host'], host: one.host })),
  ]
}

function parseUrl(text: string): URL | undefined {
  if (!/^rediss?:\/\//.test(text) || !URL.canParse(text)) return undefined
  const url = new URL(text)
  return url.hostname !== '' && /^\/?\d*$/.test(url.pathname) ? url : undefined
}

function hasTls(tls: unknown, url: URL | undefined): boolean {
  return (tls !== undefined && tls !== false) || url?.protocol === 'rediss:'
}
