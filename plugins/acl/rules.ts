// The rules of acl-file: what may stand in the file, and what it means for one client.
import { z } from 'zod'
import type { ClientInfo, Decision, SubscribeDecision } from '../../broker/plugin.ts'
import { covers, filterMistake, MatchTree, overlaps } from './filters.ts'

type QoS = 0 | 1 | 2
type Effect = 'allow' | 'deny'

const placeholders = ['user', 'group', 'client'] as const
type Placeholder = (typeof placeholders)[number]
const placeholder = /\{(user|group|client)\}/g
/** `*` in a list of names: whoever it is. */
const anyone = '*'

const filterSchema = z.string().superRefine((filter, context) => {
  for (const [written, name] of filter.matchAll(/\{([^{}/]*)\}/g)) {
    if (placeholders.includes(name as Placeholder)) continue
    context.addIssue({ code: 'custom', message: `"${written}" is not known; there are {user}, {group} and {client}` })
  }
  const mistake = filterMistake(filter.replace(placeholder, 'x'))
  if (mistake !== undefined) context.addIssue({ code: 'custom', message: `"${filter}" is no topic filter: ${mistake}` })
})

const oneOrMore = <T extends z.ZodType>(one: T) => z.union([one, z.array(one).min(1)])
const names = oneOrMore(z.string().min(1)).optional()

const bodySchema = z
  .strictObject({
    users: names.describe('usernames, or "*"'),
    groups: names.describe('names of groups; "*": any group of the user'),
    roles: names.describe('names of roles, or "*"'),
    clients: names.describe('client ids, or "*"'),
    publish: oneOrMore(filterSchema).optional().describe('topics that match one of these filters'),
    subscribe: oneOrMore(filterSchema).optional().describe('filters that are covered by one of these'),
    qos: z
      .array(z.literal([0, 1, 2]))
      .min(1)
      .optional(),
    retain: z.boolean().optional().describe('only publishes with this retain flag'),
  })
  .refine(({ publish, subscribe }) => publish !== undefined || subscribe !== undefined, {
    message: 'says nothing: give `publish`, `subscribe` or both',
  })

const ruleSchema = z
  .strictObject({ allow: bodySchema.optional(), deny: bodySchema.optional() })
  .refine(({ allow, deny }) => (allow === undefined) !== (deny === undefined), {
    message: 'a rule is either `allow: { … }` or `deny: { … }`; write two rules for both',
    // A misspelt key is one mistake, not two.
    when: ({ issues }) => issues.length === 0,
  })

export const rulesSchema = z.array(ruleSchema)
export type RulesFile = z.infer<typeof rulesSchema>

/** What one client may do. */
export interface Rights {
  publish(topic: string, qos: QoS, retain: boolean): Decision
  subscribe(filter: string, qos: QoS): SubscribeDecision
}

/** A rule, read once for all clients. */
interface Rule {
  readonly index: number
  readonly effect: Effect
  /** Undefined: whoever it is. */
  readonly users: ReadonlySet<string> | undefined
  readonly groups: ReadonlySet<string> | undefined
  readonly roles: ReadonlySet<string> | undefined
  readonly clients: ReadonlySet<string> | undefined
  /** True: it asks for a group, a role at all. */
  readonly needsGroup: boolean
  readonly needsRole: boolean
  readonly publish: readonly Pattern[]
  readonly subscribe: readonly Pattern[]
  readonly qos: readonly QoS[]
  readonly retain: boolean | undefined
}

/** A filter as it stands in the file, and the one answer that it gives. */
interface Pattern {
  readonly filter: string
  readonly decision: SubscribeDecision
}

/** A pattern that holds for a client, its placeholders filled in. */
interface Grant {
  readonly rule: Rule
  readonly filter: string
  readonly decision: SubscribeDecision
}

/** `locate` tells where rule number `index` stands; `file` names the file in the answer when no rule fits. */
export function createRights(
  file: RulesFile,
  locate: (index: number) => string,
  fileName: string,
): (client: ClientInfo) => Rights {
  const rules = file.map((entry, index) => readRule(entry, index, locate(index)))
  const rulesFor = indexRules(rules)
  const noRule: Decision = Object.freeze({ allow: false, because: `${fileName}: no rule allows it` })
  return (client) => new ClientRights(client, [...rulesFor(client), ...rulesOf(client, rules.length)], noRule)
}

