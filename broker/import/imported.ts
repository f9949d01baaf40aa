// What an importer found in the files of another broker, in the terms of ours; and how it is written.
import { stringify } from 'yaml'
import { printable } from '../config/problem.ts'

export interface ImportedUser {
  readonly password: string
  readonly roles?: readonly string[]
  readonly disabled?: boolean
}

export interface ImportedGroup {
  readonly members: readonly string[]
  readonly roles?: readonly string[]
}

export interface ImportedRule {
  readonly effect: 'allow' | 'deny'
  readonly users?: string
  readonly roles?: string
  readonly publish?: readonly string[]
  readonly subscribe?: readonly string[]
}

export interface Imported {
  readonly users: Map<string, ImportedUser>
  readonly groups: Map<string, ImportedGroup>
  readonly rules: ImportedRule[]
  /** What could not be carried over, or means something else here; each a sentence with its place. */
  readonly notes: string[]
}

export function nothingImported(): Imported {
  return { users: new Map(), groups: new Map(), rules: [], notes: [] }
}

/** Name and content of the files that a broker can start with. */
export function filesOf({ users, groups, rules, notes }: Imported, from: string): Readonly<Record<string, string>> {
  // Names of somebody else must not begin a line of their own.
  const head = `# Imported from ${printable(from)}.\n`
  const remarks = notes.map((note) => `# NOTE ${printable(note)}\n`).join('')
  return {
    'users.yaml': `${head}${mapText(users, (user) => (user.roles || user.disabled ? user : user.password))}`,
    'groups.yaml': `${head}${mapText(groups, (group) => group)}`,
    'acl.yaml': `${head}${remarks}${listText(rules)}`,
    'oriole.yaml': `${head}# A broker of its own on loopback, to look at what came over: oriole start --config oriole.yaml
store: { type: level, path: ./data }
plugins:
  - auth-file: { users: users.yaml, admin: false }
  - groups: { file: groups.yaml }
  - acl-file: { rules: acl.yaml }
`,
  }
}

function mapText<T>(entries: ReadonlyMap<string, T>, shown: (value: T) => unknown): string {
  if (entries.size === 0) return '{}\n'
  return [...entries].map(([name, value]) => `${quoted(name)}: ${flow(shown(value))}\n`).join('')
}

function listText(rules: readonly ImportedRule[]): string {
  if (rules.length === 0) return '[]\n'
  return rules.map(({ effect, ...body }) => `- ${effect}: ${flow(body)}\n`).join('')
}

/** On one line: that is how people read these files, and the fastest to load. */
function flow(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(flow).join(', ')}]`
  if (typeof value === 'object' && value !== null) {
    const pairs = Object.entries(value).filter(([, inside]) => inside !== undefined)
    return `{ ${pairs.map(([name, inside]) => `${name}: ${flow(inside)}`).join(', ')} }`
  }
  return typeof value === 'string' ? quoted(value) : String(value)
}

/** As JSON, which YAML reads as well; a `${` is a text here, and no variable. */
function quoted(text: string): string {
  return stringify(text.replaceAll('${', '$${'), { defaultStringType: 'QUOTE_DOUBLE', lineWidth: 0 }).trimEnd()
}
