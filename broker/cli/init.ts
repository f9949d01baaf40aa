// `oriole init`: a commented config of one's own.
import { constants, copyFile, mkdir, readdir } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { errorText } from '../errors.ts'
import { howToCall, packageRoot } from '../package-root.ts'
import type { Command } from './command.ts'
import { UsageError } from './command.ts'
import { CommandError } from './fail.ts'

export const command: Command = {
  summary: 'write a commented config into a folder',
  usage: 'DIR',
  details: 'Nothing is overwritten: when one of the files is there already, nothing is written at all.',
  options: {},
  positionalsMax: 1,

  async run(input) {
    const folder = input.positionals[0]
    if (folder === undefined) throw new UsageError('name the folder, for example oriole init .', 'oriole init --help')
    const source = join(packageRoot, 'config')
    const names = (await readdir(source)).filter((name) => /\.(yaml|json)$/.test(name)).sort()
    try {
      await mkdir(folder, { recursive: true })
      const there = new Set(await readdir(folder))
      const taken = names.filter((name) => there.has(name))
      if (taken.length > 0) {
        throw new CommandError(`${join(folder, taken[0]!)} is there already; choose another folder, or move it away`)
      }
      for (const name of names) await copyFile(join(source, name), join(folder, name), constants.COPYFILE_EXCL)
    } catch (error) {
      if (error instanceof CommandError) throw error
      throw new CommandError(`cannot write into ${folder}: ${errorText(error)}`, { cause: error })
    }
    const config = relative(process.cwd(), join(folder, 'oriole.yaml'))
    process.stdout.write(`${names.map((name) => `wrote ${join(folder, name)}`).join('\n')}\n`)
    process.stdout.write(`next: ${howToCall()} start --config ${config}\n`)
    return 0
  },
}
