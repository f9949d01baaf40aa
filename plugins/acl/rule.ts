// One rule, read once for all clients, and what it says to one of them.
import type { ClientInfo, Identity, SubscribeDecision } from '../../broker/plugin.ts'
import { type AddressTest, addressTest } from './addresses.ts'
import { anyone, listOf } from './names.ts'
import { expand, namesGroup } from './placeholders.ts'
import type { RuleBody, RuleEntry } from './rules-file.ts'
import { isOpen, parseTimes, type TimeWindow } from './times.ts'

export type QoS = 0 | 1 | 2
export type Effect = 'allow' | 'deny'
export type Action = 'publish' | 'subscribe'
export type { RuleEntry } from './rules-file.ts'

export interface Rule {
  readonly index: number
  readonly effect: Effect
  readonly body: RuleBody
  /** Undefined: whoever it is. */
  readonly users: ReadonlySet<string> | undefined
  readonly groups: ReadonlySet<string> | undefined
  readonly roles: ReadonlySet<string> | undefined
  readonly clients: ReadonlySet<string> | undefined
  readonly listeners: ReadonlySet<string> | undefined
  readonly addresses: AddressTest | undefined
  /** Undefined: always. */
  readonly when: When | undefined
  readonly publish: readonly Pattern[]
  readonly subscribe: readonly Pattern[]
  readonly qos: readonly QoS[]
  readonly retain: boolean | undefined
}

export interface When {
  readonly windows: readonly TimeWindow[]
  readonly sinceMs: number
  readonly untilMs: number
}

/** A filter as it stands in the file, and the one answer that it gives. */
export interface Pattern {
  readonly filter: string
  readonly action: Action
  readonly decision: SubscribeDecision
}

/** A pattern that holds for a client, its placeholders filled in. */
export interface Grant {
  readonly rule: Rule
  readonly pattern: Pattern
  readonly filter: string
  /** The group that stands for {group}; "" where the filter names none. */
  readonly group: string
}

/** `place` tells where the rule stands, when an answer is asked for it. */
export function readRule(entry: RuleEntry, index: number, place: (index: number) => string): Rule {
  const effect = entry.allow === undefined ? 'deny' : 'allow'
  const body = (entry.allow ?? entry.deny)!
  const qos = body.qos ?? []
  const maxQos = effect === 'allow' && qos.length > 0 ? { maxQos: Math.max(...qos) as QoS } : {}
  const patterns = (filters: string | readonly string[] | undefined, action: Action): Pattern[] =>
    listOf(filters).map((filter) => {
      let decision: SubscribeDecision | undefined
      return {
        filter,
        action,
        // Made when it is first asked for, and then the same each time: few of ten thousand rules are.
        get decision() {
          decision ??= Object.freeze({
            allow: effect === 'allow',
            because: `${place(index)} ${effect} ${action} ${filter}`,
            ...(action === 'subscribe' ? maxQos : {}),
          })
          return decision
        },
      }
    })
  const addresses = listOf(body.addresses)
  return {
    index,
    effect,
    body,
    users: namesOf(body.users),
    groups: namesOf(body.groups),
    roles: namesOf(body.roles),
    clients: namesOf(body.clients),
    listeners: namesOf(body.listeners),
    addresses: addresses.length === 0 ? undefined : addressTest(addresses),
    when: whenOf(body),
    publish: patterns(body.publish, 'publish'),
    subscribe: patterns(body.subscribe, 'subscribe'),
    qos,
    retain: body.retain,
  }
}

/** True when all conditions of a rule fit a client at a moment. */
export function holds(rule: Rule, { id, identity, address, listener }: ClientInfo, atMs: number): boolean {
  if (!concerns(rule, identity)) return false
  if (rule.clients?.has(id) === false || rule.listeners?.has(listener) === false) return false
  if (rule.addresses?.(address) === false) return false
  return rule.when === undefined || isNow(rule.when, atMs)
}

/** True when the rule speaks of somebody, wherever and whenever that is. */
export function concerns(rule: Rule, { username, groups, roles }: Identity): boolean {
  if (rule.users?.has(username) === false) return false
  if (rule.body.roles !== undefined && !roles.some((role) => rule.roles?.has(role) ?? true)) return false
  return rule.body.groups === undefined || fittingGroups(rule, groups).length > 0
}

/** What a rule gives to, or takes from, a client for which it holds. */
export function grantsOf(rule: Rule, action: Action, { id, identity }: ClientInfo): Grant[] {
  const groups = fittingGroups(rule, identity.groups)
  // A muted member reads what the group may read, and writes nothing that the group may write.
  const speaking =
    rule.effect === 'deny' || action === 'subscribe' ? groups : groups.filter((one) => !isMuted(one, identity.roles))
  const byGroup = rule.body.groups !== undefined
  if (byGroup && speaking.length === 0) return []
  return rule[action].flatMap((pattern) => {
    const perGroup = namesGroup(pattern.filter) ? speaking : ['']
    return perGroup.flatMap((group) => {
      const values = { user: identity.username, client: id, group, attributes: identity.attributes }
      const filter = expand(pattern.filter, values, rule.effect === 'deny')
      return filter === undefined ? [] : [{ rule, pattern, filter, group }]
    })
  })
}

export function isMuted(group: string, roles: readonly string[]): boolean {
  return roles.includes(`muted:${group}`)
}

export function appliesTo(rule: Rule, qos: QoS, retain: boolean): boolean {
  return (rule.qos.length === 0 || rule.qos.includes(qos)) && (rule.retain === undefined || rule.retain === retain)
}

/** The highest QoS that an allow grants to a subscription. */
export function highestQos({ pattern }: Grant): QoS {
  return pattern.decision.maxQos ?? 2
}

/** A subscription of a QoS also brings what is below it: so the lowest denied QoS is the end of what is granted. */
export function lowestQos({ rule }: Grant): number {
  return rule.qos.length === 0 ? 0 : Math.min(...rule.qos)
}

/** The groups of the client that the rule speaks of. */
export function fittingGroups(rule: Rule, groups: readonly string[]): readonly string[] {
  return rule.groups === undefined ? groups : groups.filter((group) => rule.groups!.has(group))
}

export function isNow({ windows, sinceMs, untilMs }: When, atMs: number): boolean {
  if (atMs < sinceMs || atMs >= untilMs) return false
  return windows.length === 0 || windows.some((window) => isOpen(window, atMs))
}

function whenOf({ times, since, until }: RuleBody): When | undefined {
  if (times === undefined && since === undefined && until === undefined) return undefined
  return {
    windows: listOf(times).map((text) => parseTimes(text) as TimeWindow),
    sinceMs: since === undefined ? Number.NEGATIVE_INFINITY : Date.parse(since),
    untilMs: until === undefined ? Number.POSITIVE_INFINITY : Date.parse(until),
  }
}

function namesOf(written: string | readonly string[] | undefined): ReadonlySet<string> | undefined {
  const list = listOf(written)
  return list.length === 0 || list.includes(anyone) ? undefined : new Set(list)
}
