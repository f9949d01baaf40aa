// The groups file: what may stand in it.
import { z } from 'zod'
import { filterMistake } from '../acl/filters.ts'
import { checkedText, nameSchema, oneOrMore, textMistake } from '../acl/names.ts'
import { placeholderMistake, withoutPlaceholders } from '../acl/placeholders.ts'

const names = z.array(nameSchema).default([])

const filterSchema = checkedText((filter) => {
  const plain = filter.replace(/^\$share\/[^/+#]+\/(?=.)/, '')
  const mistake = filterMistake(withoutPlaceholders(plain)) ?? textMistake(filter)
  return placeholderMistake(filter) ?? (mistake && `"${filter}" is no topic filter: ${mistake}`)
})

const subscriptionSchema = z.union([
  filterSchema,
  z.strictObject({ filter: filterSchema, qos: z.literal([0, 1, 2]).default(1) }),
])

export const groupSchema = z.strictObject({
  members: names.describe('usernames'),
  admins: names.describe('usernames; they are members too, and get the role `admin:GROUP`'),
  muted: names.describe('members who may read what the group may read, and write nothing that the group may write'),
  groups: names.describe('other groups, whose members are members of this one too'),
  roles: names.describe('roles that all members get'),
  subscribe: oneOrMore(subscriptionSchema)
    .optional()
    .describe('filters, or { filter, qos }: subscribed for each member without asking'),
})

/** `family:` alone is a group of nobody, as `family: {}` is. */
export const groupsSchema = z.record(
  nameSchema,
  z.preprocess((group) => group ?? {}, groupSchema),
)
export type GroupsFile = Readonly<Record<string, z.infer<typeof groupSchema>>>
