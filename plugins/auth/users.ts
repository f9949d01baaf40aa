// The users file of auth-file: what may stand in it, and the users that come out of it.
import { z } from 'zod'
import { isPasswordHash } from '../../broker/password.ts'
import type { Identity } from '../../broker/plugin.ts'

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

const usernameSchema = z
  .string()
  .min(1, 'a username must not be empty')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  .refine((name) => !/[\u0000-\u001f\u007f-\u009f]/.test(name), 'must not contain control characters')
  .refine((name) => name.normalize('NFC') === name, 'must be in Unicode normal form NFC; type it again')

export const userSchema = z.strictObject({
  password: hashSchema.describe('a hash made with `oriole passwd`, with --token for a machine'),
  groups: z.array(z.string().min(1)).default([]),
  roles: z.array(z.string().min(1)).default([]),
  attributes: z.record(z.string(), z.string()).default({}),
  disabled: z.boolean().default(false).describe('true: refused, without losing the entry'),
})

/** `alice: "scrypt$…"` or `alice: { password: "scrypt$…", … }`. */
export const usersSchema = z.record(usernameSchema, z.union([hashSchema, userSchema]))
export type UsersFile = z.infer<typeof usersSchema>

export function usersOf(file: UsersFile): ReadonlyMap<string, User> {
  return new Map(
    Object.entries(file).map(([username, entry]) => {
      const full = typeof entry === 'string' ? userSchema.parse({ password: entry }) : entry
      const { password, disabled, groups, roles, attributes } = full
      return [username, { hash: password, disabled, identity: { username, groups, roles, attributes } }]
    }),
  )
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
