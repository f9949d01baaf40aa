// The plugin loader: finds, checks and sets up what `plugins:` names, and stops it again in reverse order.
import { mkdirSync } from 'node:fs'
import { dirname, isAbsolute, join } from 'node:path'
import { z } from 'zod'
import { AccessBook, type AccessPart } from './access-book.ts'
import { unaskedOf, watchFiles } from './access-files.ts'
import type { Environment } from './config/env.ts'
import { didYouMean } from './config/nearest.ts'
import { formatProblem, type Problem } from './config/problem.ts'
import type { Config } from './config/schema.ts'
import { checkValue } from './config/schema-problems.ts'
import type { YamlFile } from './config/yaml-file.ts'
import type { LiveClient } from './engine/engine.ts'
import { errorText, OrioleError } from './errors.ts'
import type { ChangeOutcome } from './file-changes.ts'
import type { LoadedPlugin } from './hooks.ts'
import {
  type FileSchemas,
  type HookKind,
  type Hooks,
  hookKinds,
  type Plugin,
  type PluginBroker,
  type PluginFiles,
  type PluginLog,
} from './plugin.ts'
import { type FileSchema, WatchedFile } from './plugin-files.ts'
import { findPlugin } from './plugin-lookup.ts'

/** A release that does not end by then is left behind, so that the others are still asked. */
const releaseMaxMs = 3_000

export interface PluginDependencies {
  readonly env: Environment
  readonly log: PluginLog
  /** Each plugin gets a folder of its own name in it. */
  readonly dataDir: string
  /** False: the store is in memory, and no version of a file is kept either. */
  readonly archives: boolean
  readonly node: string
  /** `publish` may be called from a plugin's setup: it then waits until the broker runs. */
  readonly broker: { liveClients(): Iterable<LiveClient> } & Pick<
    PluginBroker,
    'publish' | 'clients' | 'disconnect' | 'rightsChanged' | 'changeIdentity'
  >
  /** Prints a line on the terminal; never into the log. */
  announce: PluginBroker['announce']
}

export interface LoadedPlugins {
  /** In config order, for createHooks. */
  readonly plugins: readonly LoadedPlugin[]
  /** What the files in use say about users and rights. */
  access(): AccessBook
  /** Plugins that answer only in a running broker. */
  readonly unasked: readonly string[]
  /** Reads all files of plugins now. */
  reload(): Promise<ChangeOutcome>
  /** What `reload` would change. */
  preview(): Promise<ChangeOutcome>
  /** Runs all releases, the last acquired first. Never rejects. */
  stop(): Promise<void>
}

/**
 * Throws OrioleError: ORI_CONFIG_INVALID with all problems of all plugins (`Problem[]`) as its cause, or
 * ORI_PLUGIN_SETUP when a plugin failed to start; whatever was set up by then is released.
 */
export async function loadPlugins(
  config: Config,
  configFile: YamlFile<Config>,
  dependencies: PluginDependencies,
): Promise<LoadedPlugins> {
  const { prepared, problems } = await prepareAll(config, configFile, dependencies.env)
  if (problems.length > 0) {
    const lines = problems.map(formatProblem).join('\n')
    throw new OrioleError('ORI_CONFIG_INVALID', lines, { cause: problems })
  }
  const releases: Release[] = []
  const plugins: LoadedPlugin[] = []
  const stop = () => releaseAll(releases, dependencies.log)
  try {
    for (const each of prepared) plugins.push(await setUp(each, dependencies, releases))
  } catch (error) {
    await stop()
    throw error
  }
  warnOfSilence(plugins, dependencies.log)
  const files = await watchFiles(prepared, { ...dependencies, logOf: (plugin) => logOf(plugin, dependencies.log) })
  releases.push({ plugin: 'files', release: files.stop })
  return {
    plugins,
    stop,
    access: files.access,
    unasked: unaskedOf(prepared),
    reload: () => files.changes.reload(),
    preview: () => files.changes.preview(),
  }
}

