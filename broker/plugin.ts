// The plugin contract: all that a plugin sees of the house. `plugins/README.md` shows how to write one.
import type { z } from 'zod'
import type { Message, QoS } from './message.ts'
import type { Access } from './plugin-access.ts'

export type { QoS } from './message.ts'
export type * from './plugin-access.ts'

/** Who a client is, after it proved it. */
export interface Identity {
  readonly username: string
  readonly groups: readonly string[]
  readonly roles: readonly string[]
  readonly attributes: Readonly<Record<string, string>>
  /** When the proof ends, in milliseconds since 1970; undefined: never. A client that is still connected then is ended. */
  readonly expiresAt?: number | undefined
  /** Entries of the form of `acl.yaml` that came with the proof: acl-file reads them behind those of its file. */
  readonly rules?: readonly object[] | undefined
  /** Made for the client without its asking, as soon as it is connected, and taken away when they are not here any more. */
  readonly subscriptions?: readonly AutomaticSubscription[] | undefined
}

/**
 * A subscription by the house: `authorizeSubscribe` is asked as for any other; it is stored with the session, so that it
 * queues while the client is away. The client's own UNSUBSCRIBE does not end it.
 */
export interface AutomaticSubscription {
  /** May be `$share/NAME/filter`. */
  readonly filter: string
  readonly qos: QoS
}

/** What a client brought to CONNECT, and where it came from. */
export interface Credentials {
  readonly clientId: string
  readonly username: string | undefined
  readonly password: Buffer | undefined
  /** Remote address without port, after the PROXY protocol; "" for a Unix socket. */
  readonly address: string
  readonly listener: string
  /** The verified client certificate of a TLS listener that asks for one. */
  readonly certificate: PeerCertificate | undefined
  readonly protocolVersion: 3 | 4 | 5
}

export interface PeerCertificate {
  readonly commonName: string
  readonly subjectAltNames: readonly string[]
  /** SHA-256, lower-case hexadecimal without separators. */
  readonly fingerprint: string
  /** When it ends, in milliseconds since 1970. */
  readonly endsAt: number
}

/** A connected client, as plugins see it. The same object from authenticate's answer to onDisconnected. */
export interface ClientInfo {
  readonly id: string
  readonly identity: Identity
  readonly address: string
  readonly listener: string
  readonly protocolVersion: 3 | 4 | 5
  readonly cleanStart: boolean
  readonly connectedAt: number
}

/** The answer to "who is this": an identity, or a refusal with the reason for the log (never told to the client). */
export type AuthenticateAnswer = { readonly identity: Identity } | Denial

export interface Denial {
  readonly deny: string
  /** Another server that will take the client: MQTT 5 clients are told (Server Reference, 4.11). */
  readonly serverReference?: string | undefined
  /** True: nobody looked whether it is right. The client is told to try later, and it does not count as a failed login. */
  readonly busy?: boolean | undefined
}

/** One step of an enhanced authentication: an exchange of several packets (MQTT 5.0, 4.12). */
export interface ExchangeStep extends Credentials {
  /** The Authentication Method; the same through the whole exchange. */
  readonly method: string
  /** The Authentication Data of this step. */
  readonly data: Buffer | undefined
  /** What the plugin returned as `state` in the step before; undefined in the first step. */
  readonly state: unknown
  /** Set when a connected client proves again who it is (4.12.1). */
  readonly client: ClientInfo | undefined
}

/**
 * Ask further, accept, or refuse. No answer from any plugin: the method is not known here. `username`: who the client
 * claims to be, as soon as that is known; failed logins are counted under it, and who has too many is refused.
 */
export type ExchangeAnswer =
  | { readonly challenge: Buffer; readonly state: unknown; readonly username?: string | undefined }
  | { readonly identity: Identity; readonly data?: Buffer | undefined }
  | Denial

/** The answer to "may it": `because` says why, for the log and for `explain`. Return a constant on hot paths. */
export interface Decision {
  readonly allow: boolean
  readonly because: string
  /** Set by the broker where a plugin threw or gave no answer in time: nobody has said "no". */
  readonly failed?: true
}

export interface SubscribeDecision extends Decision {
  /** Grant at most this QoS. */
  readonly maxQos?: QoS
  /** For a granted filter that a deny overlaps: true withholds messages of this topic at delivery. */
  readonly withhold?: (topic: string) => boolean
}

