// Puts the house together: config, store, plugins, broker, listeners, admin; starts in this order, stops in reverse.
import { join, resolve } from 'node:path'
import { abuseCommands } from './abuse-commands.ts'
import { openControl } from './admin/control.ts'
import { type Admin, openAdmin } from './admin/server.ts'
import { withSampledRefusals } from './audit-log.ts'
import { Bans, bansFileName } from './bans.ts'
import { checkAll } from './check.ts'
import type { Cluster } from './cluster/cluster.ts'
import type { OutboxStatus } from './cluster/cluster-status.ts'
import { createCluster } from './cluster/create-cluster.ts'
import { createCommands } from './commands.ts'
import type { Environment } from './config/env.ts'
import { loadConfig } from './config/load.ts'
import { formatProblem } from './config/problem.ts'
import type { Config } from './config/schema.ts'
import type { YamlFile } from './config/yaml-file.ts'
import { Doors } from './doors.ts'
import { Drain } from './drain.ts'
import { Broker } from './engine/broker.ts'
import { errorText, OrioleError } from './errors.ts'
import { createHooks } from './hooks.ts'
import type { ConnectionRefusal } from './listeners/listener.ts'
import { createLog, type Logger } from './log.ts'
import { createMetrics, type Metrics } from './metrics/metrics.ts'
import { packageVersion } from './package-root.ts'
import { createPluginPort } from './plugin-port.ts'
import { loadPlugins } from './plugins.ts'
import type { Running } from './running.ts'
import type { DiskStore } from './store/backup.ts'
import { createLevelStore } from './store/level.ts'
import { createMemoryStore } from './store/memory.ts'
import type { Store } from './store/store.ts'
import { configOfWorker } from './workers.ts'

