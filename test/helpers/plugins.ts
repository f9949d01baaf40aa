// Runs the loader on real files in a temporary folder, with a broker that only takes notes.
import { chmod, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import { type Config, configSchema } from '../../broker/config/schema.ts'
import { readYamlFile, type YamlFile } from '../../broker/config/yaml-file.ts'
import type { LiveClient } from '../../broker/engine/engine.ts'
import { createHooks, type HookRunner } from '../../broker/hooks.ts'
import type { ClientInfo, Credentials, Identity, PluginBroker, PluginLog } from '../../broker/plugin.ts'
import { type LoadedPlugins, loadPlugins, type PluginDependencies } from '../../broker/plugins.ts'

export type Published = Parameters<PluginBroker['publish']>[0]

export interface LogLine {
  readonly level: string
  readonly phrase: string
  readonly fields: Readonly<Record<string, unknown>>
}

/** A log whose lines can be waited for. */
export class NotedLog implements PluginLog {
  readonly lines: LogLine[] = []
  readonly #waiting = new Set<() => void>()

  debug(fields: object, phrase: string): void {
    this.#note('debug', fields, phrase)
  }
  info(fields: object, phrase: string): void {
    this.#note('info', fields, phrase)
  }
  warn(fields: object, phrase: string): void {
    this.#note('warn', fields, phrase)
  }
  error(fields: object, phrase: string): void {
    this.#note('error', fields, phrase)
  }

  /** Resolves with the lines that fit, as soon as there are `count` of them. */
  async until(fits: (line: LogLine) => boolean, count = 1): Promise<LogLine[]> {
    // What is waited for may hang on timers and watchers that do not keep the process alive by themselves.
    const before = this.lines.length
    let late = false
    const deadline = setTimeout(() => {
      late = true
      this.#wake()
    }, 15_000)
    try {
      for (;;) {
        const found = this.lines.filter(fits)
        if (found.length >= count) return found
        if (late) throw new Error(`no such line came, but ${JSON.stringify(this.lines.slice(before))}`)
        await new Promise<void>((resolve) => this.#waiting.add(resolve))
      }
    } finally {
      clearTimeout(deadline)
    }
  }

  #note(level: string, fields: object, phrase: string): void {
    this.lines.push({ level, phrase, fields: { ...fields } })
    this.#wake()
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }
}

/** A folder that is gone after the test. */
export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'oriole-plugins-'))
  // A broker that is stopped after it may still write its last file.
  t.after(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  return folder
}

/** Writes files that nobody else may write, whatever the umask says. */
export async function writeFiles(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name)
    await mkdir(dirname(path), { recursive: true, mode: 0o755 })
    await writeFile(path, content)
    await chmod(path, 0o644)
  }
}

/** As an editor that is careful, and as `mv`: the new file takes the place of the old one at once. */
export async function replaceFile(path: string, content: string): Promise<void> {
  await writeFile(`${path}.tmp`, content)
  await rename(`${path}.tmp`, path)
}

export async function readConfig(folder: string): Promise<YamlFile<Config>> {
  const { file, problems } = await readYamlFile(join(folder, 'oriole.yaml'), configSchema, { env: {} })
  if (file === undefined) throw new Error(JSON.stringify(problems))
  return file
}

export interface Loaded {
  readonly folder: string
  readonly hooks: HookRunner
  readonly log: NotedLog
  readonly published: Published[]
  readonly announced: string[]
  readonly disconnected: string[]
  /** Client ids whose rights were to be asked again. */
  readonly asked: string[]
  /** What plans and reloads see of those who are connected. */
  readonly live: LiveClient[]
  /** What broker.clients() yields. */
  readonly clients: ClientInfo[]
  reload: LoadedPlugins['reload']
  preview: LoadedPlugins['preview']
  stop(): Promise<void>
}

/** Loads the plugins of `oriole.yaml` among these files. */
export async function load(t: TestContext, files: Readonly<Record<string, string>>, into?: string): Promise<Loaded> {
  const folder = into ?? (await temporaryFolder(t))
  await writeFiles(folder, files)
  const configFile = await readConfig(folder)
  const noted = notes(folder)
  const { plugins, reload, preview, stop } = await loadPlugins(configFile.value, configFile, noted.dependencies)
  t.after(stop)
  const hooks = createHooks(plugins, { timeoutMs: 5_000, log: noted.log, onPluginError: () => undefined })
  return { ...noted, folder, hooks, reload, preview, stop }
}

export function notes(folder: string) {
  const log = new NotedLog()
  const published: Published[] = []
  const announced: string[] = []
  const disconnected: string[] = []
  const asked: string[] = []
  const live: LiveClient[] = []
  const clients: ClientInfo[] = []
  const dependencies: PluginDependencies = {
    env: {},
    log,
    node: 'a',
    dataDir: join(folder, 'data'),
    archives: true,
    announce: (line) => void announced.push(line),
    broker: {
      publish: async (message) => void published.push(message),
      clients: () => clients,
      disconnect: (clientId) => disconnected.push(clientId) > 0,
      async rightsChanged(affects = () => true) {
        const affected = clients.filter(affects).map(({ id }) => id)
        asked.push(...affected)
        return { clients: affected.length, asked: 0, ended: 0, disconnected: 0 }
      },
      changeIdentity: () => false,
      liveClients: () => live,
    },
  }
  return { log, published, announced, disconnected, asked, clients, dependencies, live }
}

export function identityOf(username: string, more: Partial<Identity> = {}): Identity {
  return { username, groups: [], roles: [], attributes: {}, ...more }
}

export function clientOf(username: string, more: Partial<Identity> & { readonly id?: string } = {}): ClientInfo {
  const { id = `${username}-phone`, ...identity } = more
  return {
    id,
    identity: identityOf(username, identity),
    address: '127.0.0.1',
    listener: 'tcp',
    protocolVersion: 5,
    cleanStart: true,
    connectedAt: 0,
  }
}

export function credentialsOf(username?: string, password?: string, more: Partial<Credentials> = {}): Credentials {
  return {
    clientId: 'phone',
    username,
    password: password === undefined ? undefined : Buffer.from(password),
    address: '127.0.0.1',
    listener: 'tcp',
    certificate: undefined,
    protocolVersion: 5,
    ...more,
  }
}