export interface ReadAccess {
  readonly book: AccessBook | undefined
  readonly parts: readonly AccessPart[]
  /** Plugins that answer only in a running broker. */
  readonly unasked: readonly string[]
  readonly problems: readonly Problem[]
}

/** What the files of all plugins say, without a broker. `book` is undefined when there are problems. */
export async function readAccess(config: Config, configFile: YamlFile<Config>, env: Environment): Promise<ReadAccess> {
  const { prepared, problems } = await prepareAll(config, configFile, env)
  const book = problems.length > 0 ? undefined : new AccessBook(prepared)
  return { book, parts: prepared, unasked: unaskedOf(prepared), problems }
}

/** All that loadPlugins would refuse before any plugin is set up, in the order of the config. */
export async function checkPlugins(config: Config, configFile: YamlFile<Config>, env: Environment): Promise<Problem[]> {
  return (await prepareAll(config, configFile, env)).problems
}

/** A plugin with its checked settings and its loaded files. */
interface Prepared {
  readonly plugin: Plugin
  readonly settings: unknown
  readonly files: ReadonlyMap<string, WatchedFile<unknown>>
}

interface Release {
  readonly plugin: string
  readonly release: () => void | Promise<void>
}

async function prepareAll(
  config: Config,
  configFile: YamlFile<Config>,
  env: Environment,
): Promise<{ prepared: Prepared[]; problems: Problem[] }> {
  const problemAt = configFile.problem
  const prepared: Prepared[] = []
  const problems: Problem[] = []
  for (const [index, entry] of config.plugins.entries()) {
    const [name, settings] = typeof entry === 'string' ? [entry, {}] : Object.entries(entry)[0]!
    const found = await findPlugin(name, configFile.path)
    if ('problem' in found) {
      problems.push(problemAt(['plugins', index, name], 'key', found.problem))
      continue
    }
    if (prepared.some(({ plugin }) => plugin.name === found.plugin.name)) {
      problems.push(problemAt(['plugins', index, name], 'key', `${name} stands here a second time; keep one`))
      continue
    }
    const checked = checkSettings(found.plugin, name, settings ?? {})
    problems.push(
      ...checked.problems.map(({ path, part, message }) => problemAt(['plugins', index, ...path], part, message)),
    )
    if (checked.settings === undefined) continue
    const files = openFiles(found.plugin, checked.settings, configFile.path, env)
    for (const [setting, file] of files) {
      if (file !== undefined) problems.push(...(await file.load()))
      else
        problems.push(
          problemAt(['plugins', index, name, setting], 'value', `${name}.${setting}: must be the path of a file`),
        )
    }
    prepared.push({ plugin: found.plugin, settings: checked.settings, files: files as Prepared['files'] })
  }
  if (problems.length === 0) problems.push(...new AccessBook(prepared).problems())
  return { prepared, problems }
}

/** The settings are checked as `name: settings`, so that paths and messages begin with the name. */
function checkSettings(plugin: Plugin, name: string, settings: unknown) {
  const { value, problems } = checkValue(z.strictObject({ [name]: plugin.config }), { [name]: settings })
  return { settings: value === undefined ? undefined : Object.freeze(value[name]), problems }
}

/** Undefined for a setting that is no path. */
function openFiles(
  plugin: Plugin,
  settings: unknown,
  configPath: string,
  env: Environment,
): Map<string, WatchedFile<unknown> | undefined> {
  const secrets: readonly string[] = plugin.secretFiles ?? []
  const filled: readonly string[] = plugin.filledFiles ?? []
  const given = settings as Readonly<Record<string, unknown>>
  const schemas = Object.entries((plugin.files ?? {}) as Readonly<Record<string, FileSchema<unknown>>>)
  return new Map(
    // What may be left out, and was, is no file.
    schemas
      .filter(([setting]) => given[setting] !== undefined)
      .map(([setting, schema]) => {
        const path = given[setting]
        if (typeof path !== 'string' || path === '') return [setting, undefined]
        const full = isAbsolute(path) ? path : join(dirname(configPath), path)
        return [
          setting,
          new WatchedFile(full, schema, { env, secret: secrets.includes(setting), filled: filled.includes(setting) }),
        ]
      }),
  )
}

