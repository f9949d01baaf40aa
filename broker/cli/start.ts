// `oriole start`: runs the broker until it is told to stop.

import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { errorText } from '../errors.ts'
import type { StartOptions } from '../main.ts'
import type { Running } from '../running.ts'
import { type WorkerMessage, workerReady, workerVariable } from '../worker-messages.ts'
import { bannerText, type Shown } from './banner.ts'
import type { Command } from './command.ts'
import { configPath } from './config-path.ts'
import { CommandError, failureText } from './fail.ts'
import { type StopSignals, stopSignals, workerStopSignals } from './stop-signals.ts'

/** Clients are told, the store is flushed; whatever is not done by then is left, and what was acknowledged is safe. */
const stopMaxMs = 8_000
/** For the flush after that: together less than ten seconds. */
const flushMaxMs = 1_500

export const command: Command = {
  summary: 'run the broker',
  usage: '[--config FILE]',
  details: `
Without --config it is oriole.yaml or config/oriole.yaml, whichever is there.
SIGTERM or Ctrl-C stops it in order; a second one at once, still flushing.`,
  options: { config: { value: 'FILE', short: 'c', help: 'the config file' } },
  positionalsMax: 0,

  async run(input) {
    try {
      return await runBroker(configPath(input.text('config')))
    } catch (error) {
      endSoon()
      throw error
    }
  },
}

async function runBroker(path: string): Promise<number> {
  process.on('uncaughtException', die)
  process.on('unhandledRejection', die)
  const worker = Number(process.env[workerVariable] ?? 0)
  if (worker > 0) return runWorker(path, worker)
  const stop = stopSignals()
  // A config with mistakes is told of by the start itself.
  const { config } = await loadConfig(path, process.env)
  const { checkFolders, workerCount } = await import('../workers.ts')
  if (config !== undefined) checkFolders(config)
  const count = config === undefined ? 1 : workerCount(config)
  if (config !== undefined && count > 1) return runWorkers(path, config, count, stop)
  const running = await startUnlessStopped({ configPath: path, env: process.env }, stop)
  writeBanner(running)
  await Promise.race([stop.asked, ...(running.drained === undefined ? [] : [running.drained])])
  return stopInOrder(running, stop.again)
}

async function runWorker(configPath: string, worker: number): Promise<number> {
  const stop = workerStopSignals()
  const running = await startUnlessStopped({ configPath, env: process.env, worker }, stop)
  const tell = (message: WorkerMessage): void => void process.send?.(message)
  tell({ ready: workerReady(running) })
  const drained = running.drained?.then(() => tell({ drained: true }))
  await Promise.race([stop.asked, ...(drained === undefined ? [] : [drained])])
  return stopInOrder(running, stop.again)
}

async function runWorkers(path: string, config: Config, count: number, stop: StopSignals): Promise<number> {
  const { Supervisor } = await import('../supervisor.ts')
  const exec = process.argv[1] ?? ''
  const supervisor = new Supervisor({ config, count, exec, args: ['start', '--config', path] })
  try {
    const [first, ...others] = await Promise.race([
      supervisor.start(),
      stop.again.then(() => Promise.reject(new CommandError('interrupted during the start'))),
    ])
    const { adminUrl, ...rest } = first!
    const adminUrls = [adminUrl, ...others.map((other) => other.adminUrl)].filter((url) => url !== undefined)
    const names = `nodes ${config.node}-1 to ${config.node}-${count}, each with its own data and admin port`
    const announcements = [...rest.announcements, names]
    writeBanner({ ...rest, config, announcements, adminUrl: adminUrls.length === 0 ? undefined : adminUrls.join(', ') })
  } catch (error) {
    await supervisor.stop(stop.again)
    throw error instanceof CommandError ? error : new CommandError(errorText(error))
  }
  await Promise.race([stop.asked, supervisor.emptied()])
  return leave(await supervisor.stop(stop.again))
}

function startUnlessStopped(options: StartOptions, { again }: StopSignals): Promise<Running> {
  const interrupted = again.then(() => Promise.reject(new CommandError('interrupted during the start')))
  return Promise.race([import('../main.ts').then(({ startOriole }) => startOriole(options)), interrupted])
}

function writeBanner(running: Shown): void {
  // On request the log is nothing but JSON lines; then the banner must not stand between them.
  const output = running.config.log.format === 'json' ? process.stderr : process.stdout
  output.write(bannerText(running))
}

async function stopInOrder(running: Running, again: Promise<void>): Promise<number> {
  let timer: NodeJS.Timeout | undefined
  const overdue = new Promise<'overdue'>((resolve) => {
    timer = setTimeout(() => resolve('overdue'), stopMaxMs)
  })
  const how = await Promise.race([
    running.stop().then(() => 'stopped' as const),
    again.then(() => 'again' as const),
    overdue,
  ])
  clearTimeout(timer)
  if (how === 'stopped') return leave(0)
  if (how === 'overdue') process.stderr.write(`oriole: not stopped in ${stopMaxMs / 1_000} s; stopping at once\n`)
  const flushed = running.stop({ now: true }).then(() => true)
  const late = new Promise<boolean>((resolve) => setTimeout(() => resolve(false), flushMaxMs).unref())
  return leave((await Promise.race([flushed, late])) ? 0 : 1)
}

function leave(exitCode: number): number {
  process.exitCode = exitCode
  endSoon()
  return exitCode
}

/** What keeps the process alive must not keep it from ending: a start that goes on, a worker's channel, something forgotten. */
function endSoon(): void {
  setTimeout(() => process.exit(), 500).unref()
}

/** What nobody foresaw: the state is unknown, and what was acknowledged is on disk. */
function die(error: unknown): void {
  process.stderr.write(`${failureText(error)}\n`)
  process.exit(1)
}
