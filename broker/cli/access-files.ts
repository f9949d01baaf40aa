// The files of a config as the commands about rights read them, without a broker.
import type { AccessBook } from '../access-book.ts'
import { askBroker, type ControlRequest } from '../admin/control.ts'
import { loadConfig } from '../config/load.ts'
import { formatProblem } from '../config/problem.ts'
import { OrioleError } from '../errors.ts'
import { type ReadAccess, readAccess } from '../plugins.ts'

export interface AccessFiles extends ReadAccess {
  readonly book: AccessBook
  /** Undefined: the store is in memory, and no broker can be asked. */
  readonly dataDir: string | undefined
}

/** Asks the broker that runs with this config, however the files of its plugins look now; undefined: none does. */
export async function askRunning(path: string, request: ControlRequest): Promise<unknown> {
  const { config } = await loadConfig(path, process.env)
  return config?.store.type === 'level' ? askBroker(config.store.path, request) : undefined
}

/** Throws ORI_CONFIG_INVALID with all that is wrong in them. */
export async function accessFiles(path: string): Promise<AccessFiles> {
  const { config, file, problems } = await loadConfig(path, process.env)
  const read = config === undefined || file === undefined ? undefined : await readAccess(config, file, process.env)
  const wrong = [...problems, ...(read?.problems ?? [])]
  if (config === undefined || read?.book === undefined) {
    throw new OrioleError('ORI_CONFIG_INVALID', wrong.map(formatProblem).join('\n'), { cause: wrong })
  }
  return { ...read, book: read.book, dataDir: config.store.type === 'level' ? config.store.path : undefined }
}
