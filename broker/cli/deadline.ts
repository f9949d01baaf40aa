// `--timeout` of `pub` and `sub`.
import type { Input } from './command.ts'
import { CommandError } from './fail.ts'

/** Rejects after --timeout seconds; without the option never. Keeps no process alive. */
export function deadline(input: Input, message: string): Promise<never> {
  const timeoutS = input.number('timeout', 1, 86_400)
  return new Promise((_, reject) => {
    if (timeoutS === undefined) return
    setTimeout(() => reject(new CommandError(`${message} in ${timeoutS} s`)), timeoutS * 1_000).unref()
  })
}
