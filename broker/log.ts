// The log: JSON lines on standard output, or the same in words when a person watches.
import { destination, type Logger, pino } from 'pino'
import { prettyFactory } from 'pino-pretty'
import type { LogConfig } from './config/schema.ts'

export type { Logger }

/**
 * Lines are written together, below the 16 KiB that `pino` writes at once: each login is one, and a write for each took a
 * fifth of the time of a crowd that comes in.
 */
const collectedBytes = 15 * 1024
const collectedMs = 50

/** The root logger. Each room and plugin gets its own: `log.child({ room: 'listeners' })`. */
export function createLog(config: LogConfig): Logger {
  const onTerminal = process.stdout.isTTY === true
  const options = {
    level: config.level,
    base: {},
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    hooks: { streamWrite: escapeControls },
  }
  if (config.format === 'json' || (config.format === 'auto' && !onTerminal)) {
    // Both kinds of destination write what is left when the process ends.
    return pino(options, destination({ dest: 1, sync: false, minLength: collectedBytes, periodicFlush: collectedMs }))
  }
  // Formatted here and now, not in a worker or a stream: the last lines before the end must not be lost.
  const format = prettyFactory({ colorize: onTerminal, singleLine: true, translateTime: 'SYS:HH:MM:ss' })
  return pino(options, {
    write(line: string) {
      process.stdout.write(escapeControls(format(line)))
    },
  })
}

/**
 * JSON escapes the control characters below U+0020; a terminal also obeys U+007F to U+009F, which a client may have
 * put into its client id.
 */
function escapeControls(text: string): string {
  return text.replace(/[\u007f-\u009f]/g, (character) => `\\u00${character.charCodeAt(0).toString(16)}`)
}