export interface PublishQuestion {
  readonly topic: string
  readonly qos: QoS
  readonly retain: boolean
  /** The will of this client: asked at CONNECT and again when it fires. */
  readonly will: boolean
}

export interface SubscribeQuestion {
  /** Without `$share/NAME/`. */
  readonly filter: string
  readonly qos: QoS
  /** The NAME of `$share/NAME/filter`. */
  readonly share: string | undefined
}

/** What `PluginBroker.rightsChanged` did. */
export interface RightsChange {
  /** Connected clients, and the filters that were asked for again. */
  readonly clients: number
  readonly asked: number
  readonly ended: number
  /** Connections that ended because `confirm` said so. */
  readonly disconnected: number
}

type Answer<T> = T | undefined | Promise<T | undefined>

/** Asked in the order of the config until one answers. No answer, a throw or a timeout is "no". */
export interface FirstHooks {
  authenticate(credentials: Credentials): Answer<AuthenticateAnswer>
  /** Asked at each step of an enhanced authentication; a plugin answers only for methods of its own. */
  authenticateExchange(step: ExchangeStep): Answer<ExchangeAnswer>
  authorizePublish(client: ClientInfo, question: PublishQuestion): Answer<Decision>
  authorizeSubscribe(client: ClientInfo, question: SubscribeQuestion): Answer<SubscribeDecision>
  /**
   * Is it still so, without the client's proving it again? Asked of the plugin alone that authenticated it, with what that
   * answered, when `rightsChanged` concerns it and when its will fires later. The identity of now, or a refusal: the user is
   * gone or disabled. Without this hook an identity holds until it expires.
   */
  confirm(identity: Identity): Answer<AuthenticateAnswer>
}

/** Each gets what the one before returned; null drops (and denies, for `identify`). */
export interface WaterfallHooks {
  identify(identity: Identity, credentials: Credentials): Identity | null | Promise<Identity | null>
  onPublish(message: Message, client: ClientInfo): Message | null | Promise<Message | null>
  /** Synchronous: it runs once for each receiver. */
  onDeliver(message: Message, client: ClientInfo): Message | null
}

/** Told afterwards; a throw is logged and changes nothing. */
export interface ObserveHooks {
  onConnected(client: ClientInfo): void | Promise<void>
  /** `reason`: a constant lower-case phrase. */
  onDisconnected(client: ClientInfo, reason: string): void | Promise<void>
  onSubscribed(client: ClientInfo, filter: string, qos: QoS): void | Promise<void>
  onUnsubscribed(client: ClientInfo, filter: string): void | Promise<void>
  onPublished(message: Message, client: ClientInfo | undefined): void | Promise<void>
  onDelivered(message: Message, client: ClientInfo): void | Promise<void>
  onDropped(message: Message, clientId: string, reason: string): void | Promise<void>
}

export type Hooks = FirstHooks & WaterfallHooks & ObserveHooks
export type HookName = keyof Hooks
export type HookKind = 'first' | 'waterfall' | 'observe'

/** The one table of kinds; forgetting a hook here does not compile. */
export const hookKinds = {
  authenticate: 'first',
  authenticateExchange: 'first',
  authorizePublish: 'first',
  authorizeSubscribe: 'first',
  confirm: 'first',
  identify: 'waterfall',
  onPublish: 'waterfall',
  onDeliver: 'waterfall',
  onConnected: 'observe',
  onDisconnected: 'observe',
  onSubscribed: 'observe',
  onUnsubscribed: 'observe',
  onPublished: 'observe',
  onDelivered: 'observe',
  onDropped: 'observe',
} as const satisfies Record<HookName, HookKind>

/** A constant lower-case phrase and fields; never a payload, never a secret. */
export interface PluginLog {
  debug(fields: object, phrase: string): void
  info(fields: object, phrase: string): void
  warn(fields: object, phrase: string): void
  error(fields: object, phrase: string): void
}

/** A file that the plugin declared in `files`: loaded, checked, watched. A broken change keeps the last good value. */
export interface PluginFile<T> {
  /** Absolute. */
  readonly path: string
  readonly value: T
  /** `file:line:column` of a place in a YAML file, for messages that explain. */
  locate(path: readonly PropertyKey[]): string
  /** Called after a changed file was accepted. */
  onChange(listener: (value: T, before: T) => void): void
}

