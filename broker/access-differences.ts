// What a change of files means for the users that the files know: who gains and who loses which right.
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { AccessBook } from './access-book.ts'
import { endings } from './access-live.ts'
import type { LiveClient } from './engine/engine.ts'
import type { AccessRule, Identity, Right } from './plugin.ts'

/** How long users are compared before other work gets its turn. */
const turnMs = 4
/** More lines than a person reads; what is left out is counted. */
const linesMax = 50
const namesShown = 3

/** One line for each kind of change: `3 users lose publish plant/# (alice, bob, carol)`; those who are connected last. */
export async function differences(
  before: AccessBook,
  after: AccessBook,
  connected: Iterable<LiveClient> = [],
): Promise<readonly string[]> {
  const removed = rulesWithout(before, after)
  const added = rulesWithout(after, before)
  const changes = new Changes()
  let turn = performance.now()
  const usernames = new Set([...before.usernames(), ...after.usernames()])
  for (const username of usernames) {
    compareUser(username, before, after, { removed, added }, changes)
    if (performance.now() - turn < turnMs) continue
    await nextTurn()
    turn = performance.now()
  }
  // Of somebody whom no file knows, only the login can say who it is.
  const isConcerned = (username: string) => changes.concern(username) || !usernames.has(username)
  return [...changes.lines(), ...(await endings(before, after, connected, isConcerned))]
}

interface RuleChanges {
  readonly removed: readonly AccessRule[]
  readonly added: readonly AccessRule[]
}

function compareUser(
  username: string,
  before: AccessBook,
  after: AccessBook,
  { removed, added }: RuleChanges,
  changes: Changes,
): void {
  const known = { was: before.user(username), is: after.user(username) }
  // Whom no file lets in may still come with a proof that no file knows; then the groups are what counts.
  const isOutside = known.was === undefined && known.is === undefined
  const stranger = { username, groups: [], roles: [], attributes: {} }
  const was = isOutside ? before.identify(stranger) : known.was
  const is = isOutside ? after.identify(stranger) : known.is
  if (was === undefined || is === undefined) {
    changes.add(was === undefined ? 'may log in now' : 'may not log in any more', username)
    return
  }
  const isSame = sameIdentity(was, is)
  if (isSame && removed.length === 0 && added.length === 0) return
  for (const group of is.groups) if (!was.groups.includes(group)) changes.add(`join the group ${group}`, username)
  for (const group of was.groups) if (!is.groups.includes(group)) changes.add(`leave the group ${group}`, username)
  for (const role of is.roles) if (!was.roles.includes(role)) changes.add(`get the role ${role}`, username)
  for (const role of was.roles) if (!is.roles.includes(role)) changes.add(`lose the role ${role}`, username)
  const had = rightsOf(isSame ? removed : before.rulesOf(was), was)
  const has = rightsOf(isSame ? added : after.rulesOf(is), is)
  for (const [key, right] of had) {
    if (has.has(key)) continue
    if (right.effect === 'deny') changes.add(`are denied no more: ${text(right)}`, username)
    // What another rule gives as well is not lost.
    else if (!after.gives(is, right)) changes.add(`lose ${text(right)}`, username)
  }
  for (const [key, right] of has) {
    if (had.has(key)) continue
    if (right.effect === 'deny') changes.add(`are denied ${text(right)}`, username)
    else if (!before.gives(was, right)) changes.add(`gain ${text(right)}`, username)
  }
}

function rightsOf(rules: readonly AccessRule[], identity: Identity): Map<string, Right> {
  const rights = new Map<string, Right>()
  for (const rule of rules) {
    for (const right of rule.rightsOf(identity)) {
      rights.set(`${right.effect} ${right.action} ${right.filter}${right.conditions}`, right)
    }
  }
  return rights
}

function text({ action, shown, conditions }: Right): string {
  return `${action} ${shown}${conditions}`
}

/** The rules of one version that the other has not. */
function rulesWithout(one: AccessBook, other: AccessBook): AccessRule[] {
  if (one.rules() === other.rules()) return []
  // Nearly all of them are the same objects in both.
  const mine = new Set(one.rules())
  const others = new Set(other.rules())
  const left = new Map<string, number>()
  for (const rule of other.rules()) if (!mine.has(rule)) left.set(rule.text, (left.get(rule.text) ?? 0) + 1)
  return one.rules().filter((rule) => {
    if (others.has(rule)) return false
    const count = left.get(rule.text) ?? 0
    left.set(rule.text, count - 1)
    return count <= 0
  })
}

function sameIdentity(one: Identity, other: Identity): boolean {
  if (one === other) return true
  return (
    sameList(one.groups, other.groups) &&
    sameList(one.roles, other.roles) &&
    JSON.stringify(one.attributes) === JSON.stringify(other.attributes)
  )
}

function sameList(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((name, index) => name === other[index])
}

class Changes {
  readonly #names = new Map<string, string[]>()
  readonly #concerned = new Set<string>()

  concern(username: string): boolean {
    return this.#concerned.has(username)
  }

  add(change: string, username: string): void {
    this.#concerned.add(username)
    const known = this.#names.get(change)
    if (known === undefined) this.#names.set(change, [username])
    else known.push(username)
  }

  lines(): string[] {
    const all = [...this.#names].map(([change, names]) =>
      names.length === 1 ? `${names[0]} ${ofOne(change)}` : `${names.length} users ${change}${list(names)}`,
    )
    if (all.length <= linesMax) return all
    return [...all.slice(0, linesMax), `and ${all.length - linesMax} more changes`]
  }
}

const verbsOfOne: Readonly<Record<string, string>> = {
  lose: 'loses',
  gain: 'gains',
  join: 'joins',
  leave: 'leaves',
  get: 'gets',
  are: 'is',
}

function ofOne(change: string): string {
  return change.replace(/^\w+/, (verb) => verbsOfOne[verb] ?? verb)
}

function list(names: readonly string[]): string {
  const shown = names.slice(0, namesShown).join(', ')
  return names.length > namesShown ? ` (${shown} and ${names.length - namesShown} more)` : ` (${shown})`
}
