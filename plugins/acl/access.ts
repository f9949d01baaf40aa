// What the rules file says, for those who ask without being a client: `oriole acl`, `oriole plan`, and reloads.
import type {
  Access,
  AccessQuestion,
  AccessRule,
  ClientInfo,
  Explanation,
  FileMistake,
  Identity,
  KnownNames,
  Membership,
  Right,
} from '../../broker/plugin.ts'
import { brokerOnly, isBrokerOnly, type Rights } from './client-rights.ts'
import { covers } from './covering.ts'
import { MatchTree } from './filters.ts'
import { nearest } from './nearest.ts'
import { concerns, fittingGroups, type Grant, grantsOf, type Rule, readRule } from './rule.ts'
import type { RuleBook } from './rule-book.ts'
import { groupsNamedBy, type RuleBody, type RuleEntry, type RulesFile } from './rules-file.ts'

export function accessOf(file: RulesFile, book: RuleBook): Access {
  let rules: readonly AccessRule[] | undefined
  let asked:
    | { readonly identity: Identity; readonly publish: MatchTree<true>; readonly subscribe: MatchTree<true> }
    | undefined
  let subscriber: { readonly client: ClientInfo; readonly rights: Rights } | undefined
  return {
    get rules() {
      rules ??= file.map(accessRuleOf)
      return rules
    },
    rulesOf: (identity) => book.entriesFor(identity).map(accessRuleOf),
    mistakes: (known) => unknownGroups(file, known),
    explain: (client, question) => explain(book, client, question),
    maySubscribe(client, filter, qos) {
      if (subscriber?.client !== client) subscriber = { client, rights: book.rightsOf(client, Date.now()) }
      return subscriber.rights.subscribe(filter, qos).allow
    },
    gives(identity, { action, filter }) {
      if (asked?.identity !== identity) {
        asked = {
          identity,
          publish: givenBy(book, 'publish', identity),
          subscribe: givenBy(book, 'subscribe', identity),
        }
      }
      return covers(asked[action], filter)
    },
  }
}

function unknownGroups(file: RulesFile, { groups }: KnownNames): FileMistake[] {
  if (groups === undefined) return []
  const mistakes: FileMistake[] = []
  for (const [index, entry] of file.entries()) {
    for (const { group, path } of groupsNamedBy(entry, index)) {
      if (groups.has(group)) continue
      const message = `there is no group "${group}"; add it to the groups, if only as \`${group}: {}\``
      mistakes.push({ setting: 'rules', path, part: 'value', message })
    }
  }
  return mistakes
}

/** An entry that stayed the same is the same object in the next version. */
const accessRules = new WeakMap<RuleEntry, AccessRule>()

function accessRuleOf(entry: RuleEntry): AccessRule {
  const known = accessRules.get(entry)
  if (known !== undefined) return known
  let read: { readonly rule: Rule; readonly conditions: string } | undefined
  let text: string | undefined
  // Of thousands of rules a change asks for a few.
  const fresh: AccessRule = {
    get text() {
      text ??= JSON.stringify(entry)
      return text
    },
    rightsOf(identity) {
      read ??= readAlone(entry)
      return rightsOf(read.rule, identity, read.conditions)
    },
  }
  accessRules.set(entry, fresh)
  return fresh
}

function readAlone(entry: RuleEntry): { readonly rule: Rule; readonly conditions: string } {
  const rule = readRule(entry, 0, () => '')
  return { rule, conditions: conditionsOf(rule.body) }
}

function rightsOf(rule: Rule, identity: Identity, conditions: string): Right[] {
  if (!concerns(rule, identity)) return []
  const client = anyClientOf(identity)
  return (['publish', 'subscribe'] as const).flatMap((action) =>
    grantsOf(rule, action, client).map(({ pattern, filter, group }) => ({
      effect: rule.effect,
      action,
      filter,
      shown: group === '' ? pattern.filter : pattern.filter.replaceAll('{group}', group),
      conditions,
    })),
  )
}

function conditionsOf({ clients, addresses, listeners, times, since, until, qos, retain }: RuleBody): string {
  const conditions = { clients, addresses, listeners, times, since, until, qos, retain }
  return Object.entries(conditions)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => ` ${name} ${String(value)}`)
    .join('')
}

/** For {client} there is no value; it stands for itself. */
function anyClientOf(identity: Identity): ClientInfo {
  return {
    id: '{client}',
    identity,
    address: '',
    listener: '',
    protocolVersion: 5,
    cleanStart: true,
    connectedAt: 0,
  }
}

function givenBy(book: RuleBook, action: 'publish' | 'subscribe', identity: Identity): MatchTree<true> {
  const tree = new MatchTree<true>()
  for (const rule of book.rulesFor(anyClientOf(identity))) {
    if (rule.effect === 'deny' || !concerns(rule, identity) || conditionsOf(rule.body) !== '') continue
    for (const { filter } of grantsOf(rule, action, anyClientOf(identity))) tree.add(filter, true)
  }
  return tree
}

function explain(book: RuleBook, client: ClientInfo, question: AccessQuestion): Explanation {
  const { action, topic, qos, retain, atMs } = question
  const rights = book.rightsOf(client, atMs)
  const otherwise = (effect: 'allow' | 'deny') => nearest(book.everyRule(client), effect, client, question)
  if (action === 'publish') {
    if (isBrokerOnly(topic)) return brokerOnly
    const by = rights.publishDecider(topic, qos, retain)
    if (by === undefined) return { ...book.noRule, nearest: otherwise('allow') }
    const allow = by.rule.effect === 'allow'
    return { allow, ...told([by], client), nearest: otherwise(allow ? 'deny' : 'allow') }
  }
  const ruling = rights.subscribeRuling(topic, qos)
  if (ruling.kind === 'none') return { ...book.noRule, nearest: otherwise('allow') }
  if (ruling.kind === 'denied') return { allow: false, ...told([ruling.by], client), nearest: otherwise('allow') }
  const { because, withhold } = rights.subscribe(topic, qos)
  return {
    allow: true,
    ...told(ruling.by, client),
    because,
    withholds: withhold ?? (() => false),
    maxQos: ruling.maxQos,
    withheld: ruling.withheld.map(({ pattern, filter }) =>
      withReading(pattern.decision.because, pattern.filter, filter),
    ),
    nearest: otherwise('deny'),
  }
}

function told(grants: readonly Grant[], client: ClientInfo): Pick<Explanation, 'because' | 'expanded' | 'through'> {
  const written = grants.map(({ pattern }) => pattern.filter).join(' ')
  const expanded = grants.map(({ filter }) => filter).join(' ')
  return {
    because: grants.map(({ pattern }) => pattern.decision.because).join(' and '),
    expanded: expanded === written ? undefined : expanded,
    through: grants.flatMap((grant) => throughOf(grant, client)),
  }
}

function throughOf({ rule, group }: Grant, { identity }: ClientInfo): Membership[] {
  const groups = group !== '' ? [group] : rule.body.groups === undefined ? [] : fittingGroups(rule, identity.groups)
  const roles = rule.body.roles === undefined ? [] : identity.roles.filter((role) => rule.roles?.has(role) ?? true)
  return [...groups.map((name) => ({ group: name })), ...roles.map((name) => ({ role: name }))]
}

function withReading(because: string, written: string, expanded: string): string {
  return written === expanded ? because : `${because} = ${expanded}`
}
