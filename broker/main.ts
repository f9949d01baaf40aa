// Puts the house together: config, store, plugins, broker, listeners, admin; starts in this order, stops in reverse.
import { join, resolve } from 'node:path'
import { openControl } from './admin/control.ts'
import { type Admin, openAdmin } from './admin/server.ts'
import { checkAll } from './check.ts'
import { createCluster } from './cluster/create-cluster.ts'
import type { Environment } from './config/env.ts'
import { loadConfig } from './config/load.ts'
import { formatProblem } from './config/problem.ts'
import type { Config } from './config/schema.ts'
import type { YamlFile } from './config/yaml-file.ts'
import { Broker } from './engine/broker.ts'
import { errorText, OrioleError } from './errors.ts'
import { createHooks } from './hooks.ts'
import type { ConnectionRefusal, Listener } from './listeners/listener.ts'
import { openListener } from './listeners/open.ts'
import { createLog, type Logger } from './log.ts'
import { createMetrics, type Metrics } from './metrics/metrics.ts'
import { createPluginPort } from './plugin-port.ts'
import { loadPlugins } from './plugins.ts'
import type { Running } from './running.ts'
import type { DiskStore } from './store/backup.ts'
import { createLevelStore } from './store/level.ts'
import { createMemoryStore } from './store/memory.ts'
import type { Store } from './store/store.ts'

export interface StartOptions {
  readonly configPath: string
  readonly env: Environment
  /** Instead of the one of the config. */
  readonly log?: Logger
}

type Release = () => void | Promise<void>

