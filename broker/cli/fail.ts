// The end of a command that failed: what to say, and the exit code.
import { formatProblem, type Problem } from '../config/problem.ts'
import { errorText, OrioleError } from '../errors.ts'
import { UsageError } from './command.ts'

/** A command's own failure: one line for the reader, no code to look up. */
export class CommandError extends Error {
  constructor(message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.name = 'CommandError'
  }
}

/** Says on standard error what went wrong, and sets the exit code: 2 for a wrong command line, else 1. */
export function fail(error: unknown): void {
  process.exitCode = error instanceof UsageError ? 2 : 1
  process.stderr.write(`${failureText(error)}\n`)
}

export function failureText(error: unknown): string {
  if (error instanceof UsageError) return `oriole: ${error.message}\n        see ${error.helpCommand}`
  if (error instanceof CommandError) return `oriole: ${error.message}`
  if (error instanceof OrioleError) {
    const problems = problemsOf(error.cause)
    if (problems === undefined) return `oriole: ${error.code}: ${error.message}`
    const count = problems.length === 1 ? 'a mistake' : `${problems.length} mistakes`
    return `${problems.map(formatProblem).join('\n')}\noriole: ${error.code}: ${count} in the config; nothing was done`
  }
  // Not foreseen: whoever reports it needs to know where.
  const stack = error instanceof Error && error.stack !== undefined ? error.stack : errorText(error)
  return `oriole: something unforeseen happened; please report it\n${stack}`
}

function problemsOf(cause: unknown): readonly Problem[] | undefined {
  const isList = Array.isArray(cause) && cause.length > 0 && cause.every((one) => typeof one?.line === 'number')
  return isList ? (cause as Problem[]) : undefined
}
