// groups: reads who belongs to which group from one file and adds it to the identity of each client.
import { z } from 'zod'
import { definePlugin, type Identity } from '../broker/plugin.ts'

/** A name of a group stands in topics, where these would be wildcards or levels of their own. */
const groupName = z
  .string()
  .min(1)
  .max(128)
  .refine((name) => !/[+#/]/.test(name), 'must not contain "+", "#" or "/", because it stands in topics')
  .refine((name) => !name.startsWith('$'), 'must not begin with "$", because it stands in topics')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  .refine((name) => !/[\u0000-\u001f\u007f-\u009f]/.test(name), 'must not contain control characters')
  .refine((name) => name.normalize('NFC') === name, 'must be in Unicode normal form NFC; type it again')

const usernames = z.array(z.string().min(1, 'must not be empty')).default([])

const groupSchema = z.strictObject({
  members: usernames.describe('usernames'),
  admins: usernames.describe('usernames; they are members too, and get the role `admin:GROUP`'),
})
const groupsSchema = z.record(groupName, groupSchema)
type GroupsFile = z.infer<typeof groupsSchema>

export default definePlugin({
  name: 'groups',
  config: z.strictObject({
    file: z.string().min(1).describe('YAML file, relative to the config file; reloaded when it changes'),
  }),
  files: { file: groupsSchema },

  setup(broker, _, { file }) {
    let memberships = membershipsOf(file.value)

    file.onChange((groups) => {
      const before = memberships
      memberships = membershipsOf(groups)
      // What was taken away ends with the connection that still has it; what was given comes with the next one.
      for (const { id, identity } of broker.clients()) {
        const had = before.get(identity.username)
        if (had === undefined || keepsAll(had, memberships.get(identity.username))) continue
        broker.disconnect(id, 'removed from a group')
      }
    })

    return {
      identify(identity) {
        const membership = memberships.get(identity.username)
        return membership === undefined ? identity : withMembership(identity, membership)
      },
    }
  },
})

interface Membership {
  readonly groups: Set<string>
  readonly roles: Set<string>
}

/** From groups with their users to users with their groups: a login looks up one name. */
function membershipsOf(file: GroupsFile): ReadonlyMap<string, Membership> {
  const memberships = new Map<string, Membership>()
  const membershipOf = (username: string): Membership => {
    const known = memberships.get(username)
    if (known !== undefined) return known
    const fresh = { groups: new Set<string>(), roles: new Set<string>() }
    memberships.set(username, fresh)
    return fresh
  }
  for (const [group, { members, admins }] of Object.entries(file)) {
    for (const username of [...members, ...admins]) membershipOf(username).groups.add(group)
    for (const username of admins) membershipOf(username).roles.add(`admin:${group}`)
  }
  return memberships
}

function withMembership(identity: Identity, { groups, roles }: Membership): Identity {
  return {
    ...identity,
    groups: [...new Set([...identity.groups, ...groups])],
    roles: [...new Set([...identity.roles, ...roles])],
  }
}

function keepsAll(had: Membership, has: Membership | undefined): boolean {
  if (has === undefined) return false
  return [...had.groups].every((group) => has.groups.has(group)) && [...had.roles].every((role) => has.roles.has(role))
}
