// Who belongs to which group: directly, through groups within groups, and with which roles and subscriptions.
import type { AutomaticSubscription, Identity, Membership } from '../../broker/plugin.ts'
import { listOf } from '../acl/names.ts'
import { expand } from '../acl/placeholders.ts'
import type { GroupsFile } from './groups-file.ts'

type Group = GroupsFile[string]

/** How somebody came to a group. */
interface Step {
  /** The group before, which is a part of this one; undefined: by name, or by the login. */
  readonly from: string | undefined
  readonly as: 'members' | 'admins' | undefined
}

export class Memberships {
  readonly #file: GroupsFile
  /** By username; `members` and `admins` that name them. */
  readonly #direct = new Map<string, { group: string; as: 'members' | 'admins' }[]>()
  /** By group: the groups that it is a part of. */
  readonly #parents = new Map<string, string[]>()

  constructor(file: GroupsFile) {
    this.#file = file
    for (const [group, { members, admins, groups }] of Object.entries(file)) {
      for (const username of members) put(this.#direct, username, { group, as: 'members' })
      for (const username of admins) put(this.#direct, username, { group, as: 'admins' })
      for (const part of groups) put(this.#parents, part, group)
    }
  }

  usernames(): Iterable<string> {
    return this.#direct.keys()
  }

  /** The identity with its groups, their roles and their subscriptions. */
  identify(identity: Identity): Identity {
    const steps = this.#stepsOf(identity)
    if (steps.size === 0) return identity
    const roles = new Set(identity.roles)
    const subscriptions = new Map((identity.subscriptions ?? []).map((one) => [one.filter, one]))
    for (const name of steps.keys()) {
      const group = this.#groupOf(name)
      if (group === undefined) continue
      for (const role of group.roles) roles.add(role)
      if (group.admins.includes(identity.username)) roles.add(`admin:${name}`)
      if (group.muted.includes(identity.username)) roles.add(`muted:${name}`)
      for (const one of subscriptionsOf(group, name, identity))
        if (!subscriptions.has(one.filter)) subscriptions.set(one.filter, one)
    }
    return {
      ...identity,
      groups: [...steps.keys()],
      roles: [...roles],
      ...(subscriptions.size === 0 ? {} : { subscriptions: [...subscriptions.values()] }),
    }
  }

  /** The steps to a group or a role, each told by `place`; empty: not by this file. */
  origin(username: string, membership: Membership, place: (path: readonly PropertyKey[]) => string): string[] {
    const steps = this.#stepsOf({ username, groups: [], roles: [], attributes: {} })
    if ('group' in membership) return this.#wayTo(membership.group, username, steps, place)
    for (const name of steps.keys()) {
      const path = this.#pathOfRole(name, membership.role, username)
      if (path === undefined) continue
      return [...this.#wayTo(name, username, steps, place), `the role ${membership.role}: ${place(path)}`]
    }
    return []
  }

  /** All groups of an identity with the first way there, the nearest first. */
  #stepsOf({ username, groups }: Identity): Map<string, Step> {
    const steps = new Map<string, Step>()
    const add = (group: string, step: Step) => {
      if (!steps.has(group)) steps.set(group, step)
    }
    for (const group of groups) add(group, { from: undefined, as: undefined })
    for (const { group, as } of this.#direct.get(username) ?? []) add(group, { from: undefined, as })
    // The map grows while it is walked through: what is added is visited as well, and nothing twice.
    for (const group of steps.keys()) {
      for (const parent of this.#parents.get(group) ?? []) add(parent, { from: group, as: undefined })
    }
    return steps
  }

  #wayTo(
    group: string,
    username: string,
    steps: ReadonlyMap<string, Step>,
    place: (path: readonly PropertyKey[]) => string,
  ): string[] {
    const step = steps.get(group)
    if (step === undefined) return []
    if (step.from === undefined) {
      const at = step.as === undefined ? -1 : this.#file[group]![step.as].indexOf(username)
      return step.as === undefined ? [] : [`${username} is in the group ${group}: ${place([group, step.as, at])}`]
    }
    const at = this.#file[group]!.groups.indexOf(step.from)
    const before = this.#wayTo(step.from, username, steps, place)
    return [...before, `the group ${step.from} is a part of ${group}: ${place([group, 'groups', at])}`]
  }

  #pathOfRole(name: string, role: string, username: string): readonly PropertyKey[] | undefined {
    const group = this.#groupOf(name)
    if (group === undefined) return undefined
    if (role === `admin:${name}` && group.admins.includes(username))
      return [name, 'admins', group.admins.indexOf(username)]
    if (role === `muted:${name}` && group.muted.includes(username))
      return [name, 'muted', group.muted.indexOf(username)]
    const at = group.roles.indexOf(role)
    return at === -1 ? undefined : [name, 'roles', at]
  }

  /** A login may bring the name of a group that is none, such as `constructor`. */
  #groupOf(name: string): Group | undefined {
    return Object.hasOwn(this.#file, name) ? this.#file[name] : undefined
  }
}

/** Each cycle once, as the names on its way: `a, b, a`. */
export function cyclesOf(file: GroupsFile): string[][] {
  const cycles: string[][] = []
  const done = new Set<string>()
  for (const first of Object.keys(file)) {
    // A walk without recursion: the depth is that of a file of somebody.
    const way: { group: string; next: number }[] = [{ group: first, next: 0 }]
    const onWay = new Set([first])
    while (way.length > 0 && !done.has(way[0]!.group)) {
      const here = way.at(-1)!
      const parts = Object.hasOwn(file, here.group) ? file[here.group]!.groups : []
      const part = parts[here.next]
      here.next += 1
      if (part === undefined) {
        way.pop()
        onWay.delete(here.group)
        done.add(here.group)
      } else if (onWay.has(part)) {
        const from = way.findIndex(({ group }) => group === part)
        cycles.push([...way.slice(from).map(({ group }) => group), part])
      } else if (!done.has(part)) {
        way.push({ group: part, next: 0 })
        onWay.add(part)
      }
    }
  }
  return cycles
}

function subscriptionsOf(
  { subscribe }: Group,
  group: string,
  { username, attributes }: Identity,
): AutomaticSubscription[] {
  return listOf(subscribe).flatMap((one) => {
    const { filter, qos } = typeof one === 'string' ? { filter: one, qos: 1 as const } : one
    // The client id is not known here: a filter with {client} is for nobody.
    const expanded = expand(filter, { user: username, client: '', group, attributes }, false)
    return expanded === undefined ? [] : [{ filter: expanded, qos }]
  })
}

function put<T>(map: Map<string, T[]>, name: string, value: T): void {
  const known = map.get(name)
  if (known === undefined) map.set(name, [value])
  else known.push(value)
}
