// `oriole check`: every mistake that `start` would refuse, at once.
import { checkAll } from '../check.ts'
import { formatProblem } from '../config/problem.ts'
import type { Command } from './command.ts'
import { configPath } from './config-path.ts'

export const command: Command = {
  summary: 'look for mistakes in a config and in the files that it names',
  usage: '[FILE]',
  details: `
Prints each mistake as file:line:column: message and exits with 1; or OK, and exits with 0.
Without FILE it is oriole.yaml or config/oriole.yaml, whichever is there.`,
  options: { config: { value: 'FILE', short: 'c', help: 'the same as FILE' } },
  positionalsMax: 1,

  async run(input) {
    const path = configPath(input.positionals[0] ?? input.text('config'))
    const problems = await checkAll(path, process.env)
    if (problems.length === 0) {
      process.stdout.write('OK\n')
      return 0
    }
    process.stdout.write(`${problems.map(formatProblem).join('\n')}\n`)
    return 1
  },
}
