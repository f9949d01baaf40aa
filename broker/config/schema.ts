// The one schema of the config file: every setting, its unit, its bounds and its default.
import { z } from 'zod'
import { filterProblem, parseShare } from '../protocol/topics.ts'
import { clusterSchema } from './cluster-schema.ts'

const KiB = 1024
const MiB = 1024 * KiB
const day = 86_400

/** Below it the files that LevelDB works with would not fit. */
const diskLeastBytes = 64 * MiB

const port = z.int().min(0).max(65_535)
const count = z.int().min(0)
const positive = z.int().min(1)

/** Who may connect how often to one listener. 0 switches a limit off. */
export const acceptSchema = z.strictObject({
  connectionsMax: count.default(0).describe('open connections of this listener; 0: no limit'),
  connectionsPerAddress: count.default(0).describe('open connections for each remote address; 0: no limit'),
  perAddressPerS: count.default(0).describe('new connections a second for each remote address; 0: no limit'),
  trustedProxies: z
    .array(z.string())
    .default([])
    .describe(
      'addresses or CIDR ranges that may speak the PROXY protocol; empty: all who can reach a listener that asks for it',
    ),
})

const common = {
  name: z.string().min(1).describe('unique; stands in logs and metrics'),
  proxyProtocol: z
    .boolean()
    .default(false)
    .describe('expect a PROXY protocol header, version 1 or 2, on each connection'),
  accept: acceptSchema.prefault({}),
}
const network = {
  ...common,
  host: z.string().default('127.0.0.1').describe('address to listen on; not loopback needs TLS or `insecure: true`'),
  insecure: z.boolean().default(false).describe('allow plain text on an address that is not loopback'),
}
const tls = {
  certificate: z.string().describe('PEM file with the certificate and its chain; reloaded when it changes'),
  key: z.string().describe('PEM file with the private key'),
  ca: z.string().optional().describe('PEM file of authorities for client certificates'),
  clientCertificate: z.enum(['none', 'optional', 'required']).default('none'),
  crl: z.string().optional().describe('PEM file with lists of revoked client certificates, one for each authority'),
  minVersion: z.enum(['TLSv1.2', 'TLSv1.3']).default('TLSv1.2'),
}
const web = {
  path: z.string().startsWith('/').default('/mqtt').describe('path of the WebSocket upgrade; `/` accepts any'),
  origins: z.array(z.string()).default([]).describe('Origin values that browsers may send; empty: any'),
}

export const listenerSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('tcp'), ...network, port: port.default(1883) }),
  z.strictObject({ type: z.literal('tls'), ...network, ...tls, port: port.default(8883) }),
  z.strictObject({ type: z.literal('ws'), ...network, ...web, port: port.default(8083) }),
  z.strictObject({ type: z.literal('wss'), ...network, ...web, ...tls, port: port.default(8084) }),
  z.strictObject({ type: z.literal('unix'), ...common, path: z.string().describe('path of the socket file (0600)') }),
])

/** Above it the sockets of those who publish are read more slowly; nothing is dropped. */
const paceSchema = {
  publishPerS: count.default(0).describe('messages a second; 0: no limit'),
  publishBytesPerS: count.default(0).describe('bytes a second; 0: no limit'),
}

export const limitsSchema = z.strictObject({
  connectPacketMaxBytes: positive.default(16 * KiB).describe('a packet before CONNECT is accepted'),
  packetMaxBytes: positive.max(268_000_000).default(MiB).describe('any packet'),
  connectTimeoutMs: positive.default(10_000).describe('accept to CONNECT, TLS and WebSocket upgrade included'),
  hookTimeoutMs: positive.default(5_000).describe('an answer of authenticate or authorize; later is "no"'),
  connectionsMax: count.default(0).describe('open connections of all listeners; 0: no limit'),
  clientIdMaxBytes: positive.max(65_535).default(128),
  topicMaxBytes: positive.max(65_535).default(1_024),
  topicMaxLevels: positive.max(128).default(32),
  filtersPerSubscribe: positive.default(100),
  filtersPerClient: positive.default(1_000),
  inflightOut: positive
    .max(65_535)
    .default(100)
    .describe('unacknowledged deliveries to a client that names no Receive Maximum'),
  inflightIn: positive
    .max(65_535)
    .default(1_000)
    .describe('unacknowledged QoS 1 and 2 publishes of a client; told as Receive Maximum'),
  topicAliasMax: count.max(65_535).default(32).describe('topic aliases that a client may set'),
  outputLowBytes: positive
    .default(MiB)
    .describe('buffered for one connection: above it QoS 0 is dropped, QoS 1 and 2 wait'),
  outputHighBytes: positive.default(8 * MiB).describe('buffered for one connection: above it the connection is cut'),
  queueMessages: positive.default(1_000).describe('kept for offline sessions, for each session and filter'),
  queueBytes: positive.default(16 * MiB).describe('kept for offline sessions, for each session and filter'),
  queueAgeS: positive.default(7 * day).describe('kept for offline sessions'),
  sessionExpiryS: count.default(7 * day).describe('of a session that does not say (3.1.1, clean session 0)'),
  sessionExpiryMaxS: count.default(30 * day).describe('longest that a client may ask for'),
  sessionsPerUser: positive.default(20).describe('over it the oldest offline session ends'),
  keepaliveMaxS: positive.max(65_535).default(1_200).describe('also for clients that ask for none'),
  retainedMessages: count.default(1_000_000),
  retainedPerUser: count.default(10_000),
  retainedMaxBytes: count.default(256 * KiB),
  willMaxBytes: count.default(64 * KiB),
  connectsPerClient: z
    .strictObject({
      perS: positive.default(10).describe('lasting rate'),
      burst: positive.default(100).describe('this many at once'),
    })
    .prefault({})
    .describe('CONNECTs with one client id, user and address; over it refused with 0x9F'),
  failedLogins: z
    .strictObject({
      perMinute: count.default(10).describe('for each user and address; 0: no limit'),
      perAddressPerMinute: count.default(0).describe('for each address, whatever the user; 0: no limit'),
      banS: count.default(300),
    })
    .prefault({})
    .describe('wrong passwords, then a ban'),
  flapping: z
    .strictObject({
      connects: count.default(0).describe('0: no limit'),
      withinS: positive.default(60),
      banS: count.default(300),
    })
    .prefault({})
    .describe('connections of one client id, user and address that ended within some time, then a ban'),
  publishPerS: count
    .default(0)
    .describe('messages a second of one client; above it its socket is read more slowly; 0: no limit'),
  publishBytesPerS: count.default(0).describe('bytes a second of one client; 0: no limit'),
  perUser: z
    .strictObject({ ...paceSchema, connectsPerS: count.default(0).describe('connects; above it refused with 0x9F') })
    .prefault({})
    .describe('all clients of one user together; 0: no limit'),
  perGroup: z
    .record(z.string().min(1), z.strictObject(paceSchema))
    .default({})
    .describe('all members of a group together, by its name'),
  loopDelayMs: count
    .default(200)
    .describe('event loop delay (p99 over 10 s) above which new connections are refused; 0: off'),
})

