// The users file of auth-scram: what may stand in it, and the users that come out of it.
import { z } from 'zod'
import type { Identity } from '../../broker/plugin.ts'
import { saslprep } from '../../broker/saslprep.ts'
import { parseScramSecret, type ScramSecret, scramIterations } from '../../broker/scram.ts'
import { checkedText, nameMistake } from '../acl/names.ts'
import { userSchema } from './users.ts'

export interface ScramUser {
  /** As it stands in the file. */
  readonly text: string
  readonly secret: ScramSecret
  readonly disabled: boolean
  readonly identity: Identity
}

const secretSchema = z.string().superRefine((text, context) => {
  if (parseScramSecret(text) !== undefined) return
  // Never the text itself: it may well be a password.
  const message = text.startsWith('SCRAM-SHA-256$')
    ? `is damaged, or its iterations are not from ${scramIterations.min} to ${scramIterations.max}; make a new one with \`oriole passwd --scram\``
    : 'is no SCRAM secret; run `oriole passwd --scram` and put here what it prints, never the password itself'
  context.addIssue({ code: 'custom', message })
})

const usernameSchema = checkedText((name) =>
  saslprep(name) === name ? nameMistake(name) : 'must be as SASLprep leaves it: NFKC, no control characters',
)

const scramUserSchema = userSchema.extend({
  password: secretSchema.describe('a secret made with `oriole passwd --scram`'),
})

/** `alice: "SCRAM-SHA-256$…"` or `alice: { password: "SCRAM-SHA-256$…", … }`. */
export const scramUsersSchema = z.record(usernameSchema, z.union([secretSchema, scramUserSchema]))
export type ScramUsersFile = z.infer<typeof scramUsersSchema>

export function scramUsersOf(file: ScramUsersFile): ReadonlyMap<string, ScramUser> {
  return new Map(
    Object.entries(file).map(([username, entry]) => {
      const full = typeof entry === 'string' ? scramUserSchema.parse({ password: entry }) : entry
      const { password, disabled, groups, roles, attributes } = full
      const secret = parseScramSecret(password)!
      return [username, { text: password, secret, disabled, identity: { username, groups, roles, attributes } }]
    }),
  )
}
