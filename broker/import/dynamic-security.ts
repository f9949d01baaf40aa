// The JSON file of mosquitto's dynamic security plugin: clients, groups, and roles with their rules.
import { z } from 'zod'
import { OrioleError } from '../errors.ts'
import type { Imported, ImportedRule } from './imported.ts'

const roleNames = z.array(z.looseObject({ rolename: z.string() })).default([])

const fileSchema = z.looseObject({
  clients: z
    .array(
      z.looseObject({
        username: z.string(),
        password: z.string().optional(),
        salt: z.string().optional(),
        iterations: z.int().optional(),
        clientid: z.string().optional(),
        disabled: z.boolean().optional(),
        roles: roleNames,
      }),
    )
    .default([]),
  groups: z
    .array(
      z.looseObject({
        groupname: z.string(),
        roles: roleNames,
        clients: z.array(z.looseObject({ username: z.string() })).default([]),
      }),
    )
    .default([]),
  roles: z
    .array(
      z.looseObject({
        rolename: z.string(),
        acls: z
          .array(
            z.looseObject({ acltype: z.string(), topic: z.string(), allow: z.boolean(), priority: z.int().default(0) }),
          )
          .default([]),
      }),
    )
    .default([]),
  defaultACLAccess: z.record(z.string(), z.boolean()).default({}),
  anonymousGroup: z.string().optional(),
})
type File = z.infer<typeof fileSchema>

/** Throws ORI_CONFIG_INVALID when it is no such file. */
export function importDynamicSecurity(text: string, file: string, into: Imported): void {
  const content = parse(text, file)
  for (const client of content.clients) addClient(client, file, into)
  for (const { groupname, clients, roles } of content.groups) {
    into.groups.set(groupname, {
      members: clients.map(({ username }) => username),
      ...(roles.length === 0 ? {} : { roles: roles.map(({ rolename }) => rolename) }),
    })
  }
  for (const role of content.roles) addRole(role, file, into)
  addDefaults(content, file, into)
  const { anonymousGroup } = content
  if (anonymousGroup)
    into.notes.push(`${file}: clients without a name were in the group ${anonymousGroup}; here they are in none`)
}

function parse(text: string, file: string): File {
  let problem: string
  try {
    const { data, error } = fileSchema.safeParse(JSON.parse(text))
    if (data !== undefined) return data
    problem = error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ')
  } catch (error) {
    problem = error instanceof Error ? error.message : String(error)
  }
  throw new OrioleError('ORI_CONFIG_INVALID', `${file} is no file of the dynamic security plugin: ${problem}`)
}

function addClient(
  { username, password, salt, iterations, clientid, disabled, roles }: File['clients'][number],
  file: string,
  into: Imported,
): void {
  if (password === undefined || salt === undefined) {
    into.notes.push(`${file}: the client ${username} has no password and is left out`)
    return
  }
  if (clientid)
    into.notes.push(`${file}: the client ${username} had to use the client id ${clientid}; here it may use any`)
  into.users.set(username, {
    password: `$7$${iterations ?? 101}$${salt}$${password}`,
    ...(roles.length === 0 ? {} : { roles: roles.map(({ rolename }) => rolename) }),
    ...(disabled === true ? { disabled } : {}),
  })
}

function addRole({ rolename, acls }: File['roles'][number], file: string, into: Imported): void {
  const lists = {
    allow: { publish: [] as string[], subscribe: [] as string[] },
    deny: { publish: [] as string[], subscribe: [] as string[] },
  }
  for (const { acltype, topic, allow } of acls) {
    // They are the plugin's own interface, which nobody answers here; an UNSUBSCRIBE is always allowed.
    if (topic.startsWith('$CONTROL/') || acltype.startsWith('unsubscribe')) continue
    if (/[{}]/.test(topic)) {
      into.notes.push(`${file}: role ${rolename}: left out, braces in a filter are placeholders here: ${topic}`)
      continue
    }
    const filter = topic.replaceAll('%u', '{user}').replaceAll('%c', '{client}')
    const effect = allow ? 'allow' : 'deny'
    if (acltype === 'publishClientSend') lists[effect].publish.push(filter)
    else if (acltype === 'subscribeLiteral' || acltype === 'subscribePattern') lists[effect].subscribe.push(filter)
    else if (acltype === 'publishClientReceive') {
      // Whether a message may come in is a question of the subscription here.
      if (!allow) lists.deny.subscribe.push(filter)
    } else into.notes.push(`${file}: role ${rolename}: left out, "${acltype}" is not known`)
  }
  for (const effect of ['allow', 'deny'] as const) {
    const { publish, subscribe } = lists[effect]
    if (publish.length + subscribe.length === 0) continue
    into.rules.push({ effect, roles: rolename, ...listsOf(publish, subscribe) })
  }
  if (new Set(acls.map(({ allow }) => allow)).size > 1) {
    into.notes.push(`${file}: role ${rolename}: priorities are not carried over; here a deny always wins`)
  }
}

function listsOf(
  publish: readonly string[],
  subscribe: readonly string[],
): Pick<ImportedRule, 'publish' | 'subscribe'> {
  return {
    ...(publish.length === 0 ? {} : { publish: [...new Set(publish)] }),
    ...(subscribe.length === 0 ? {} : { subscribe: [...new Set(subscribe)] }),
  }
}

function addDefaults({ defaultACLAccess }: File, file: string, into: Imported): void {
  const publish = defaultACLAccess.publishClientSend === true ? ['#'] : []
  const subscribe = defaultACLAccess.subscribe === true ? ['#'] : []
  if (publish.length + subscribe.length > 0) into.rules.push({ effect: 'allow', ...listsOf(publish, subscribe) })
  if (defaultACLAccess.publishClientReceive === false) {
    into.notes.push(
      `${file}: nothing came in that no publishClientReceive allowed; here what may be subscribed to comes in`,
    )
  }
}
