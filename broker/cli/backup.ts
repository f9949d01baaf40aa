// `oriole backup`: a copy of the data as it is at one moment, of a running broker and of a stopped one.
import { resolve } from 'node:path'
import { askBroker } from '../admin/control.ts'
import { type Counts, copyStore, kinds } from '../store/doctor.ts'
import { type Command, UsageError } from './command.ts'
import { dataPath } from './data-path.ts'
import { CommandError } from './fail.ts'

export const command: Command = {
  summary: 'copy the data into a folder, also while the broker runs',
  usage: 'DIR [--data DATA]',
  details: `
DIR is empty or not there. A running broker is asked over the socket in its data folder, so only the user who runs it
(or root) can do that; it makes the copy itself, as things are at one moment, and goes on serving. The data of a
stopped broker are copied and checked. oriole restore makes a data folder of a backup.`,
  options: {
    data: { value: 'DATA', short: 'd', help: 'the data folder; without it the one of the config' },
    config: { value: 'FILE', short: 'c', help: 'the config file, when --data is not given' },
  },
  positionalsMax: 1,

  async run(input) {
    const to = input.positionals[0]
    if (to === undefined) throw new UsageError('name a folder for the backup', 'oriole backup --help')
    const path = await dataPath(input.text('data'), input.text('config'))
    const answer = (await askBroker(path, { do: 'backup', to: resolve(to) })) as
      | { counts: Counts; damagedMessages: number }
      | undefined
    const counts = answer?.counts ?? (await copyStore(path, to))
    process.stdout.write(`${countLines(counts)}\n${path}: copied into ${to}\n`)
    const left = answer?.damagedMessages ?? 0
    if (left > 0)
      throw new CommandError(`${left} damaged messages were left out; stop the broker and run oriole doctor`)
    return 0
  },
}

export function countLines(counts: Counts): string {
  return kinds.map((kind) => `${kind.padEnd(20)} ${String(counts[kind]).padStart(10)}`).join('\n')
}
