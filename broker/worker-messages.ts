// What a worker and its supervisor say to each other.
import type { Running } from './running.ts'

/** Which one this process is, counted from 1. */
export const workerVariable = 'ORIOLE_WORKER'

/** To the supervisor. `drained`: it ends by itself, and is not to be started again. */
export type WorkerMessage = { readonly ready: WorkerReady } | { readonly drained: true }

export interface WorkerReady {
  readonly listeners: readonly { readonly name: string; readonly url: string; readonly port: number }[]
  readonly adminUrl: string | undefined
  readonly adminPassword: string | undefined
  readonly announcements: readonly string[]
  readonly dataDir: string | undefined
}

/** To the worker: in order, or at once. */
export type SupervisorMessage = 'stop' | 'stop now'

export function workerReady({ listeners, adminUrl, adminPassword, announcements = [], dataDir }: Running): WorkerReady {
  const shown = listeners.map(({ name, url, port }) => ({ name, url, port }))
  return { listeners: shown, adminUrl, adminPassword, announcements, dataDir }
}
