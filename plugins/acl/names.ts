// Names of users, groups and roles: what may stand in the files. They stand in topics, and people compare them by eye.
import { z } from 'zod'

const nameMaxBytes = 128

/** Why this may be no name; undefined when it may. */
export function nameMistake(name: string): string | undefined {
  if (name === '') return 'must not be empty'
  if (Buffer.byteLength(name) > nameMaxBytes) return `must have at most ${nameMaxBytes} bytes`
  if (/[+#/]/.test(name)) return 'must not contain "+", "#" or "/", because it stands in topics'
  if (name.startsWith('$')) return 'must not begin with "$", because it stands in topics'
  if (name === '*') return 'must not be "*", which means everybody'
  return textMistake(name)
}

/** What no text in these files may contain: it would look like another one, or like nothing. */
export function textMistake(text: string): string | undefined {
  if (/\p{Cc}/u.test(text)) return 'must not contain control characters'
  if (/[\p{Cf}\p{Zl}\p{Zp}]/u.test(text)) return 'must not contain characters that cannot be seen'
  if (/[\p{Cs}\p{Cn}]/u.test(text)) return 'must not contain what is no character of Unicode'
  if (text.normalize('NFC') !== text) return 'must be in Unicode normal form NFC; type it again'
  if (text.trim() !== text) return 'must not begin or end with a space'
  return undefined
}

export const nameSchema = checkedText(nameMistake)
/** A client id is the client's own choice: it may hold what a name may not, and is compared as it is. */
export const clientIdSchema = checkedText((id) => (id === '' ? 'must not be empty' : textMistake(id)))

export function checkedText(mistakeOf: (text: string) => string | undefined) {
  return z.string().superRefine((text, context) => {
    const message = mistakeOf(text)
    if (message !== undefined) context.addIssue({ code: 'custom', message })
  })
}

/** `*` in a list of names: whoever it is. */
export const anyone = '*'

export const oneOrMore = <T extends z.ZodType>(one: T) => z.union([one, z.array(one).min(1)])

export function listOf<T>(written: T | readonly T[] | undefined): readonly T[] {
  if (written === undefined) return []
  return Array.isArray(written) ? (written as readonly T[]) : [written as T]
}
