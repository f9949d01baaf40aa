// What everybody may do in the house of the matrix, said a second time in the plainest way: by looking at every topic.

export const actors = ['owner', 'other', 'member', 'removed', 'muted', 'anonymous', 'admin'] as const
export type Actor = (typeof actors)[number]

export const usernames = {
  owner: 'alice',
  other: 'bob',
  member: 'carol',
  removed: 'dave',
  muted: 'erin',
  anonymous: '',
  admin: 'admin',
} as const satisfies Record<Actor, string>

/** The same in the words of the files. */
export const rulesFile = `
- allow: { subscribe: ["im/u/{user}/#"], publish: ["im/u/+/{user}"] }
- allow: { groups: "*", subscribe: ["im/g/{group}/#", "auto/{group}/#"], publish: ["im/g/{group}/{user}"] }
- deny: { users: carol, subscribe: ["im/g/family/board/#"] }
- allow: { subscribe: ["public/#"], publish: ["public/#"], qos: [0, 1] }
- allow: { users: admin, subscribe: ["#", "$SYS/#"], publish: ["#"] }
`

export function groupsFile(hasRemoved: boolean): string {
  const members = ['alice', 'carol', 'erin', ...(hasRemoved ? ['dave'] : [])]
  return `family: { members: [${members.join(', ')}], muted: [erin], subscribe: "auto/{group}/#" }\n`
}

/** Of the group, before one of them is removed and after. */
export function isMember(actor: Actor, isAfter: boolean): boolean {
  return actor === 'owner' || actor === 'member' || actor === 'muted' || (actor === 'removed' && !isAfter)
}

export function mayPublish(actor: Actor, isAfter: boolean, topic: string, qos: number): boolean {
  const me = usernames[actor]
  const [first, second, third, fourth, ...more] = topic.split('/')
  if (first === '$SYS') return false
  if (actor === 'admin') return true
  if (first === 'public' && qos < 2) return true
  if (first !== 'im' || fourth !== me || me === '' || more.length > 0) return false
  if (second === 'u') return true
  return second === 'g' && third === 'family' && isMember(actor, isAfter) && actor !== 'muted'
}

function isAllowed(actor: Actor, isAfter: boolean, topic: string): boolean {
  const me = usernames[actor]
  const [first, second, third] = topic.split('/')
  if (actor === 'admin') return first === '$SYS' || !topic.startsWith('$')
  if (first === 'public') return true
  if (first === 'auto') return second === 'family' && isMember(actor, isAfter)
  if (first !== 'im') return false
  if (second === 'u') return me !== '' && third === me
  return second === 'g' && third === 'family' && isMember(actor, isAfter)
}

function isDenied(actor: Actor, topic: string): boolean {
  return actor === 'member' && /^im\/g\/family\/board(\/|$)/.test(topic)
}

export function mayRead(actor: Actor, isAfter: boolean, topic: string): boolean {
  return isAllowed(actor, isAfter, topic) && !isDenied(actor, topic)
}

const words = ['im', 'u', 'g', 'alice', 'bob', 'family', 'board', 'public', 'auto', 'x', '$SYS']
const universe = topicsUpTo(4)

function topicsUpTo(levels: number): string[] {
  if (levels === 1) return words
  const shorter = topicsUpTo(levels - 1)
  return [...words, ...shorter.flatMap((topic) => words.map((word) => `${word}/${topic}`))]
}

const known = new Map<string, number>()

/** The QoS that is granted, or 0x87. */
export function granted(actor: Actor, isAfter: boolean, filter: string, qos: number): number {
  const question = JSON.stringify([actor, isAfter, filter, qos])
  const answer = known.get(question) ?? lookAtAll(actor, isAfter, filter, qos)
  known.set(question, answer)
  return answer
}

function lookAtAll(actor: Actor, isAfter: boolean, filter: string, qos: number): number {
  const topics = universe.filter((topic) => matches(filter.split('/'), topic.split('/')))
  const isGranted =
    topics.length > 0 &&
    topics.every((topic) => isAllowed(actor, isAfter, topic)) &&
    topics.some((topic) => !isDenied(actor, topic))
  if (!isGranted) return 0x87
  return filter.startsWith('public/') && actor !== 'admin' ? Math.min(qos, 1) : qos
}

export function matches(filter: readonly string[], topic: readonly string[], isFirst = true): boolean {
  if (isFirst && topic[0]!.startsWith('$') && /^[+#]$/.test(filter[0]!)) return false
  if (filter.length === 0) return topic.length === 0
  if (filter[0] === '#') return true
  if (topic.length === 0) return false
  return (filter[0] === '+' || filter[0] === topic[0]) && matches(filter.slice(1), topic.slice(1), false)
}
