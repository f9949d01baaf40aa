// `oriole reload`: the broker reads the files of its plugins now, and says what changed.
import { askBroker } from '../admin/control.ts'
import { type ChangeAnswer, changeText, throwProblems } from './change-text.ts'
import type { Command } from './command.ts'
import { dataPath } from './data-path.ts'
import { CommandError } from './fail.ts'

export const command: Command = {
  summary: 'take changed users, groups and rules into use now',
  usage: '[--data DATA]',
  details: `
The running broker looks at its files itself, within a second; this asks it to do so now, and prints what changed. All
files are checked first: when one is broken, nothing changes, and the exit code is 1.`,
  options: {
    data: { value: 'DATA', short: 'd', help: 'the data folder; without it the one of the config' },
    config: { value: 'FILE', short: 'c', help: 'the config file, when --data is not given' },
  },
  positionalsMax: 0,

  async run(input) {
    const path = await dataPath(input.text('data'), input.text('config'))
    const answer = (await askBroker(path, { do: 'reload' })) as ChangeAnswer | undefined
    if (answer === undefined) throw new CommandError(`no broker runs on ${path}`)
    throwProblems(answer)
    process.stdout.write(changeText(answer, 'is in use', 'nothing changed'))
    return 0
  },
}
