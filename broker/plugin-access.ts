// What the files of plugins alone say about users and rights: for `oriole acl`, `oriole plan`, `oriole check` and reloads.
import type { QoS } from './message.ts'
import type { ClientInfo, Identity } from './plugin.ts'

/**
 * One plugin's part of it, made from one version of its files. It opens nothing, keeps nothing, and is made anew for
 * each version, also for one that is only being considered.
 */
export interface Access {
  /** The groups that there are. Whoever says so says it for all: a rule that names another one is a mistake. */
  readonly groups?: ReadonlySet<string>
  /** Groups that the files name, without being the ones to say which there are. */
  readonly namedGroups?: ReadonlySet<string>
  /** Users that the files name. */
  usernames?(): Iterable<string>
  /** Who a user is when the login succeeds; undefined: not known here, or not let in. */
  user?(username: string): Identity | undefined
  /** What the files add to an identity. */
  identify?(identity: Identity): Identity
  /** How somebody came to a group or a role, each step with its place in a file; empty: not from here. */
  origin?(username: string, membership: Membership): readonly string[]
  /** Mistakes that show only beside the files of the other plugins. */
  mistakes?(known: KnownNames): readonly FileMistake[]
  /** The answer and the reasons for it; undefined: no opinion, the next plugin is asked. */
  explain?(client: ClientInfo, question: AccessQuestion): Explanation | undefined
  /** Whether it would be granted; undefined: no opinion. As `explain` says, and faster. */
  maySubscribe?(client: ClientInfo, filter: string, qos: QoS): boolean | undefined
  /** Each rule by its text, for the difference between two versions. */
  readonly rules?: readonly AccessRule[]
  /** Those of them that may concern somebody. */
  rulesOf?(identity: Identity): readonly AccessRule[]
  /** True when the rules give all of this filter to everybody of this identity, wherever and whenever. */
  gives?(identity: Identity, right: Pick<Right, 'action' | 'filter'>): boolean
}

export type Membership = { readonly group: string } | { readonly role: string }

export interface KnownNames {
  /** Undefined: they cannot be known, because a login may bring others. */
  readonly groups: ReadonlySet<string> | undefined
}

export interface FileMistake {
  /** Which of the plugin's `files`. */
  readonly setting: string
  readonly path: readonly PropertyKey[]
  readonly part: 'key' | 'value'
  readonly message: string
}

export interface AccessQuestion {
  readonly action: 'publish' | 'subscribe'
  /** The topic, or the filter without `$share/NAME/`. */
  readonly topic: string
  readonly qos: QoS
  readonly retain: boolean
  /** For which moment it is asked, in milliseconds since 1970. */
  readonly atMs: number
}

export interface Explanation {
  readonly allow: boolean
  /** As in `Decision`. */
  readonly because: string
  /** The filter of the deciding rule, as it reads for this client. */
  readonly expanded?: string | undefined
  /** The groups and roles that made the deciding rule hold. */
  readonly through?: readonly Membership[]
  /** Granted up to this QoS. */
  readonly maxQos?: QoS | undefined
  /** The denies that withhold a part of what is granted. */
  readonly withheld?: readonly string[]
  /** True: of what is granted, messages of this topic are withheld. */
  withholds?(topic: string): boolean
  /** The rule that was nearest to the other answer, and what it lacked. */
  readonly nearest?: { readonly because: string; readonly lacks: readonly string[] } | undefined
}

export interface AccessRule {
  /** Two rules with the same text are the same rule. */
  readonly text: string
  rightsOf(identity: Identity): readonly Right[]
}

export interface Right {
  readonly effect: 'allow' | 'deny'
  readonly action: 'publish' | 'subscribe'
  /** As it reads for this identity. */
  readonly filter: string
  /** As it is shown for many: {user} is left as it is written. */
  readonly shown: string
  /** What else must fit, such as ` qos 0,1`; "" when nothing. */
  readonly conditions: string
}
