// The config file into one frozen object, or every problem in it at once.
import type { Environment } from './env.ts'
import { isLoopback } from './loopback.ts'
import { comparePlaces, type Problem } from './problem.ts'
import {
  type AdminConfig,
  adminSchema,
  type Config,
  configSchema,
  type ListenerConfig,
  listenerSchema,
} from './schema.ts'
import { checkYaml, type RawYamlFile, readRawYaml, type YamlFile } from './yaml-file.ts'

export interface LoadedConfig {
  /** Deep-frozen; undefined when there are problems. */
  readonly config: Config | undefined
  readonly file: YamlFile<Config> | undefined
  readonly problems: Problem[]
  /** Listeners and plugins that could be read of a file with problems, so that `check` can go on and look at them. */
  readonly salvaged: YamlFile<Config> | undefined
}

/** Reads, expands, checks. Never throws for what stands in the file. */
export async function loadConfig(path: string, env: Environment): Promise<LoadedConfig> {
  const { file: raw, problems: unreadable } = await readRawYaml(path, { env })
  if (raw === undefined) return { config: undefined, file: undefined, problems: unreadable, salvaged: undefined }
  const file = withoutEmptySections(raw)
  const { file: checked, problems: wrong } = checkYaml(file, configSchema)
  const problems = [...wrong, ...crossCheck(file)].sort(comparePlaces)
  if (checked === undefined || problems.length > 0) {
    return { config: undefined, file: undefined, problems, salvaged: salvage(file) }
  }
  const config = deepFreeze(checked.value)
  return { config, file: checked, problems: [], salvaged: undefined }
}

/** `limits:` with every line below it commented out means the defaults, not "nothing instead of a map". */
function withoutEmptySections(file: RawYamlFile): RawYamlFile {
  if (!isRecord(file.value)) return file
  const value = Object.fromEntries(Object.entries(file.value).filter(([, section]) => section !== null))
  return { ...file, value }
}

/** What no single setting shows. It looks at each part that is right in itself, so that one mistake hides no other. */
function crossCheck(file: RawYamlFile): Problem[] {
  const root = isRecord(file.value) ? file.value : {}
  const admin = adminSchema.safeParse(root.admin ?? {}).data
  const listeners = (Array.isArray(root.listeners) ? root.listeners : []).map(
    (entry) => listenerSchema.safeParse(entry).data,
  )
  return [
    ...sameNames(file, root.listeners),
    ...samePorts(file, listeners, admin),
    ...plainText(file, listeners),
    ...clientAuthorities(file, listeners),
    ...openDoors(file, listeners, root.plugins),
    ...adminAddress(file, admin),
    ...workersNeedCluster(file, root),
  ]
}

function sameNames(file: RawYamlFile, listeners: unknown): Problem[] {
  const seen = new Map<string, number>()
  return (Array.isArray(listeners) ? listeners : []).flatMap((listener: unknown, index) => {
    const name = isRecord(listener) ? listener.name : undefined
    if (typeof name !== 'string') return []
    const first = seen.get(name)
    if (first === undefined) {
      seen.set(name, index)
      return []
    }
    const message = `listeners.${index}.name: "${name}" is the name of listeners.${first} already; choose another`
    return [file.problem(['listeners', index, 'name'], 'value', message)]
  })
}

function samePorts(
  file: RawYamlFile,
  listeners: readonly Maybe<ListenerConfig>[],
  admin: Maybe<AdminConfig>,
): Problem[] {
  const taken: { host: string; port: number; by: string }[] = []
  const problems: Problem[] = []
  const take = (host: string, port: number, by: string, path: readonly PropertyKey[]): void => {
    if (port === 0) return
    const other = taken.find((one) => one.port === port && overlap(one.host, host))
    taken.push({ host, port, by })
    if (other === undefined) return
    problems.push(file.problem(path, 'value', `${by}.port: ${port} is the port of ${other.by} already; choose another`))
  }
  for (const [index, listener] of listeners.entries()) {
    if (listener === undefined || listener.type === 'unix') continue
    take(listener.host, listener.port, `listeners.${index}`, ['listeners', index, 'port'])
  }
  if (admin?.enabled) take(admin.host, admin.port, 'admin', ['admin', 'port'])
  return problems
}

/** The same address, or one of them stands for every address. */
function overlap(one: string, other: string): boolean {
  return one === other || isEveryAddress(one) || isEveryAddress(other)
}

