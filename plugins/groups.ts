// groups: reads who belongs to which group from one file and adds it to the identity of each client.
import { basename } from 'node:path'
import { z } from 'zod'
import { type Access, definePlugin, type FileMistake, type KnownNames, type PluginFile } from '../broker/plugin.ts'
import { type GroupsFile, groupsSchema } from './groups/groups-file.ts'
import { cyclesOf, Memberships } from './groups/memberships.ts'

export default definePlugin({
  name: 'groups',
  config: z.strictObject({
    file: z.string().min(1).describe('YAML file, relative to the config file; reloaded when it changes'),
  }),
  files: { file: groupsSchema },
  secretFiles: ['file'],
  access: (_config, { file }) => accessOf(file),

  setup(broker, _config, { file }) {
    let memberships = membershipsOf(file.value)

    file.onChange((groups, groupsBefore) => {
      const before = memberships
      memberships = membershipsOf(groups)
      const after = memberships
      const touched = touchedGroups(groupsBefore, groups)
      // The identity of each of them is made anew, and with it what the group gave and gives.
      void broker.rightsChanged(
        ({ identity: { username, groups } }) =>
          groups.some((group) => touched.has(group)) || !hasSame(before, after, username),
      )
    })

    return { identify: (identity) => memberships.identify(identity) }
  },
})

function accessOf(file: PluginFile<GroupsFile>): Access {
  const groups = file.value
  const memberships = membershipsOf(groups)
  return {
    groups: new Set(Object.keys(groups)),
    usernames: () => memberships.usernames(),
    identify: (identity) => memberships.identify(identity),
    origin: (username, membership) => memberships.origin(username, membership, (path) => basename(file.locate(path))),
    mistakes: (known) => [...unknownParts(groups, known), ...cycles(groups)],
  }
}

/** Plugin and access of one version share them. */
const known = new WeakMap<GroupsFile, Memberships>()

function membershipsOf(groups: GroupsFile): Memberships {
  const made = known.get(groups) ?? new Memberships(groups)
  known.set(groups, made)
  return made
}

/** True when two versions say the same of a name. */
function hasSame(one: Memberships, other: Memberships, username: string): boolean {
  const identity = { username, groups: [], roles: [], attributes: {} }
  return JSON.stringify(one.identify(identity)) === JSON.stringify(other.identify(identity))
}

/** Groups in which something changed that also concerns those whom no list names, because the login brought the group. */
function touchedGroups(before: GroupsFile, after: GroupsFile): ReadonlySet<string> {
  const touched = new Set<string>()
  for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const [was, is] = [before[name], after[name]]
    if (was === is || textOf(was) === textOf(is)) continue
    for (const group of [name, ...(was?.groups ?? []), ...(is?.groups ?? [])]) touched.add(group)
  }
  return touched
}

function textOf(group: GroupsFile[string] | undefined): string {
  return JSON.stringify({ ...group, members: [] })
}

function unknownParts(groups: GroupsFile, { groups: all }: KnownNames): FileMistake[] {
  if (all === undefined) return []
  return Object.entries(groups).flatMap(([name, group]) =>
    group.groups.flatMap((part, at) =>
      all.has(part) ? [] : [mistake([name, 'groups', at], `${name}.groups: there is no group "${part}"`)],
    ),
  )
}

function cycles(groups: GroupsFile): FileMistake[] {
  return cyclesOf(groups).map((way) => {
    const [name, part] = [way.at(-2)!, way.at(-1)!]
    const at = groups[name]!.groups.indexOf(part)
    return mistake([name, 'groups', at], `${name}.groups: a group cannot be a part of itself: ${way.join(' > ')}`)
  })
}

function mistake(path: readonly PropertyKey[], message: string): FileMistake {
  return { setting: 'file', path, part: 'value', message }
}
