// `oriole restore`: a data folder out of a backup, checked record by record.
import { copyStore } from '../store/doctor.ts'
import { countLines } from './backup.ts'
import { type Command, UsageError } from './command.ts'

export const command: Command = {
  summary: 'make a data folder of a backup, after a full check',
  usage: 'BACKUP NEWDIR',
  details: `
NEWDIR is empty or not there; nothing is left in it when the backup is damaged. Then set store.path to NEWDIR.
What was delivered after the backup was made is delivered again.`,
  options: {},
  positionalsMax: 2,

  async run(input) {
    const [backup, newPath] = input.positionals
    if (backup === undefined || newPath === undefined) {
      throw new UsageError('name the backup and a new folder', 'oriole restore --help')
    }
    const counts = await copyStore(backup, newPath)
    process.stdout.write(`${countLines(counts)}\n${newPath}: restored, every record checked\n`)
    return 0
  },
}
