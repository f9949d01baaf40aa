// A question about somebody's rights, answered by files: for `oriole acl`, stopped or running.
import { z } from 'zod'
import type { AccessBook } from './access-book.ts'
import type { ClientInfo, Explanation, Identity } from './plugin.ts'
import { filterProblem, isValidTopicName, parseShare } from './protocol/topics.ts'

export const questionSchema = z.strictObject({
  user: z.string(),
  action: z.enum(['publish', 'subscribe']),
  /** A topic; or a filter, with `$share/NAME/` or without. */
  topic: z.string(),
  qos: z.literal([0, 1, 2]).optional(),
  retain: z.boolean().optional(),
  clientId: z.string().optional(),
  address: z.string().optional(),
  listener: z.string().optional(),
  /** Groups, roles and attributes beside those of the files. */
  groups: z.array(z.string()).optional(),
  roles: z.array(z.string()).optional(),
  attributes: z.record(z.string(), z.string()).optional(),
  /** Milliseconds since 1970; left out: now. */
  atMs: z.number().optional(),
})
export type Question = Readonly<z.infer<typeof questionSchema>>

export interface Answered {
  readonly allow: boolean
  readonly explanation: Explanation
  readonly identity: Identity
  readonly clientId: string
  /** How the user came to the groups and roles that count here, each step with its place. */
  readonly steps: readonly string[]
  /** True: it is what a connected client has, not only what the files say. */
  readonly isLive: boolean
  /** What has to be known beside it. */
  readonly notes: readonly string[]
}

/** A mistake in the question itself; undefined when there is none. */
export function questionMistake({ action, topic, user }: Question): string | undefined {
  if (user === '') return 'name a user'
  if (action === 'publish') return isValidTopicName(topic) ? undefined : `"${topic}" is no topic to publish to`
  const problem = filterProblem(topic)
  return problem === undefined ? undefined : `"${topic}" is no topic filter: it ${problem}`
}

/** `connected`: the clients of the user, when a broker runs; `unasked`: plugins that answer only in a broker. */
export function answer(
  book: AccessBook,
  question: Question,
  connected: Iterable<ClientInfo> = [],
  unasked: readonly string[] = [],
): Answered {
  const live = liveClient(question, connected)
  const identity = live?.identity ?? identityByFiles(book, question)
  const client: ClientInfo = {
    protocolVersion: 5,
    cleanStart: true,
    connectedAt: 0,
    ...live,
    id: question.clientId ?? live?.id ?? question.user,
    identity,
    address: question.address ?? live?.address ?? '127.0.0.1',
    listener: question.listener ?? live?.listener ?? 'tcp',
  }
  const { action, qos = 1, retain = false, atMs = Date.now() } = question
  const topic = action === 'subscribe' ? (parseShare(question.topic)?.filter ?? question.topic) : question.topic
  const nobody: Explanation = { allow: false, because: 'no plugin answers this question from its files' }
  const explanation = book.explain(client, { action, topic, qos, retain, atMs }) ?? nobody
  return {
    allow: explanation.allow,
    explanation,
    identity,
    clientId: client.id,
    steps: [...new Set((explanation.through ?? []).flatMap((one) => book.origin(identity.username, one)))],
    isLive: live !== undefined,
    notes: [
      ...(live === undefined && book.user(question.user) === undefined
        ? [`no file knows the user ${question.user}`]
        : []),
      ...unasked.map((name) => `the plugin ${name} was not asked: it answers only in a running broker`),
    ],
  }
}

function identityByFiles(book: AccessBook, { user, groups = [], roles = [], attributes = {} }: Question): Identity {
  const known = book.user(user) ?? { username: user, groups: [], roles: [], attributes: {} }
  return book.identify({
    ...known,
    groups: [...new Set([...known.groups, ...groups])],
    roles: [...new Set([...known.roles, ...roles])],
    attributes: { ...known.attributes, ...attributes },
  })
}

/** The client that is meant; who asks "what if" by naming groups means none. */
function liveClient(
  { user, clientId, groups, roles, attributes }: Question,
  connected: Iterable<ClientInfo>,
): ClientInfo | undefined {
  if (groups !== undefined || roles !== undefined || attributes !== undefined) return undefined
  for (const client of connected) {
    if (client.identity.username === user && (clientId === undefined || client.id === clientId)) return client
  }
  return undefined
}
