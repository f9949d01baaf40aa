// The rules file of acl-file: what may stand in it.
import { z } from 'zod'
import { addressMistake } from './addresses.ts'
import { filterMistake } from './filters.ts'
import { anyone, checkedText, clientIdSchema, nameMistake, nameSchema, oneOrMore, textMistake } from './names.ts'
import { placeholderMistake, withoutPlaceholders } from './placeholders.ts'
import { parseTimes } from './times.ts'

const filterSchema = z.string().superRefine((filter, context) => {
  const unknown = placeholderMistake(filter)
  if (unknown !== undefined) context.addIssue({ code: 'custom', message: unknown })
  const mistake = filterMistake(withoutPlaceholders(filter)) ?? textMistake(filter)
  if (mistake !== undefined) context.addIssue({ code: 'custom', message: `"${filter}" is no topic filter: ${mistake}` })
  if (!filter.startsWith('$share/')) return
  context.addIssue({ code: 'custom', message: 'is asked for without "$share/NAME/"; write the filter behind it' })
})

/** `admin:GROUP` and `muted:GROUP` are roles as well. */
const names = oneOrMore(checkedText((name) => (name === anyone ? undefined : nameMistake(name)))).optional()
const instant = z.iso.datetime({ offset: true, error: 'must be a time such as 2026-12-31T18:00:00Z' })

const bodySchema = z
  .strictObject({
    users: names.describe('usernames, or "*"'),
    groups: names.describe('names of groups; "*": any group of the user'),
    roles: names.describe('names of roles, or "*"'),
    clients: oneOrMore(clientIdSchema).optional().describe('client ids, or "*"'),
    addresses: oneOrMore(checkedText(addressMistake)).optional().describe('addresses and CIDR ranges of clients'),
    listeners: oneOrMore(nameSchema).optional().describe('names of listeners'),
    times: oneOrMore(checkedText(timesMistake)).optional().describe('such as "mon-fri 08:00-18:00 Europe/Berlin"'),
    since: instant.optional().describe('holds from this time on'),
    until: instant.optional().describe('holds up to this time'),
    publish: oneOrMore(filterSchema).optional().describe('topics that match one of these filters'),
    subscribe: oneOrMore(filterSchema).optional().describe('filters that are covered by these'),
    qos: z
      .array(z.literal([0, 1, 2]))
      .min(1)
      .optional(),
    retain: z.boolean().optional().describe('only publishes with this retain flag'),
  })
  .refine(({ publish, subscribe }) => publish !== undefined || subscribe !== undefined, {
    message: 'says nothing: give `publish`, `subscribe` or both',
  })
  .refine(({ since, until }) => since === undefined || until === undefined || Date.parse(since) < Date.parse(until), {
    message: 'never holds: `since` must be before `until`',
  })
  .refine(({ retain, publish }) => retain === undefined || publish !== undefined, {
    message: '`retain` is about publishes, and this rule has no `publish`',
  })

const ruleSchema = z
  .strictObject({ allow: bodySchema.optional(), deny: bodySchema.optional() })
  .refine(({ allow, deny }) => (allow === undefined) !== (deny === undefined), {
    message: 'a rule is either `allow: { … }` or `deny: { … }`; write two rules for both',
    // A misspelt key is one mistake, not two.
    when: ({ issues }) => issues.length === 0,
  })

export const rulesSchema = z.array(ruleSchema)
export type RuleEntry = z.infer<typeof ruleSchema>
export type RuleBody = z.infer<typeof bodySchema>
export type RulesFile = readonly RuleEntry[]

/** The groups that a rule names, each with its path in the file. */
export function groupsNamedBy(entry: RuleEntry, index: number): { group: string; path: readonly PropertyKey[] }[] {
  const effect = entry.allow === undefined ? 'deny' : 'allow'
  const written = entry[effect]!.groups
  if (written === undefined || written === anyone) return []
  if (typeof written === 'string') return [{ group: written, path: [index, effect, 'groups'] }]
  return written.flatMap((group, at) => (group === anyone ? [] : [{ group, path: [index, effect, 'groups', at] }]))
}

function timesMistake(text: string): string | undefined {
  const window = parseTimes(text)
  return typeof window === 'string' ? window : undefined
}
