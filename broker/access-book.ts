// What all plugins together say about users and rights by their files: one version of them, in use or only considered.
import type { Problem } from './config/problem.ts'
import type { AnyFile, Versions } from './file-changes.ts'
import type {
  Access,
  AccessQuestion,
  AccessRule,
  ClientInfo,
  Explanation,
  FileMistake,
  Identity,
  KnownNames,
  Membership,
  Plugin,
  PluginFile,
  QoS,
  Right,
} from './plugin.ts'

export interface AccessPart {
  readonly plugin: Plugin
  readonly settings: unknown
  readonly files: ReadonlyMap<string, AnyFile>
}

interface Source {
  readonly part: AccessPart
  readonly access: Access
}

export class AccessBook {
  readonly #sources: readonly Source[]
  readonly #versions: Versions
  readonly known: KnownNames

  /** `versions`: of those files the version to read instead of the one in use. Plugins whose files are the same are shared. */
  constructor(parts: readonly AccessPart[], versions: Versions = new Map(), before?: AccessBook) {
    this.#versions = versions
    this.#sources = parts.flatMap((part) => {
      const same = [...part.files.values()].every((file) => !versions.has(file))
      const kept = same && before !== undefined ? before.#sources.find((source) => source.part === part) : undefined
      const access = kept?.access ?? part.plugin.access?.(part.settings, this.#filesOf(part))
      return access === undefined ? [] : [{ part, access }]
    })
    this.known = { groups: sameSet(this.#groupsOf(parts), before?.known.groups) }
  }

  /** What shows only beside the files of the others, in the order of the config. */
  problems(): Problem[] {
    return this.#sources.flatMap(({ part, access }) =>
      this.#mistakesOf(access).map(({ setting, path, part: which, message }) => {
        const file = part.files.get(setting)!
        return (this.#versions.get(file)?.file ?? file).problem(path, which, message)
      }),
    )
  }

  /** Found once for each version of a plugin's files and of the groups. */
  #mistakesOf(access: Access): readonly FileMistake[] {
    const found = foundMistakes.get(access)
    if (found?.known.groups === this.known.groups && found !== undefined) return found.mistakes
    const mistakes = access.mistakes?.(this.known) ?? []
    foundMistakes.set(access, { known: this.known, mistakes })
    return mistakes
  }

  get accesses(): readonly Access[] {
    return this.#sources.map(({ access }) => access)
  }

  usernames(): Set<string> {
    const names = new Set<string>()
    for (const access of this.accesses) for (const name of access.usernames?.() ?? []) names.add(name)
    return names
  }

  /** Who a user is when the login succeeds; undefined: no file knows the user, or the user is not let in. */
  user(username: string): Identity | undefined {
    for (const access of this.accesses) {
      const found = access.user?.(username)
      if (found !== undefined) return this.identify(found)
    }
    return undefined
  }

  identify(identity: Identity): Identity {
    return this.accesses.reduce((known, access) => access.identify?.(known) ?? known, identity)
  }

  origin(username: string, membership: Membership): readonly string[] {
    for (const access of this.accesses) {
      const steps = access.origin?.(username, membership) ?? []
      if (steps.length > 0) return steps
    }
    return []
  }

  explain(client: ClientInfo, question: AccessQuestion): Explanation | undefined {
    for (const access of this.accesses) {
      const explanation = access.explain?.(client, question)
      if (explanation !== undefined) return explanation
    }
    return undefined
  }

  /** Undefined: no file answers it. */
  maySubscribe(client: ClientInfo, filter: string, qos: QoS): boolean | undefined {
    for (const access of this.accesses) {
      const allowed = access.maySubscribe?.(client, filter, qos)
      if (allowed !== undefined) return allowed
    }
    return undefined
  }

  /** The same list as long as the plugins that have rules are the same. */
  rules(): readonly AccessRule[] {
    const lists = this.accesses.flatMap(({ rules }) => (rules === undefined ? [] : [rules]))
    return lists.length === 1 ? lists[0]! : lists.flat()
  }

  rulesOf(identity: Identity): readonly AccessRule[] {
    return this.accesses.flatMap((access) => access.rulesOf?.(identity) ?? access.rules ?? [])
  }

  gives(identity: Identity, right: Right): boolean {
    return this.accesses.some((access) => access.gives?.(identity, right) === true)
  }

  #groupsOf(parts: readonly AccessPart[]): ReadonlySet<string> | undefined {
    // A plugin that says nothing about itself may bring any group.
    if (parts.some(({ plugin }) => plugin.access === undefined)) return undefined
    if (!this.accesses.some(({ groups }) => groups !== undefined)) return undefined
    return new Set(this.accesses.flatMap(({ groups = [], namedGroups = [] }) => [...groups, ...namedGroups]))
  }

  #filesOf({ files }: AccessPart): Readonly<Record<string, PluginFile<unknown>>> {
    return Object.fromEntries(
      [...files].map(([setting, file]) => {
        const version = this.#versions.get(file)?.file
        // Nobody is told of a version that may never be in use.
        const given = version && { path: file.path, value: version.value, locate: version.locate, onChange: () => {} }
        return [setting, given ?? file]
      }),
    )
  }
}

const foundMistakes = new WeakMap<Access, { readonly known: KnownNames; readonly mistakes: readonly FileMistake[] }>()

/** The one of before, when it holds the same. */
function sameSet(now: ReadonlySet<string> | undefined, before: ReadonlySet<string> | undefined) {
  if (now === undefined || before === undefined || now.size !== before.size) return now
  for (const name of now) if (!before.has(name)) return now
  return before
}