export const storeSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('level'),
    path: z.string().default('./data').describe('folder, relative to the folder in which oriole runs'),
    durability: z
      .enum(['disk', 'os', 'memory'])
      .default('disk')
      .describe('disk: survives a power cut; os: survives the end of the process; memory: survives neither'),
    diskMaxBytes: count
      .refine((bytes) => bytes === 0 || bytes >= diskLeastBytes, {
        message: `must be 0 (no cap), or at least ${diskLeastBytes}`,
      })
      .default(0)
      .describe('all messages, sessions and retained messages on the disk; 0: no cap'),
  }),
  z.strictObject({ type: z.literal('memory') }),
])

/** What is kept of a topic's messages although nobody waits for them any more. Each bound is for each topic. */
export const historyRuleSchema = z
  .strictObject({
    filter: z
      .string()
      .superRefine((filter, { addIssue }) => {
        const problem = filterProblem(filter) ?? (parseShare(filter) && 'is a shared subscription, not a topic filter')
        if (problem !== undefined) addIssue({ code: 'custom', message: problem })
      })
      .describe('topics of which messages with QoS 1 and 2 are kept'),
    days: z.number().positive().max(36_500).optional().describe('kept so long'),
    messages: positive.optional().describe('the newest so many of each topic'),
    bytes: positive.optional().describe('the newest of each topic that fit into so many bytes'),
  })
  .refine(({ days, messages, bytes }) => days !== undefined || messages !== undefined || bytes !== undefined, {
    message: 'has no bound: set days, messages or bytes',
  })

export const logSchema = z.strictObject({
  level: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
  format: z.enum(['auto', 'json', 'pretty']).default('auto').describe('auto: pretty on a terminal, else JSON lines'),
})

export const adminSchema = z.strictObject({
  enabled: z.boolean().default(true),
  host: z.string().default('127.0.0.1').describe('loopback only'),
  port: port.default(8080),
})

/** A name, or one name with its settings. The plugin's own schema checks the settings. */
const pluginEntrySchema = z.union([
  z.string().min(1),
  z.record(z.string().min(1), z.unknown()).refine((entry) => Object.keys(entry).length === 1, {
    message: 'one plugin for each line: `- name` or `- name: { settings }`',
  }),
])

export const configSchema = z.strictObject({
  node: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,64}$/, 'letters, digits, "-" and "_", at most 64')
    .default('oriole')
    .describe('name of this node; unique in a cluster'),
  listeners: z
    .array(listenerSchema)
    .min(1)
    .prefault([{ type: 'tcp', name: 'tcp' }]),
  limits: limitsSchema.prefault({}),
  sharedSubscriptions: z
    .enum(['round-robin', 'sticky', 'hash-client', 'hash-topic', 'fewest-in-flight'])
    .default('round-robin')
    .describe('which connected member of a shared subscription gets a message'),
  store: storeSchema.prefault({ type: 'level' }),
  history: z
    .array(historyRuleSchema)
    .default([])
    .describe('what is kept although nobody waits for it; the first rule that matches a topic counts'),
  plugins: z.array(pluginEntrySchema).default([]).describe('in the order in which they are asked'),
  log: logSchema.prefault({}),
  workers: z
    .union([z.literal('auto'), z.int().min(1).max(64)])
    .default(1)
    .describe('nodes of a cluster on this machine, behind one port; auto: one for each processor'),
  cluster: clusterSchema.optional().describe('how this node meets others; without it, it runs alone'),
  admin: adminSchema.prefault({}),
})

export type { ClusterConfig, RedisConfig } from './cluster-schema.ts'
export type Config = z.infer<typeof configSchema>
export type ListenerConfig = z.infer<typeof listenerSchema>
export type AcceptConfig = z.infer<typeof acceptSchema>
export type LimitsConfig = z.infer<typeof limitsSchema>
export type StoreConfig = z.infer<typeof storeSchema>
export type LogConfig = z.infer<typeof logSchema>
export type AdminConfig = z.infer<typeof adminSchema>
