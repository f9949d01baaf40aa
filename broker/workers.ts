// Several nodes on one machine behind one port: how many, and what of the config differs from one to the next.
import { existsSync } from 'node:fs'
import { copyFile, mkdir } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join, resolve } from 'node:path'
import type { Config } from './config/schema.ts'
import { OrioleError } from './errors.ts'

export function workerCount({ workers }: Pick<Config, 'workers'>): number {
  return workers === 'auto' ? availableParallelism() : workers
}

/** The config of one of them, counted from 1: a node with a name, a data folder and an admin port of its own. */
export function configOfWorker(config: Config, worker: number): Config {
  const { node, store, admin, listeners, cluster } = config
  return {
    ...config,
    node: `${node}-${worker}`,
    store: store.type === 'level' ? { ...store, path: workerFolder(store.path, worker) } : store,
    admin: { ...admin, port: admin.port === 0 ? 0 : admin.port + worker - 1 },
    // Nodes of one machine are lost together: a second copy there is worth nothing, unless it is asked for.
    cluster: cluster && { ...cluster, replicas: cluster.replicas ?? 0 },
    // A socket file cannot be shared: the first one has it alone.
    listeners: worker === 1 ? listeners : listeners.filter(({ type }) => type !== 'unix'),
  }
}

export function workerFolder(path: string, worker: number): string {
  return join(path, `worker-${worker}`)
}

/** Throws ORI_STORE_OPEN when there is data that this number of workers would not find. */
export function checkFolders({ store, ...config }: Config): void {
  if (store.type !== 'level') return
  const count = workerCount(config)
  const path = resolve(store.path)
  const first = workerFolder(path, 1)
  if (count > 1 && existsSync(join(path, 'level'))) {
    throw new OrioleError(
      'ORI_STORE_OPEN',
      `${path} has the data of a broker without workers; move all that is in it into ${first}, then start again`,
    )
  }
  if (count === 1 && existsSync(first)) {
    throw new OrioleError(
      'ORI_STORE_OPEN',
      `${path} has the data of workers, and workers is 1; set store.path to ${first}, or workers to what it was`,
    )
  }
}

/** The admin that the first worker made for itself is the admin of all: one password for one port. */
export async function shareFirstAdmin({ store }: Config, worker: number): Promise<void> {
  if (store.type !== 'level' || worker === 1) return
  const [from, to] = [1, worker].map((one) => join(workerFolder(resolve(store.path), one), 'plugins/auth-file'))
  if (!existsSync(join(from!, 'admin.yaml'))) return
  await mkdir(to!, { recursive: true, mode: 0o700 })
  await copyFile(join(from!, 'admin.yaml'), join(to!, 'admin.yaml'))
}
