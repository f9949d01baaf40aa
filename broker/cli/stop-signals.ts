// Who asks a broker to stop: signals, and for a worker its supervisor.
import type { SupervisorMessage } from '../worker-messages.ts'

/** Two SIGINT within this time are one. */
const echoMs = 500

export interface StopSignals {
  readonly asked: Promise<void>
  readonly again: Promise<void>
}

/** Listens from the first moment: one signal during the start waits for it, a second one does not. */
export function stopSignals(): StopSignals {
  const { signals, ask, askAgain } = open()
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
  return signals
}

/** A terminal sends its signals to the workers, too: only the supervisor obeys them. SIGTERM to one worker is for it. */
export function workerStopSignals(): StopSignals {
  const { signals, ask, askAgain } = open()
  for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => {})
  process.on('SIGTERM', ask)
  process.on('message', (message: SupervisorMessage) => (message === 'stop' ? ask() : askAgain()))
  return signals
}

function open(): { signals: StopSignals; ask: () => void; askAgain: () => void } {
  let ask = (): void => {}
  let askAgain = (): void => {}
  const asked = new Promise<void>((resolve) => {
    ask = resolve
  })
  const again = new Promise<void>((resolve) => {
    askAgain = resolve
  })
  return { signals: { asked, again }, ask: () => ask(), askAgain: () => askAgain() }
}