/** What a plugin may ask of the broker. */
export interface PluginBroker {
  readonly node: string
  readonly log: PluginLog
  /** A folder for what the plugin itself writes (0700, made on first use). */
  readonly dataDir: string
  /** Publishes as the broker; resolves when the message is stored as its QoS asks. Not before the start: not to be awaited in `setup`. */
  publish(message: {
    readonly topic: string
    readonly payload: Buffer | string
    readonly qos?: QoS
    readonly retain?: boolean
    readonly userProperties?: readonly (readonly [string, string])[]
  }): Promise<void>
  /** Tells the person who starts the broker one line, once, on the terminal; never logged. For a generated password. */
  announce(line: string, login?: { readonly username: string; readonly password: string }): void
  clients(): Iterable<ClientInfo>
  /** Ends a connection; `reason` is logged. False: no such client is connected. */
  disconnect(clientId: string, reason: string): boolean
  /**
   * Rules, users or groups have changed: call it after the plugin answers by the new ones. For each affected client that is
   * connected (`affects` left out: for all) the identity is made anew (`confirm`, then `identify` on what `authenticate` had
   * answered), and every filter that it holds is asked for again; what is not granted any more ends, with all that waits
   * to be delivered for it. Wills that wait and sessions of clients that are away are asked when they come up. Runs in
   * slices that leave the loop to others; within a second also with many clients. Never rejects.
   */
  rightsChanged(affects?: (client: ClientInfo) => boolean): Promise<RightsChange>
  /**
   * The plugin that authenticated this connected client has a new answer to who it is (an own backend, a renewed token):
   * as if `authenticate` had given it now, `identify` follows, and its rights are asked again. The username stays: the
   * session belongs to it. False: no such client is connected, or it is another user's. For plugins that add groups or
   * roles in `identify` there is `rightsChanged`.
   */
  changeIdentity(clientId: string, identity: Identity): boolean
  /** Acquire, and on the next line register the release. Run in reverse order at stop. */
  onStop(release: () => void | Promise<void>): void
}

/** A file that is not YAML: keys, certificates, or a list that is too long for it. */
export interface TextFile<T> {
  /** A larger file is refused before it is read. */
  readonly maxBytes: number
  /** The value of the text, which is UTF-8. Each mistake is told with its line and column, from 1; then it has no value. */
  read(text: string, mistake: (line: number, column: number, message: string) => void): T | Promise<T>
}

// biome-ignore lint/suspicious/noExplicitAny: a file may have any value; each plugin knows its own.
export type FileSchemas<Config> = { readonly [key in keyof Config]?: z.ZodType<any> | TextFile<any> }
type ValueOf<Schema> = Schema extends z.ZodType<infer T> ? T : Schema extends TextFile<infer T> ? T : never
/** Undefined for a setting that may be left out, and was. */
export type PluginFiles<Files, Config> = {
  readonly [key in keyof Files]:
    | PluginFile<ValueOf<Files[key]>>
    | (key extends keyof Config ? (undefined extends Config[key] ? undefined : never) : never)
}

export interface Plugin<Config = unknown, Files extends FileSchemas<Config> = FileSchemas<Config>> {
  /** The name of the file, and of the entry in `plugins:`. */
  readonly name: string
  /** What may stand under the name in the config. */
  readonly config: z.ZodType<Config>
  /** Which settings are paths of files, and what may stand in each. Paths are relative to the config file. */
  readonly files?: Files
  /** Those of `files` that decide who may do what: symbolic links, files and folders that everyone may write are refused. */
  readonly secretFiles?: readonly (keyof Files)[]
  /** Those of `files` that are a mistake when nothing stands in them: an explicit `[]` or `{}` is something. */
  readonly filledFiles?: readonly (keyof Files)[]
  /** What these files say about users and rights. A plugin without it may answer anything, and is asked only in a broker. */
  access?(config: Config, files: PluginFiles<Files, Config>): Access
  setup(
    broker: PluginBroker,
    config: Config,
    files: PluginFiles<Files, Config>,
  ): Partial<Hooks> | Promise<Partial<Hooks>>
}

/** Checks the types of a plugin and returns it as it is. */
export function definePlugin<Config, const Files extends FileSchemas<Config> = Record<never, never>>(
  plugin: Plugin<Config, Files>,
): Plugin<Config, Files> {
  return plugin
}
