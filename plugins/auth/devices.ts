// The devices file of auth-file: a line for each device, as `oriole device` writes it. 100,000 lines are read in slices.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { parse } from 'yaml'
import { z } from 'zod'
import { isTokenHash } from '../../broker/password.ts'
import type { TextFile } from '../../broker/plugin.ts'
import { nameMistake, nameSchema } from '../acl/names.ts'
import { type User, userSchema } from './users.ts'

/** Some 300,000 devices. */
const devicesMaxBytes = 32 * 1024 * 1024
/** A slice takes some milliseconds; then others get their turn. */
const linesAtATime = 2_000

/** What is kept of a device: with 100,000 of them each byte counts. */
export interface Device {
  readonly hash: string
  readonly groups: readonly string[]
  /** Of a line that says more than what `oriole device` writes. */
  readonly more: Pick<User, 'disabled'> & {
    readonly roles: readonly string[]
    readonly attributes: Readonly<Record<string, string>>
  }
}

export type Devices = ReadonlyMap<string, Device>

const nothingMore: Device['more'] = Object.freeze({ disabled: false, roles: [], attributes: {} })
const noGroups: readonly string[] = Object.freeze([])

const nameOfLine = String.raw`("(?:[^"\\]|\\.)*"|[A-Za-z0-9_.@-]+)`
const token = String.raw`"(token\$[A-Za-z0-9+/]{43}=)"`
/** What `oriole device add` and `oriole passwd --token` write. */
const usualLine = new RegExp(
  String.raw`^${nameOfLine}: (?:${token}|\{ password: ${token}, added: [0-9TZ:.-]+(?:, groups: \[([^\]"{}]*)\])? \})$`,
)

const deviceSchema = userSchema.extend({
  password: z.string().refine(isTokenHash, 'is no token; devices have none but those of `oriole device add`'),
  added: z.unknown().optional(),
})
const lineSchema = z.record(nameSchema, deviceSchema)

export const devicesFile: TextFile<Devices> = {
  maxBytes: devicesMaxBytes,

  async read(text, mistake) {
    const devices = new Map<string, Device>()
    const sharedGroups = new Map<string, readonly string[]>()
    for (const [index, line] of text.split(/\r?\n/).entries()) {
      if (index % linesAtATime === linesAtATime - 1) await nextTurn()
      if (/^\s*(#|$)/.test(line)) continue
      const read = readUsual(line, sharedGroups) ?? readAny(line)
      const wrong = 'wrong' in read ? read.wrong : nameMistake(read.name)
      if (wrong !== undefined) mistake(index + 1, 1, wrong)
      else if ('wrong' in read) continue
      else if (devices.has(read.name)) mistake(index + 1, 1, `${read.name} stands here a second time; keep one`)
      else devices.set(read.name, read.device)
    }
    return devices
  },
}

export function userOfDevice(username: string, { hash, groups, more }: Device): User {
  const { disabled, roles, attributes } = more
  return { hash, disabled, identity: { username, groups, roles, attributes } }
}

type ReadLine = { readonly name: string; readonly device: Device } | { readonly wrong: string }

/** Undefined: it is another line. */
function readUsual(line: string, sharedGroups: Map<string, readonly string[]>): ReadLine | undefined {
  const match = usualLine.exec(line)
  if (match === null) return undefined
  const [, written, short, long, groupList = ''] = match
  const name = written!.startsWith('"') ? (JSON.parse(written!) as string) : written!
  let groups = groupList === '' ? noGroups : sharedGroups.get(groupList)
  if (groups === undefined) {
    groups = groupList.split(',').map((group) => group.trim())
    const wrong = groups.map(nameMistake).find((one) => one !== undefined)
    if (wrong !== undefined) return { wrong: `a group ${wrong}` }
    sharedGroups.set(groupList, groups)
  }
  return { name, device: { hash: short ?? long!, groups, more: nothingMore } }
}

/** As an entry of users.yaml, on one line. */
function readAny(line: string): ReadLine {
  const usage = 'is no line such as `pump-7: { password: "token$…", groups: [pumps] }`; `oriole device add` writes them'
  let value: unknown
  try {
    // What the library warns of it would print, with the line.
    value = parse(line, { logLevel: 'error' })
  } catch {
    // What YAML says of a part of a file would name the wrong place.
    return { wrong: usage }
  }
  const { data, error } = lineSchema.safeParse(value)
  const [entry, ...others] = Object.entries(data ?? {})
  if (entry === undefined || others.length > 0) {
    const [issue] = error?.issues ?? []
    if (issue === undefined || (issue.path.length < 2 && issue.code !== 'unrecognized_keys')) return { wrong: usage }
    return { wrong: [...issue.path.slice(1), issue.message].join(': ') }
  }
  const [name, { password, groups, roles, attributes, disabled }] = entry
  return { name, device: { hash: password, groups, more: { roles, attributes, disabled } } }
}
