// `oriole import`: users, groups and rules of mosquitto, as files of ours.
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { checkAll } from '../check.ts'
import { formatProblem, printable } from '../config/problem.ts'
import { errorText } from '../errors.ts'
import { importDynamicSecurity } from '../import/dynamic-security.ts'
import { filesOf, type Imported, nothingImported } from '../import/imported.ts'
import { importPasswords, importRules } from '../import/mosquitto.ts'
import { type Command, UsageError } from './command.ts'
import { CommandError } from './fail.ts'

const help = 'oriole import --help'

const importers = { passwords: importPasswords, acl: importRules, dynsec: importDynamicSecurity } as const

export const command: Command = {
  summary: 'make users, groups and rules of the files of mosquitto',
  usage: 'DIR [--passwords FILE] [--acl FILE] [--dynsec FILE]',
  details: `
Writes users.yaml, groups.yaml, acl.yaml and an oriole.yaml to try them with into DIR, and overwrites nothing. Everybody
keeps their password: the hashes of mosquitto let in, and are replaced by stronger ones at the first login. What means
something else here, or cannot be carried over, is said, and stands in acl.yaml. Exit code 1 when a name or a rule came
over that the broker would refuse.`,
  options: {
    passwords: { value: 'FILE', help: 'password_file, as mosquitto_passwd writes it' },
    acl: { value: 'FILE', help: 'acl_file' },
    dynsec: { value: 'FILE', help: 'JSON file of the dynamic security plugin' },
  },
  positionalsMax: 1,

  async run(input) {
    const folder = input.positionals[0]
    if (folder === undefined) throw new UsageError('name the folder for what is imported', help)
    const chosen = (['passwords', 'acl', 'dynsec'] as const).filter((name) => input.isSet(name))
    if (chosen.length === 0) throw new UsageError('name at least one file: --passwords, --acl or --dynsec', help)
    const imported = nothingImported()
    for (const name of chosen) {
      const file = input.text(name)!
      importers[name](await readSource(file), file, imported)
    }
    await write(folder, filesOf(imported, chosen.map((name) => input.text(name)!).join(', ')))
    process.stdout.write(summaryOf(imported, folder))
    const problems = await checkAll(join(folder, 'oriole.yaml'), {})
    for (const problem of problems) process.stderr.write(`${formatProblem(problem)}\n`)
    return problems.length === 0 ? 0 : 1
  },
}

async function readSource(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new CommandError(`cannot read ${file}: ${errorText(error)}`, { cause: error })
  }
}

async function write(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    for (const [name, content] of Object.entries(files)) {
      await writeFile(join(folder, name), content, { flag: 'wx', mode: 0o600 })
    }
  } catch (error) {
    throw new CommandError(`cannot write into ${folder}: ${errorText(error)}; choose an empty folder`, { cause: error })
  }
}

function summaryOf({ users, groups, rules, notes }: Imported, folder: string): string {
  const lines = [
    `${folder}: ${users.size} users, ${groups.size} groups, ${rules.length} rules`,
    ...notes.map((note) => `note: ${printable(note)}`),
  ]
  return lines.map((line) => `${line}\n`).join('')
}
