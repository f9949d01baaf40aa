// `oriole acl test`: a table of what must be allowed and denied, checked against the files.
import { z } from 'zod'
import type { AccessBook } from './access-book.ts'
import { answer, type Question, questionMistake } from './access-question.ts'
import type { YamlFile } from './config/yaml-file.ts'
import type { QoS } from './plugin.ts'

const oneOrMore = <T extends z.ZodType>(one: T) => z.union([one, z.array(one).min(1)])
const text = z.string().min(1)
const qos = z.literal([0, 1, 2])

const publishSchema = z.union([
  text,
  z.strictObject({ topic: text, qos: qos.optional(), retain: z.boolean().optional() }),
])
const subscribeSchema = z.union([
  text,
  z.strictObject({
    filter: text,
    qos: qos.optional(),
    maxQos: qos.optional().describe('it is granted up to this QoS'),
    withholds: oneOrMore(text).optional().describe('topics of it that are not delivered; others are'),
    delivers: oneOrMore(text).optional().describe('topics of it that are delivered'),
  }),
])
const expectedSchema = z.strictObject({
  publish: oneOrMore(publishSchema).optional(),
  subscribe: oneOrMore(subscribeSchema).optional(),
})

const rowSchema = z
  .strictObject({
    user: text,
    groups: z.array(text).optional().describe('beside those of the files'),
    roles: z.array(text).optional(),
    attributes: z.record(z.string(), z.string()).optional(),
    client: text.optional().describe('client id; else the name of the user'),
    address: text.optional(),
    listener: text.optional(),
    at: z.iso.datetime({ offset: true, error: 'must be a time such as 2026-12-31T18:00:00Z' }).optional(),
    allow: expectedSchema.optional(),
    deny: expectedSchema.optional(),
  })
  .refine(({ allow, deny }) => allow !== undefined || deny !== undefined, {
    message: 'says nothing: give `allow`, `deny` or both',
    // A misspelt key is one mistake, not two.
    when: ({ issues }) => issues.length === 0,
  })

export const accessTestSchema = z.array(rowSchema)
export type AccessTest = z.infer<typeof accessTestSchema>
type Row = AccessTest[number]

export interface AccessTestResult {
  readonly asked: number
  /** `file:line:column: …`, one for each expectation that does not hold. */
  readonly differences: readonly string[]
}

export function runAccessTest(file: YamlFile<AccessTest>, book: AccessBook): AccessTestResult {
  let asked = 0
  const differences: string[] = []
  for (const [index, row] of file.value.entries()) {
    for (const { question, path, expected, more } of expectations(row, index)) {
      asked += 1
      const difference = compare(book, question, expected, more)
      if (difference !== undefined) differences.push(`${file.locate(path)}: ${difference}`)
    }
  }
  return { asked, differences }
}

interface Expectation {
  readonly question: Question
  readonly path: readonly PropertyKey[]
  readonly expected: 'allow' | 'deny'
  readonly more: {
    readonly maxQos?: QoS | undefined
    readonly withholds?: readonly string[]
    readonly delivers?: readonly string[]
  }
}

function* expectations(row: Row, index: number): Generator<Expectation> {
  const { user, client, groups, roles, attributes, address, listener, at } = row
  const asker = Object.fromEntries(
    Object.entries({
      user,
      groups,
      roles,
      attributes,
      clientId: client,
      address,
      listener,
      atMs: at === undefined ? undefined : Date.parse(at),
    }).filter(([, value]) => value !== undefined),
  ) as unknown as Omit<Question, 'action' | 'topic'>
  for (const expected of ['allow', 'deny'] as const) {
    for (const action of ['publish', 'subscribe'] as const) {
      const written = row[expected]?.[action]
      for (const [at, one] of listOf<unknown>(written).entries()) {
        const { topic, filter, qos, retain, maxQos, withholds, delivers } = (
          typeof one === 'string' ? { topic: one } : one
        ) as {
          [name: string]: unknown
        }
        yield {
          question: {
            ...asker,
            action,
            topic: (topic ?? filter) as string,
            ...(qos === undefined ? {} : { qos: qos as QoS }),
            ...(retain === undefined ? {} : { retain: retain as boolean }),
          },
          path: [index, expected, action, ...(Array.isArray(written) ? [at] : [])],
          expected,
          more: {
            maxQos: maxQos as QoS | undefined,
            withholds: listOf(withholds as string | string[] | undefined),
            delivers: listOf(delivers as string | string[] | undefined),
          },
        }
      }
    }
  }
}

function compare(
  book: AccessBook,
  question: Question,
  expected: Expectation['expected'],
  { maxQos, withholds = [], delivers = [] }: Expectation['more'],
): string | undefined {
  const mistake = questionMistake(question)
  if (mistake !== undefined) return mistake
  const { allow, explanation } = answer(book, question)
  const what = `${question.user} ${question.action} ${question.topic}`
  if (allow !== (expected === 'allow')) {
    return `${what} is ${allow ? 'allowed' : 'denied'}, not ${expected === 'allow' ? 'allowed' : 'denied'}: ${explanation.because}`
  }
  if (maxQos !== undefined && explanation.maxQos !== maxQos)
    return `${what} is granted up to QoS ${explanation.maxQos}, not ${maxQos}`
  const delivered = (topic: string) => explanation.withholds?.(topic) !== true
  const come = withholds.find(delivered)
  if (come !== undefined) return `${what} delivers ${come}`
  const away = delivers.find((topic) => !delivered(topic))
  return away === undefined ? undefined : `${what} does not deliver ${away}`
}

function listOf<T>(written: T | readonly T[] | undefined): readonly T[] {
  if (written === undefined) return []
  return Array.isArray(written) ? (written as readonly T[]) : [written as T]
}