/** Those that came with the login. Throws when they are no rules, so that what is asked is denied. */
function rulesOf({ identity }: ClientInfo, from: number): readonly Rule[] {
  if (identity.rules === undefined) return []
  return rulesSchema
    .parse(identity.rules)
    .map((entry, index) => readRule(entry, from + index, `rule ${index + 1} of the login:`))
}

function readRule(entry: RulesFile[number], index: number, place: string): Rule {
  const effect = entry.allow === undefined ? 'deny' : 'allow'
  const body = (entry.allow ?? entry.deny)!
  const qos = body.qos ?? []
  const maxQos = effect === 'allow' && qos.length > 0 ? { maxQos: Math.max(...qos) as QoS } : {}
  const patterns = (filters: string | readonly string[] | undefined, action: string): Pattern[] =>
    listOf(filters).map((filter) => ({
      filter,
      decision: Object.freeze({
        allow: effect === 'allow',
        because: `${place} ${effect} ${action} ${filter}`,
        ...(action === 'subscribe' ? maxQos : {}),
      }),
    }))
  return {
    index,
    effect,
    users: namesOf(body.users),
    groups: namesOf(body.groups),
    roles: namesOf(body.roles),
    clients: namesOf(body.clients),
    needsGroup: body.groups !== undefined,
    needsRole: body.roles !== undefined,
    publish: patterns(body.publish, 'publish'),
    subscribe: patterns(body.subscribe, 'subscribe'),
    qos,
    retain: body.retain,
  }
}

/** Ten thousand rules that each name one user cost each user one. */
function indexRules(rules: readonly Rule[]): (client: ClientInfo) => readonly Rule[] {
  const byUser = new Map<string, Rule[]>()
  const byGroup = new Map<string, Rule[]>()
  const rest: Rule[] = []
  const put = (map: Map<string, Rule[]>, name: string, rule: Rule) => {
    const known = map.get(name)
    if (known === undefined) map.set(name, [rule])
    else known.push(rule)
  }
  for (const rule of rules) {
    if (rule.users !== undefined) for (const name of rule.users) put(byUser, name, rule)
    else if (rule.groups !== undefined) for (const name of rule.groups) put(byGroup, name, rule)
    else rest.push(rule)
  }
  return ({ identity }) => {
    const found = new Set(rest)
    for (const rule of byUser.get(identity.username) ?? []) found.add(rule)
    for (const group of identity.groups) for (const rule of byGroup.get(group) ?? []) found.add(rule)
    return [...found].sort((a, b) => a.index - b.index)
  }
}

/** Topics whose answers one client's rights remember; over it all are forgotten and found again. */
const rememberedTopicsMax = 32

const brokerOnly: Decision = Object.freeze({ allow: false, because: 'acl-file: only the broker publishes to $SYS' })

class ClientRights implements Rights {
  readonly #noRule: Decision
  readonly #publish = { allow: new MatchTree<Grant>(), deny: new MatchTree<Grant>() }
  readonly #subscribe: Record<Effect, Grant[]> = { allow: [], deny: [] }
  /** For each topic the answers by QoS and retain flag, so that a busy publisher costs one lookup. */
  #remembered: Map<string, (Decision | undefined)[]> | undefined = undefined

  constructor(client: ClientInfo, rules: readonly Rule[], noRule: Decision) {
    this.#noRule = noRule
    for (const rule of rules) {
      const groups = groupsFor(rule, client)
      if (groups === undefined) continue
      for (const grant of grantsOf(rule, rule.publish, client, groups)) {
        this.#publish[rule.effect].add(grant.filter, grant)
      }
      this.#subscribe[rule.effect].push(...grantsOf(rule, rule.subscribe, client, groups))
    }
  }

  publish(topic: string, qos: QoS, retain: boolean): Decision {
    const slot = qos * 2 + Number(retain)
    this.#remembered ??= new Map()
    let answers = this.#remembered.get(topic)
    const remembered = answers?.[slot]
    if (remembered !== undefined) return remembered
    if (answers === undefined) {
      if (this.#remembered.size >= rememberedTopicsMax) this.#remembered.clear()
      answers = new Array<Decision | undefined>(6).fill(undefined)
      this.#remembered.set(topic, answers)
    }
    const decision = this.#decidePublish(topic, qos, retain)
    answers[slot] = decision
    return decision
  }

  #decidePublish(topic: string, qos: QoS, retain: boolean): Decision {
    if (topic === '$SYS' || topic.startsWith('$SYS/')) return brokerOnly
    const first = (effect: Effect): Grant | undefined => {
      const fitting = this.#publish[effect].match(topic).filter(({ rule }) => appliesTo(rule, qos, retain))
      return fitting.sort((a, b) => a.rule.index - b.rule.index)[0]
    }
    return (first('deny') ?? first('allow'))?.decision ?? this.#noRule
  }

