// From what a token or another service says of a client to an identity: nothing is trusted that is not checked here.
import type { Identity } from '../../broker/plugin.ts'
import { nameMistake } from '../acl/names.ts'
import { rulesSchema } from '../acl/rules-file.ts'

const namesMax = 1_000
const attributesMax = 100
const attributeMaxLength = 1_024
/** Each rule costs some microseconds at a login, and memory as long as the client is there. */
const rulesMax = 100

/** As it came; undefined: nothing was said. */
export interface Claimed {
  readonly username: unknown
  readonly groups?: unknown
  readonly roles?: unknown
  readonly attributes?: unknown
  /** In the form of acl.yaml. */
  readonly rules?: unknown
  /** Milliseconds since 1970. */
  readonly expiresAt?: number | undefined
}

/** What is wrong: a constant phrase, for the log. */
export interface Wrong {
  readonly wrong: string
}

export function identityFrom({ username, groups, roles, attributes, rules, expiresAt }: Claimed): Identity | Wrong {
  if (!isName(username)) return { wrong: 'the username is no name' }
  if (!isNames(groups)) return { wrong: 'the groups are no list of names' }
  if (!isNames(roles)) return { wrong: 'the roles are no list of names' }
  if (!isAttributes(attributes)) return { wrong: 'the attributes are no map of short texts' }
  if (!isRules(rules)) return { wrong: 'the rules are no rules' }
  return {
    username,
    groups: groups ?? [],
    roles: roles ?? [],
    attributes: attributes ?? {},
    ...(expiresAt === undefined ? {} : { expiresAt }),
    ...(rules === undefined || rules.length === 0 ? {} : { rules }),
  }
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && nameMistake(value) === undefined
}

function isNames(value: unknown): value is readonly string[] | undefined {
  return value === undefined || (Array.isArray(value) && value.length <= namesMax && value.every(isName))
}

function isAttributes(value: unknown): value is Readonly<Record<string, string>> | undefined {
  if (value === undefined) return true
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const texts: unknown[] = Object.values(value)
  return (
    texts.length <= attributesMax &&
    texts.every((text) => typeof text === 'string' && text.length <= attributeMaxLength && !/\p{Cs}/u.test(text))
  )
}

function isRules(value: unknown): value is readonly object[] | undefined {
  return (
    value === undefined || (Array.isArray(value) && value.length <= rulesMax && rulesSchema.safeParse(value).success)
  )
}
