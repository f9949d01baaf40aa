// The rule that was nearest to the other answer, and what it lacked: for `oriole acl explain`.
import type { AccessQuestion, ClientInfo, Explanation } from '../../broker/plugin.ts'
import { covers } from './covering.ts'
import { MatchTree } from './filters.ts'
import { anyone, listOf } from './names.ts'
import { expand, namesGroup } from './placeholders.ts'
import { appliesTo, type Effect, fittingGroups, isMuted, isNow, type Pattern, type Rule } from './rule.ts'

interface Candidate {
  readonly because: string
  readonly lacks: readonly string[]
  /** How far it is from the question: conditions that do not fit, and levels of the topic. */
  readonly distance: number
}

export function nearest(
  rules: readonly Rule[],
  effect: Effect,
  client: ClientInfo,
  question: AccessQuestion,
): Explanation['nearest'] {
  let best: Candidate | undefined
  for (const rule of rules) {
    if (rule.effect !== effect) continue
    for (const pattern of rule[question.action]) {
      const candidate = candidateOf(rule, pattern, client, question)
      if (candidate !== undefined && candidate.distance < (best?.distance ?? Number.POSITIVE_INFINITY)) best = candidate
    }
  }
  return best && { because: best.because, lacks: best.lacks }
}

function candidateOf(
  rule: Rule,
  pattern: Pattern,
  client: ClientInfo,
  question: AccessQuestion,
): Candidate | undefined {
  const { filter, group } = closestReading(rule, pattern, client, question)
  const levels = levelsOff(filter, question)
  const wanted = question.topic.split('/').length
  // Another part of the house altogether.
  if (levels >= wanted && levels > 0) return undefined
  const lacks = [...conditionsOff(rule, group, client, question)]
  // Of two rules that lack as much, the one that says more about the topic is nearer than the one for all topics.
  const distance = lacks.length + levels * 1.5 + 0.9 * (1 - Math.min(1, namedLevels(filter) / wanted))
  if (levels > 0) {
    lacks.push(`${question.topic} is not ${question.action === 'publish' ? 'matched' : 'covered'} by ${filter}`)
  }
  return lacks.length === 0 ? undefined : { because: pattern.decision.because, lacks, distance }
}

interface Reading {
  readonly filter: string
  /** That stands for {group}; undefined: the filter names none. */
  readonly group: string | undefined
}

/** As the filter reads for the client; where it does not, as wide as it could be meant. */
function closestReading(
  rule: Rule,
  { filter }: Pattern,
  { id, identity }: ClientInfo,
  question: AccessQuestion,
): Reading {
  const groups = namesGroup(filter) ? fittingGroups(rule, identity.groups) : []
  const readings = (groups.length > 0 ? groups : [undefined]).map((group): Reading => {
    const values = { user: identity.username, client: id, group: group ?? '', attributes: identity.attributes }
    return { filter: expand(filter, values, true)!, group }
  })
  return readings.reduce((one, other) =>
    levelsOff(other.filter, question) < levelsOff(one.filter, question) ? other : one,
  )
}

function namedLevels(filter: string): number {
  return filter.split('/').filter((level) => level !== '+' && level !== '#').length
}

/** How many levels of the topic the filter does not fit; 0: it matches, or covers, the whole. */
function levelsOff(filter: string, { action, topic }: AccessQuestion): number {
  const tree = new MatchTree<true>()
  tree.add(filter, true)
  if (action === 'publish' ? tree.matches(topic) : covers(tree, topic)) return 0
  const wanted = topic.split('/')
  const given = filter.split('/')
  let off = 0
  for (let at = 0; at < Math.max(wanted.length, given.length); at++) {
    if (given[at] === '#') break
    const fits = given[at] === wanted[at] || (given[at] === '+' && wanted[at] !== undefined && wanted[at] !== '#')
    if (!fits) off += 1
  }
  return Math.max(off, 1)
}

function* conditionsOff(
  rule: Rule,
  group: string | undefined,
  client: ClientInfo,
  question: AccessQuestion,
): Generator<string> {
  const { id, identity, address, listener } = client
  const { username, groups, roles } = identity
  const { body } = rule
  if (rule.users?.has(username) === false) yield `${username} is not ${oneOf(body.users)}`
  if (rule.clients?.has(id) === false) yield `the client id ${id} is not ${oneOf(body.clients)}`
  const fitting = fittingGroups(rule, groups)
  if (body.groups !== undefined && fitting.length === 0) {
    yield `${username} is not in ${oneOf(body.groups, 'the group', 'any group')}`
  } else if (question.action === 'publish' && rule.effect === 'allow') {
    const speaking = group === undefined ? (body.groups === undefined ? [] : fitting) : [group]
    if (speaking.length > 0 && speaking.every((one) => isMuted(one, roles))) {
      yield `${username} is muted in ${speaking.join(' and ')}`
    }
  }
  if (body.roles !== undefined && !roles.some((role) => rule.roles?.has(role) ?? true)) {
    yield `${username} does not have ${oneOf(body.roles, 'the role', 'any role')}`
  }
  if (rule.listeners?.has(listener) === false) yield `the listener ${listener} is not ${oneOf(body.listeners)}`
  if (rule.addresses?.(address) === false) yield `the address ${address || '(none)'} is not in ${oneOf(body.addresses)}`
  if (rule.when !== undefined && !isNow(rule.when, question.atMs)) yield `it holds only ${whenText(rule)}`
  if (question.action === 'publish' && !appliesTo(rule, question.qos, question.retain)) {
    if (rule.qos.length > 0 && !rule.qos.includes(question.qos)) yield `it is only for qos ${rule.qos.join(', ')}`
    if (rule.retain !== undefined && rule.retain !== question.retain) yield `it is only for retain: ${rule.retain}`
  }
}

function whenText({ body: { times, since, until } }: Rule): string {
  const parts = [...listOf(times)]
  if (since !== undefined) parts.push(`since ${since}`)
  if (until !== undefined) parts.push(`until ${until}`)
  return parts.join(', ')
}

const namesShown = 5

function oneOf(written: string | readonly string[] | undefined, one = '', any = ''): string {
  const names = listOf(written)
  if (names.includes(anyone)) return any
  const shown = names.slice(0, namesShown).join(' or ')
  const more = names.length > namesShown ? ` or ${names.length - namesShown} more` : ''
  return `${one === '' ? '' : `${one} `}${shown}${more}`
}