function plainText(file: RawYamlFile, listeners: readonly Maybe<ListenerConfig>[]): Problem[] {
  return listeners.flatMap((listener, index) => {
    if (listener === undefined || (listener.type !== 'tcp' && listener.type !== 'ws')) return []
    if (isLoopback(listener.host) || listener.insecure) return []
    const safe = listener.type === 'tcp' ? 'tls' : 'wss'
    const message = `listeners.${index}.host: ${listener.host} is not loopback, and passwords would cross the network in plain text; use type: ${safe}, or say insecure: true`
    return [file.problem(['listeners', index, 'host'], 'value', message)]
  })
}

/** Without it Node would trust every public authority of the world to name our clients. */
function clientAuthorities(file: RawYamlFile, listeners: readonly Maybe<ListenerConfig>[]): Problem[] {
  return listeners.flatMap((listener, index) => {
    if (listener === undefined || !('clientCertificate' in listener)) return []
    if (listener.clientCertificate === 'none' || listener.ca !== undefined) return []
    const message = `listeners.${index}.clientCertificate: ${listener.clientCertificate} needs authorities to trust; set ca`
    return [file.problem(['listeners', index, 'clientCertificate'], 'value', message)]
  })
}

function openDoors(file: RawYamlFile, listeners: readonly Maybe<ListenerConfig>[], plugins: unknown): Problem[] {
  const open = (Array.isArray(plugins) ? plugins : []).findIndex(
    (entry: unknown) => pluginName(entry) === 'auth-anonymous',
  )
  if (open < 0) return []
  return listeners.flatMap((listener, index) => {
    if (listener === undefined || listener.type === 'unix' || isLoopback(listener.host)) return []
    const message = `plugins.${open}: auth-anonymous lets everybody in, and listeners.${index} ("${listener.name}") listens on ${listener.host}; keep it on 127.0.0.1, or use auth-file`
    return [file.problem(['plugins', open], 'value', message)]
  })
}

function adminAddress(file: RawYamlFile, admin: Maybe<AdminConfig>): Problem[] {
  if (admin === undefined || !admin.enabled || isLoopback(admin.host)) return []
  const message = `admin.host: ${admin.host} is not loopback; use 127.0.0.1, and reach it from elsewhere through a tunnel or a proxy`
  return [file.problem(['admin', 'host'], 'value', message)]
}

/** They share messages over its Redis; without it each would be a broker that knows only its own clients. */
function workersNeedCluster(file: RawYamlFile, { workers, cluster }: Record<string, unknown>): Problem[] {
  if (cluster !== undefined || !(workers === 'auto' || (typeof workers === 'number' && workers > 1))) return []
  const message = `workers: ${workers} needs a section cluster: with a Redis, over which the workers share messages; add it, or set workers to 1`
  return [file.problem(['workers'], 'value', message)]
}

/** A config of defaults with those listeners and plugins that are right in themselves; places still lead to the file. */
function salvage(file: RawYamlFile): YamlFile<Config> {
  const root = isRecord(file.value) ? file.value : {}
  const listeners = keep(root.listeners, (entry) => listenerSchema.safeParse(entry).success)
  const plugins = keep(root.plugins, (entry) => pluginName(entry) !== undefined)
  const parsed = configSchema.parse({
    plugins: plugins.entries,
    ...(listeners.entries.length === 0 ? {} : { listeners: listeners.entries }),
  })
  const kept = new Map<PropertyKey, readonly number[]>([
    ['listeners', listeners.indexes],
    ['plugins', plugins.indexes],
  ])
  const inFile = ([section, index, ...rest]: readonly PropertyKey[]): readonly PropertyKey[] => {
    if (section === undefined || index === undefined) return section === undefined ? [] : [section]
    return [section, kept.get(section)?.[Number(index)] ?? index, ...rest]
  }
  return {
    path: file.path,
    value: deepFreeze(parsed),
    locate: (path) => file.locate(inFile(path)),
    problem: (path, part, message) => file.problem(inFile(path), part, message),
  }
}

function keep(list: unknown, isGood: (entry: unknown) => boolean): { entries: unknown[]; indexes: number[] } {
  const all: unknown[] = Array.isArray(list) ? list : []
  const indexes = [...all.keys()].filter((index) => isGood(all[index]))
  return { entries: indexes.map((index) => all[index]), indexes }
}

function pluginName(entry: unknown): string | undefined {
  if (typeof entry === 'string' && entry !== '') return entry
  const names = isRecord(entry) ? Object.keys(entry) : []
  return names.length === 1 && names[0] !== '' ? names[0] : undefined
}

function isEveryAddress(host: string): boolean {
  return host === '' || host === '0.0.0.0' || host === '::'
}

type Maybe<T> = T | undefined

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  for (const inside of Object.values(value)) deepFreeze(inside)
  return Object.freeze(value)
}