  subscribe(filter: string, qos: QoS): SubscribeDecision {
    let ceiling: number = qos
    for (const { rule, filter: denied, decision } of this.#subscribe.deny) {
      if (!covers(denied, filter)) continue
      // A subscription of a QoS also brings what is below it: so the lowest denied QoS is the end of what is granted.
      ceiling = Math.min(ceiling, rule.qos.length === 0 ? -1 : Math.min(...rule.qos) - 1)
      if (ceiling < 0) return decision
    }
    const covering = this.#subscribe.allow.filter((grant) => covers(grant.filter, filter))
    const best = covering.sort((a, b) => maxQosOf(b) - maxQosOf(a) || a.rule.index - b.rule.index)[0]
    if (best === undefined) return this.#noRule
    const maxQos = Math.min(ceiling, maxQosOf(best)) as QoS
    const withhold = this.#withheldFrom(filter)
    if (withhold === undefined && maxQos >= Math.min(qos, maxQosOf(best))) return best.decision
    return { ...best.decision, maxQos, ...(withhold === undefined ? {} : { withhold }) }
  }

  /** What a wildcard would bring although a deny names it; of a deny with `qos` too, as delivery does not know it. */
  #withheldFrom(filter: string): ((topic: string) => boolean) | undefined {
    const denied = new MatchTree<true>()
    let any = false
    for (const grant of this.#subscribe.deny) {
      if (covers(grant.filter, filter) || !overlaps(grant.filter, filter)) continue
      denied.add(grant.filter, true)
      any = true
    }
    return any ? (topic) => denied.matches(topic) : undefined
  }
}

/** The groups for which a rule speaks to a client; undefined when it does not concern this client. */
function groupsFor(rule: Rule, { id, identity }: ClientInfo): readonly string[] | undefined {
  if (rule.users?.has(identity.username) === false) return undefined
  if (rule.clients?.has(id) === false) return undefined
  const { roles } = rule
  if (rule.needsRole && !identity.roles.some((role) => roles === undefined || roles.has(role))) return undefined
  const { groups } = rule
  const fitting = groups === undefined ? identity.groups : identity.groups.filter((group) => groups.has(group))
  return rule.needsGroup && fitting.length === 0 ? undefined : fitting
}

function grantsOf(
  rule: Rule,
  patterns: readonly Pattern[],
  { id, identity }: ClientInfo,
  groups: readonly string[],
): Grant[] {
  return patterns.flatMap(({ filter, decision }) => {
    const perGroup = filter.includes('{group}') ? groups : ['']
    return perGroup.flatMap((group) => {
      const expanded = expand(filter, { user: identity.username, client: id, group }, rule.effect)
      return expanded === undefined ? [] : [{ rule, filter: expanded, decision }]
    })
  })
}

/**
 * Fills in the placeholders. A value that would be more than a part of one level makes an allow void, and a deny as
 * wide as it could be meant.
 */
function expand(filter: string, values: Readonly<Record<Placeholder, string>>, effect: Effect): string | undefined {
  if (!filter.includes('{')) return filter
  const levels: string[] = []
  for (const level of filter.split('/')) {
    const names = [...level.matchAll(placeholder)].map(([, name]) => name as Placeholder)
    const literal = names.every((name) => isLiteral(values[name]))
    if (!literal && effect === 'allow') return undefined
    levels.push(literal ? level.replace(placeholder, (_, name: Placeholder) => values[name]) : '+')
  }
  return levels.join('/')
}

function isLiteral(value: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  return value !== '' && !/[+#/\u0000-\u001f\u007f-\u009f]|^\$/.test(value)
}

function appliesTo(rule: Rule, qos: QoS, retain: boolean): boolean {
  return (rule.qos.length === 0 || rule.qos.includes(qos)) && (rule.retain === undefined || rule.retain === retain)
}

function maxQosOf({ decision }: Grant): QoS {
  return decision.maxQos ?? 2
}

function namesOf(written: string | readonly string[] | undefined): ReadonlySet<string> | undefined {
  const list = listOf(written)
  return list.length === 0 || list.includes(anyone) ? undefined : new Set(list)
}

function listOf(written: string | readonly string[] | undefined): readonly string[] {
  if (written === undefined) return []
  return typeof written === 'string' ? [written] : written
}
