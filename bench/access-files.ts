// The files of a large company: 10,000 users, 2,000 groups of ten, 5,000 rules, a line for each. Whoever bears the load of the
// bench belongs to a hundred of the groups, and what their rules allow and deny is its own.
import { makeToken } from '../broker/password.ts'
import { username } from './generator.ts'

const users = 10_000
const groups = 2_000
const rules = 5_000

const { hash } = makeToken()

export const userLines: readonly string[] = Array.from(
  { length: users },
  (_, n) => `member${n}: { password: "${hash}", attributes: { tenant: t${n % 50} } }`,
)

export const groupLines: readonly string[] = Array.from({ length: groups }, (_, n) => {
  const members = Array.from({ length: 10 }, (_, k) => `member${(n * 5 + k) % users}`)
  if (n < 100) members.push(username)
  return `g${n}: { members: [${members.join(', ')}], admins: [member${n}]${n % 10 === 9 ? `, groups: [g${n - 1}]` : ''} }`
})

export const ruleLines: readonly string[] = Array.from({ length: rules }, (_, n) => {
  if (n < 10) return `- allow: { publish: ["own${n}/{user}/#"], subscribe: ["own${n}/{user}/#"] }`
  if (n % 3 === 0) return `- allow: { users: [member${n}], publish: ["t/${n}/#"], qos: [0, 1] }`
  if (n % 3 === 1)
    return `- allow: { groups: [g${n % groups}], subscribe: ["g/{group}/${n}/#"], publish: ["g/{group}/${n}/{user}"] }`
  return `- deny: { groups: [g${n % groups}], subscribe: ["g/{group}/${n - 1}/secret"] }`
})
