// `oriole start`: runs the broker until it is told to stop.

import type { Running } from '../running.ts'
import { bannerText } from './banner.ts'
import type { Command } from './command.ts'
import { configPath } from './config-path.ts'
import { CommandError, failureText } from './fail.ts'

/** Clients are told, the store is flushed; whatever is not done by then is left, and what was acknowledged is safe. */
const stopMaxMs = 8_000
/** For the flush after that: together less than ten seconds. */
const flushMaxMs = 1_500
/** Two SIGINT within this time are one. */
const echoMs = 500

export const command: Command = {
  summary: 'run the broker',
  usage: '[--config FILE]',
  details: `
Without --config it is oriole.yaml or config/oriole.yaml, whichever is there.
SIGTERM or Ctrl-C stops it in order; a second one at once, still flushing.`,
  options: { config: { value: 'FILE', short: 'c', help: 'the config file' } },
  positionalsMax: 0,

  async run(input) {
    const path = configPath(input.text('config'))
    process.on('uncaughtException', die)
    process.on('unhandledRejection', die)
    const stop = stopSignals()
    const { startOriole } = await import('../main.ts')
    const running: Running = await Promise.race([
      startOriole({ configPath: path, env: process.env }),
      stop.again.then(() => Promise.reject(new CommandError('interrupted during the start'))),
    ])
    // On request the log is nothing but JSON lines; then the banner must not stand between them.
    const output = running.config.log.format === 'json' ? process.stderr : process.stdout
    output.write(bannerText(running))
    await Promise.race([stop.asked, ...(running.drained === undefined ? [] : [running.drained])])
    return stopInOrder(running, stop.again)
  },
}

interface StopSignals {
  readonly asked: Promise<void>
  readonly again: Promise<void>
}

/** Listens from the first moment: one signal during the start waits for it, a second one does not. */
function stopSignals(): StopSignals {
  let ask: () => void
  let askAgain: () => void
  const asked = new Promise<void>((resolve) => {
    ask = resolve
  })
  const again = new Promise<void>((resolve) => {
    askAgain = resolve
  })
  let firstAt: number | undefined
  const onSignal = (signal: NodeJS.Signals): void => {
    if (firstAt === undefined) {
      firstAt = performance.now()
      ask()
      return
    }
    // Ctrl-C reaches us from the terminal and once more from npm: that is one wish, not two.
    if (signal !== 'SIGINT' || performance.now() - firstAt > echoMs) askAgain()
  }
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, onSignal)
  return { asked, again }
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

/** Something forgotten that keeps the process alive must not keep it from ending. */
function leave(exitCode: number): number {
  process.exitCode = exitCode
  setTimeout(() => process.exit(exitCode), 500).unref()
  return exitCode
}

/** What nobody foresaw: the state is unknown, and what was acknowledged is on disk. */
function die(error: unknown): void {
  process.stderr.write(`${failureText(error)}\n`)
  process.exit(1)
}
