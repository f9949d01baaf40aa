// `oriole doctor`: looks at the data of a stopped broker, and saves what is whole into a new folder.
import { type Examination, examineStore, kinds, repairStore } from '../store/doctor.ts'
import { countLines } from './backup.ts'
import type { Command } from './command.ts'
import { dataPath } from './data-path.ts'

export const command: Command = {
  summary: 'examine the data of a stopped broker, and repair a copy',
  usage: '[DIR] [--repair NEWDIR]',
  details: `
DIR is the data folder; without it, it is the one of the config. It is only read, never changed.
Exits with 1 when something is damaged or missing.

--repair copies every record that is whole into NEWDIR, which is empty or not there, says what was left, and exits
with 0; then keep DIR, and set store.path to NEWDIR.`,
  options: {
    repair: { value: 'NEWDIR', help: 'copy what is whole into this folder' },
    config: { value: 'FILE', short: 'c', help: 'the config file, when DIR is not given' },
  },
  positionalsMax: 1,

  async run(input) {
    const path = await dataPath(input.positionals[0], input.text('config'))
    const newPath = input.text('repair')
    const found = newPath === undefined ? await examineStore(path) : await repairStore(path, newPath)
    process.stdout.write(`${linesOf(path, found, newPath).join('\n')}\n`)
    return found.problems.length === 0 || newPath !== undefined ? 0 : 1
  },
}

function linesOf(path: string, found: Examination, newPath: string | undefined): string[] {
  const { problems, notes, counts, damagedRecords } = found
  const lines = [countLines(counts)]
  for (const note of notes) lines.push(`note: ${note}`)
  for (const problem of problems) lines.push(`damage: ${problem}`)
  if (problems.length === 0) lines.push(`${path}: no damage`)
  else if (newPath === undefined)
    lines.push(`${path}: damaged; save what is whole: oriole doctor ${path} --repair NEWDIR`)
  if (newPath === undefined) return lines
  const total = kinds.reduce((sum, kind) => sum + counts[kind], 0)
  const left = damagedRecords === 0 ? '' : `, ${damagedRecords} damaged records left`
  lines.push(`${total} records copied into ${newPath}${left}; ${path} is as it was`)
  return lines
}