async function setUp(
  { plugin, settings, files }: Prepared,
  dependencies: PluginDependencies,
  releases: Release[],
): Promise<LoadedPlugin> {
  const onStop = (release: Release['release']) => void releases.push({ plugin: plugin.name, release })
  const broker = brokerOf(plugin, dependencies, onStop)
  let hooks: Partial<Hooks>
  try {
    const given = Object.fromEntries(files) as PluginFiles<FileSchemas<unknown>, unknown>
    hooks = (await plugin.setup(broker, settings, given)) ?? {}
    assertHooks(hooks)
  } catch (error) {
    const message = `the plugin "${plugin.name}" failed to start: ${errorText(error)}`
    throw new OrioleError('ORI_PLUGIN_SETUP', message, { cause: error })
  }
  return { name: plugin.name, hooks }
}

function logOf({ name }: Plugin, log: PluginLog): PluginLog {
  return {
    debug: (fields, phrase) => log.debug({ plugin: name, ...fields }, phrase),
    info: (fields, phrase) => log.info({ plugin: name, ...fields }, phrase),
    warn: (fields, phrase) => log.warn({ plugin: name, ...fields }, phrase),
    error: (fields, phrase) => log.error({ plugin: name, ...fields }, phrase),
  }
}

function brokerOf(
  plugin: Plugin,
  { log, node, broker, dataDir, announce }: PluginDependencies,
  onStop: PluginBroker['onStop'],
): PluginBroker {
  const { name } = plugin
  let folder: string | undefined
  return {
    node,
    log: logOf(plugin, log),
    get dataDir() {
      folder ??= makeFolder(join(dataDir, fileName(name)))
      return folder
    },
    publish: (message) => broker.publish(message),
    clients: () => broker.clients(),
    disconnect: (clientId, reason) => broker.disconnect(clientId, reason),
    rightsChanged: (affects) => broker.rightsChanged(affects),
    changeIdentity: (clientId, identity) => broker.changeIdentity(clientId, identity),
    announce,
    onStop,
  }
}

function makeFolder(path: string): string {
  mkdirSync(path, { recursive: true, mode: 0o700 })
  return path
}

/** The name of a package may hold a slash. */
function fileName(name: string): string {
  return name.replace(/[^A-Za-z0-9._@-]/g, '_').replace(/^\.+/, '_')
}

function assertHooks(hooks: object): void {
  const known = Object.keys(hookKinds)
  for (const [name, hook] of Object.entries(hooks)) {
    if (!known.includes(name)) throw new Error(`it returned "${name}", which is no hook${didYouMean(name, known)}`)
    if (typeof hook !== 'function' && hook !== undefined) throw new Error(`its hook "${name}" is no function`)
  }
}

/** Most houses do without: enhanced authentication is beside the ordinary one, and without `confirm` an identity holds. */
const offers: readonly (keyof Hooks)[] = ['authenticateExchange', 'confirm']

/** A question that nobody answers is always "no": that is safe, and rarely meant. */
function warnOfSilence(plugins: readonly LoadedPlugin[], log: PluginLog): void {
  for (const [hook, kind] of Object.entries(hookKinds) as [keyof Hooks, HookKind][]) {
    if (kind !== 'first' || offers.includes(hook) || plugins.some(({ hooks }) => hooks[hook] !== undefined)) continue
    log.warn({ hook }, 'no plugin answers this question, so the answer is always no')
  }
}

async function releaseAll(releases: Release[], log: PluginLog): Promise<void> {
  for (let last = releases.pop(); last !== undefined; last = releases.pop()) {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not released in ${releaseMaxMs} ms`)), releaseMaxMs)
    })
    try {
      await Promise.race([last.release(), late])
    } catch (error) {
      log.error({ plugin: last.plugin, error: errorText(error) }, 'plugin failed to stop')
    } finally {
      clearTimeout(timer)
    }
  }
}
