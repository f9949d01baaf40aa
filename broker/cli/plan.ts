// `oriole plan`: what the files would change, compared with those in use or, when no broker runs, with those of its last run.
import { join } from 'node:path'
import { differences } from '../access-differences.ts'
import { lastUsed } from '../access-files.ts'
import { accessFiles, askRunning } from './access-files.ts'
import { type ChangeAnswer, changeText, throwProblems } from './change-text.ts'
import type { Command } from './command.ts'
import { configPath } from './config-path.ts'
import { CommandError } from './fail.ts'

export const command: Command = {
  summary: 'show what changed users, groups and rules would give and take',
  usage: '[--config FILE]',
  details: `
Compares the files of the plugins as they are now with those in use, and changes nothing. When no broker runs, those of
its last run are taken. Exit code 1 when a file is broken.`,
  options: { config: { value: 'FILE', short: 'c', help: 'the config file' } },
  positionalsMax: 0,

  async run(input) {
    const path = configPath(input.text('config'))
    const answer = (await askRunning(path, { do: 'plan' })) as ChangeAnswer | undefined
    if (answer !== undefined) {
      throwProblems(answer)
      process.stdout.write(changeText(answer, 'would change', 'nothing would change'))
      return 0
    }
    const files = await accessFiles(path)
    const { dataDir } = files
    const before = dataDir === undefined ? undefined : await lastUsed(files.parts, join(dataDir, 'plugins'))
    if (before === undefined) {
      throw new CommandError('no broker runs with this config or has run with it: there is nothing to compare with')
    }
    const changes = await differences(before.book, files.book)
    process.stdout.write(
      changeText(
        { ...before, changes, problems: [] },
        'changed since the last run',
        'nothing changed since the last run',
      ),
    )
    return 0
  },
}