export interface StartOptions {
  readonly configPath: string
  readonly env: Environment
  /** One of several on this machine, counted from 1. */
  readonly worker?: number
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

async function readConfig({
  configPath,
  env,
  worker,
}: StartOptions): Promise<{ config: Config; file: YamlFile<Config> }> {
  const { config, file } = await loadConfig(resolve(configPath), env)
  if (config !== undefined && file !== undefined) {
    return { config: worker === undefined ? config : configOfWorker(config, worker), file }
  }
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
    archives: dataDir !== undefined,
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
  const bans = await Bans.open(dataDir && join(dataDir, bansFileName))
  const { counts } = metrics
  const onMoved = (seconds: number): void => metrics.observeMove(seconds)
  const clusterParts = { node, version: packageVersion(), store, recovered, counts, bans, onMoved, log: clusterLog }
  const reload = () => loaded.reload()
  const cluster = config.cluster && createCluster({ ...clusterParts, config: config.cluster, reload })
  metrics.gauge('bans', () => bans.list().length)
  const broker = new Broker({
    node,
    limits,
    shareStrategy: config.sharedSubscriptions,
    hooks,
    counts: metrics.counts,
    store,
    bans,
    log: withSampledRefusals(log.child({ room: 'broker' })),
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
  void broker.askMembersAgain()
  showGauges(metrics, broker, store)
  if (cluster !== undefined) showClusterGauges(metrics, cluster, broker)

  const doors = new Doors(config, {
    log: log.child({ room: 'listeners' }),
    counts: metrics.counts,
    refuseNow: refusalOfAll(config, metrics, broker),
    onConnection: (connection) => void broker.accept(connection),
    onRevoked: (connections) => broker.reception.revoked(connections),
  })
  onStop(() => doors.close())
  await doors.open()
  const { listeners } = doors

  const drain = createDrain(cluster, broker, doors, clusterLog)
  metrics.gauge('draining', () => (drain.isRunning ? 1 : 0))
  let onDrained = (): void => {}
  const drained = new Promise<void>((resolve) => {
    onDrained = resolve
  })
  if (dataDir !== undefined && 'backup' in store) {
    const sessions = (): number => broker.reception.sessions.size
    const clients = () => broker.clientInfos()
    const desk = { bans, log: log.child({ room: 'admin' }), end: broker.endAll.bind(broker), cluster }
    const commands = createCommands({ store, cluster, drain, sessions, onDrained, plugins: loaded, clients })
    const control = await openControl(dataDir, { ...commands, ...abuseCommands(desk) }, log.child({ room: 'admin' }))
    onStop(() => control.close())
  }
  const readyReasons = (): string[] => reasonsAgainst(config, metrics, store, cluster, drain)
  const admin = await openAdminIfWanted(config, log, metrics, readyReasons, cluster, onStop)
  log.info({ node, listeners: listeners.map(({ url }) => url), admin: admin?.url }, 'ready')
  return {
    config,
    listeners,
    adminUrl: admin?.url,
    adminPassword: port.logins.find(({ username }) => username === 'admin')?.password,
    announcements: port.announcements,
    dataDir,
    drained,
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

function showClusterGauges(metrics: Metrics, { operations, replicas }: Cluster, { reception }: Broker): void {
  const byNode = (read: (outbox: OutboxStatus) => number) => (): ReadonlyMap<string, number> =>
    new Map(operations.outboxes().map((outbox) => [outbox.node, read(outbox)]))
  metrics.gauge('clusterRedisUp', () => (operations.isRedisUp ? 1 : 0))
  metrics.gauge('clusterNodes', () => new Map(Object.entries(operations.nodes())))
  metrics.gauge('clusterShadows', () => reception.shadows.size)
  metrics.gauge('clusterReplicas', () => new Map(Object.entries(replicas.counts())))
  metrics.gauge('clusterFilters', () => operations.filters)
  metrics.gauge(
    'clusterOutboxMessages',
    byNode(({ messages }) => messages),
  )
  metrics.gauge(
    'clusterOutboxBytes',
    byNode(({ bytes }) => bytes),
  )
  metrics.gauge(
    'clusterOutboxAge',
    byNode(({ oldestS = 0 }) => oldestS),
  )
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

function createDrain(cluster: Cluster | undefined, broker: Broker, doors: Doors, log: Logger): Drain {
  const { reception } = broker
  return new Drain({
    log,
    operations: cluster?.operations,
    shutDoors: () => doors.shut(),
    openDoors: () => doors.reopen(),
    sendAway: (perS, references, signal) => reception.sendAway(perS, references, signal),
    stay: () => reception.stay(),
    giveAway: async (signal) => (await cluster?.moves.giveAway(signal)) ?? 0,
  })
}

/** Why the broker should get no clients now. */
function reasonsAgainst(
  config: Config,
  metrics: Metrics,
  store: Store,
  cluster: Cluster | undefined,
  drain: Drain,
): string[] {
  const reasons: string[] = []
  if (store.failure !== undefined) reasons.push(`storage: ${store.failure.message}`)
  if (isOverloaded(config.limits.loopDelayMs, metrics)) reasons.push('event loop delay over limits.loopDelayMs')
  if (drain.isRunning || drain.isDone) reasons.push('draining: clients are sent to other nodes')
  const refusal = cluster?.operations.refusal
  if (refusal !== undefined) reasons.push(`cluster: ${refusal}`)
  return reasons
}

async function openAdminIfWanted(
  config: Config,
  log: Logger,
  metrics: Metrics,
  readyReasons: () => string[],
  cluster: Cluster | undefined,
  onStop: (release: Release) => void,
): Promise<Admin | undefined> {
  if (!config.admin.enabled) return undefined
  // A Redis that is away makes no node unready: it serves alone, and there is no better one.
  const readyDetails = (): Record<string, unknown> => {
    if (cluster === undefined) return {}
    const { operations } = cluster
    return { cluster: { redis: operations.isRedisUp ? 'up' : 'away', nodes: operations.nodes() } }
  }
  const deps = { log: log.child({ room: 'admin' }), metrics, readyReasons, readyDetails }
  const admin = await openAdmin(config.admin, deps)
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