/** Resolves when clients are served. Throws OrioleError; then nothing is left open. */
export async function startOriole(options: StartOptions): Promise<Running> {
  const { config, file } = await readConfig(options)
  const log = options.log ?? createLog(config.log)
  const releases: Release[] = []
  const onStop = (release: Release): void => void releases.push(release)
  let flush: Release = () => {}
  const onFlush = (release: Release): void => {
    flush = release
  }
  const stopInOrder = once(() => releaseAll(releases, log))
  const stop: Running['stop'] = async ({ now = false } = {}) => (now ? flush() : stopInOrder())
  try {
    return { ...(await build(config, file, options.env, log, onStop, onFlush)), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function readConfig({ configPath, env }: StartOptions): Promise<{ config: Config; file: YamlFile<Config> }> {
  const { config, file } = await loadConfig(resolve(configPath), env)
  if (config !== undefined && file !== undefined) return { config, file }
  // What is wrong elsewhere is told at the same time, not at the next start.
  const problems = await checkAll(resolve(configPath), env)
  throw new OrioleError('ORI_CONFIG_INVALID', problems.map(formatProblem).join('\n'), { cause: problems })
}

async function build(
  config: Config,
  file: YamlFile<Config>,
  env: Environment,
  log: Logger,
  onStop: (release: Release) => void,
  onFlush: (release: Release) => void,
): Promise<Omit<Running, 'stop'>> {
  const { limits, node } = config
  const metrics = createMetrics()
  onStop(() => metrics.close())

  const store = createStore(config, log, metrics)
  const recovered = await store.open()
  onStop(() => store.close())

  const dataDir = config.store.type === 'level' ? resolve(config.store.path) : undefined
  const port = createPluginPort()
  const loaded = await loadPlugins(config, file, {
    env,
    log: log.child({ room: 'plugins' }),
    dataDir: join(dataDir ?? join(file.path, '..', 'data'), 'plugins'),
    node,
    broker: port,
    announce: port.announce,
  })
  onStop(() => loaded.stop())
  const hooks = createHooks(loaded.plugins, {
    timeoutMs: limits.hookTimeoutMs,
    log: log.child({ room: 'plugins' }),
    onPluginError: () => {
      metrics.counts.pluginErrors += 1
    },
  })

  const clusterLog = log.child({ room: 'cluster' })
  const cluster =
    config.cluster &&
    createCluster({ node, config: config.cluster, store, recovered, counts: metrics.counts, log: clusterLog })
  const broker = new Broker({
    node,
    limits,
    shareStrategy: config.sharedSubscriptions,
    hooks,
    counts: metrics.counts,
    store,
    log: log.child({ room: 'broker' }),
    cluster,
  })
  await broker.serve(recovered)
  onStop(() => broker.stop())
  onFlush(() => broker.flush())
  if (cluster !== undefined) {
    onStop(() => cluster.stop())
    await cluster.start(broker.clusterHouse(), recovered)
  }
  port.open(broker)
  showGauges(metrics, broker, store)

  const refuseNow = refusalOfAll(config, metrics, broker)
  const listeners = await openListeners(config, log, metrics, broker, refuseNow, onStop)
  if (dataDir !== undefined && 'backup' in store) {
    const control = await openControl(dataDir, store, log.child({ room: 'admin' }))
    onStop(() => control.close())
  }
  const admin = await openAdminIfWanted(config, log, metrics, store, onStop)
  log.info({ node, listeners: listeners.map(({ url }) => url), admin: admin?.url }, 'ready')
  return {
    config,
    listeners,
    adminUrl: admin?.url,
    adminPassword: port.logins.find(({ username }) => username === 'admin')?.password,
    announcements: port.announcements,
    dataDir,
  }
}

function createStore(config: Config, log: Logger, metrics: Metrics): Store | DiskStore {
  const { store, history } = config
  const limits = {
    ...config.limits,
    outboxMaxBytes: config.cluster?.outboxMaxBytes,
    remembersRemovals: config.cluster !== undefined,
  }
  if (store.type === 'memory') return createMemoryStore(limits, history)
  return createLevelStore({
    path: resolve(store.path),
    durability: store.durability,
    limits,
    history,
    diskMaxBytes: store.diskMaxBytes,
    onTaken: ({ history, queued }) => {
      metrics.counts.diskCapDropped.history += history
      metrics.counts.diskCapDropped.queued += queued
    },
    log: log.child({ room: 'store' }),
    onCommit: (seconds) => {
      metrics.counts.commits += 1
      metrics.observeCommit(seconds)
    },
  })
}

function showGauges(metrics: Metrics, broker: Broker, store: Store): void {
  const { reception } = broker
  metrics.gauge('connections', () => reception.connected)
  metrics.gauge('sessions', () => reception.sessions.size)
  metrics.gauge('subscriptions', () => reception.sessions.subscriptions)
  metrics.gauge('retained', () => store.retainedCount)
  metrics.gauge('storeLastSequence', () => store.lastSequence)
}

/** Why nobody at all may come in now. */
function refusalOfAll({ limits }: Config, metrics: Metrics, broker: Broker): () => ConnectionRefusal | undefined {
  return () => {
    if (limits.connectionsMax > 0 && broker.reception.accepted >= limits.connectionsMax) return 'limit'
    return isOverloaded(limits.loopDelayMs, metrics) ? 'overload' : undefined
  }
}

function isOverloaded(loopDelayMs: number, metrics: Metrics): boolean {
  return loopDelayMs > 0 && (metrics.loopDelay.lastingSeconds?.p99 ?? 0) * 1000 > loopDelayMs
}

async function openListeners(
  config: Config,
  log: Logger,
  metrics: Metrics,
  broker: Broker,
  refuseNow: () => ConnectionRefusal | undefined,
  onStop: (release: Release) => void,
): Promise<Listener[]> {
  const listeners: Listener[] = []
  for (const [index, entry] of config.listeners.entries()) {
    const listener = await openListener(entry, {
      limits: config.limits,
      log: log.child({ room: 'listeners' }),
      resolvePath: (path) => resolve(path),
      onConnection: (connection) => void broker.accept(connection),
      counts: metrics.counts,
      setting: `listeners.${index}`,
      refuseNow,
    })
    onStop(() => listener.close())
    listeners.push(listener)
  }
  return listeners
}

async function openAdminIfWanted(
  config: Config,
  log: Logger,
  metrics: Metrics,
  store: Store,
  onStop: (release: Release) => void,
): Promise<Admin | undefined> {
  if (!config.admin.enabled) return undefined
  const readyReasons = (): string[] => {
    const reasons: string[] = []
    if (store.failure !== undefined) reasons.push(`storage: ${store.failure.message}`)
    if (isOverloaded(config.limits.loopDelayMs, metrics)) reasons.push('event loop delay over limits.loopDelayMs')
    return reasons
  }
  const admin = await openAdmin(config.admin, { log: log.child({ room: 'admin' }), metrics, readyReasons })
  onStop(() => admin.close())
  return admin
}

/** The last acquired first. One that fails does not keep the others from being released. */
async function releaseAll(releases: Release[], log: Logger): Promise<void> {
  for (let release = releases.pop(); release !== undefined; release = releases.pop()) {
    try {
      await release()
    } catch (error) {
      log.error({ error: errorText(error) }, 'a part did not stop well')
    }
  }
}

function once(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined
  return () => {
    running ??= work()
    return running
  }
}
