// `oriole reload`: the broker reads the files of its plugins now, and says what changed.
import { askBroker } from '../admin/control.ts'
import { type ChangeAnswer, changeText, type OtherNode, otherText, throwProblems } from './change-text.ts'
import type { Command } from './command.ts'
import { dataPath } from './data-path.ts'
import { CommandError } from './fail.ts'

export const command: Command = {
  summary: 'take changed users, groups and rules into use now',
  usage: '[--data DATA]',
  details: `
The running broker looks at its files itself, within a second; this asks it to do so now, and prints what changed. All
files are checked first: when one is broken, nothing changes, and the exit code is 1. In a cluster all nodes are asked to,
each for its own files.`,
  options: {
    data: { value: 'DATA', short: 'd', help: 'the data folder; without it the one of the config' },
    config: { value: 'FILE', short: 'c', help: 'the config file, when --data is not given' },
  },
  positionalsMax: 0,

  async run(input) {
    const path = await dataPath(input.text('data'), input.text('config'))
    const answer = (await askBroker(path, { do: 'reload' })) as (ChangeAnswer & { others: OtherNode[] }) | undefined
    if (answer === undefined) throw new CommandError(`no broker runs on ${path}`)
    const { problems, others } = answer
    if (problems.length === 0) process.stdout.write(changeText(answer, 'is in use', 'nothing changed'))
    for (const other of others) process.stdout.write(otherText(other))
    throwProblems(answer)
    return others.every(({ outcome }) => outcome?.problems.length === 0) ? 0 : 1
  },
}
