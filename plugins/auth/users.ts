// The users file of auth-file: what may stand in it, and the users that come out of it.
import { basename } from 'node:path'
import { z } from 'zod'
import { isPasswordHash } from '../../broker/password.ts'
import type { Access, Identity, PluginFile } from '../../broker/plugin.ts'
import { checkedText, nameSchema, textMistake } from '../acl/names.ts'

export interface User {
  readonly hash: string
  readonly disabled: boolean
  readonly identity: Identity
}

const hashSchema = z.string().superRefine((text, context) => {
  if (isPasswordHash(text)) return
  // Never the text itself: it may well be a password.
  context.addIssue({ code: 'custom', message: whatItIs(text) })
})

function whatItIs(text: string): string {
  if (text.startsWith('scrypt$')) return 'is a damaged password hash; make a new one with `oriole passwd`'
  if (text.startsWith('token$')) return 'is a damaged token hash; make a new token with `oriole passwd --token`'
  if (text.startsWith('SCRAM-')) return 'is a SCRAM secret, which belongs into the users file of auth-scram'
  return 'is no password hash; run `oriole passwd` and put here what it prints, never the password itself'
}

const names = z.array(nameSchema).default([])
const attributeName = z.string().regex(/^[A-Za-z0-9_-]{1,128}$/, 'must be letters, digits, "_" and "-"')

export const userSchema = z.strictObject({
  password: hashSchema.describe('a hash made with `oriole passwd`, with --token for a machine'),
  groups: names,
  roles: names,
  attributes: z.record(attributeName, checkedText(textMistake)).default({}).describe('texts for {attr.NAME} in rules'),
  disabled: z.boolean().default(false).describe('true: refused, without losing the entry'),
})

/** `alice: "scrypt$…"` or `alice: { password: "scrypt$…", … }`. */
export const usersSchema = z.record(nameSchema, z.union([hashSchema, userSchema]))
export type UsersFile = z.infer<typeof usersSchema>

export function usersOf(file: UsersFile): ReadonlyMap<string, User> {
  const known = made.get(file)
  if (known !== undefined) return known
  const users = new Map<string, User>()
  for (const [username, entry] of Object.entries(file)) {
    const { password, disabled, groups, roles, attributes } =
      typeof entry === 'string' ? { ...nothingMore, password: entry } : entry
    users.set(username, { hash: password, disabled, identity: { username, groups, roles, attributes } })
  }
  made.set(file, users)
  return users
}

/** Plugin and access of one version share them. */
const made = new WeakMap<UsersFile, ReadonlyMap<string, User>>()
/** A user of whom only the password is said. */
const nothingMore = { disabled: false, groups: [], roles: [], attributes: {} }

interface Entry {
  readonly disabled: boolean
  readonly identity: Identity
}

/** What a file of users says about them, whatever their secrets are. */
export function accessOfUsers(
  users: ReadonlyMap<string, Entry>,
  file: PluginFile<Readonly<Record<string, unknown>>>,
): Access {
  const entryOf = (username: string) => {
    const entry = users.get(username)
    return entry?.disabled === false ? entry : undefined
  }
  return {
    namedGroups: groupsNamedBy(users.values()),
    usernames: () => users.keys(),
    user: (username) => entryOf(username)?.identity,
    origin(username, membership) {
      const identity = entryOf(username)?.identity
      if (identity === undefined) return []
      const [list, name] =
        'group' in membership ? ['groups' as const, membership.group] : ['roles' as const, membership.role]
      const at = identity[list].indexOf(name)
      if (at === -1) return []
      return [`${username} has the ${list.slice(0, -1)} ${name}: ${basename(file.locate([username, list, at]))}`]
    },
  }
}

function groupsNamedBy(entries: Iterable<Entry>): ReadonlySet<string> {
  const groups = new Set<string>()
  for (const { identity } of entries) for (const group of identity.groups) groups.add(group)
  return groups
}

/** Passwords that are tried first by whoever tries: the defaults of other brokers, and those in our own pages. */
const wellKnown: ReadonlySet<string> = new Set([
  '',
  'admin',
  'administrator',
  'password',
  'passwd',
  'changeme',
  'change-me',
  'default',
  'guest',
  'public',
  'secret',
  'mqtt',
  'mosquitto',
  'emqx',
  'rabbitmq',
  'oriole',
  'root',
  'test',
  'user',
  'letmein',
  'qwerty',
  '1234',
  '12345',
  '123456',
  '12345678',
  '123456789',
])

/** True for a password that nobody may log in with, however it was hashed. */
export function isKnownPassword(username: string, password: string): boolean {
  return password === username || wellKnown.has(password.toLowerCase())
}
