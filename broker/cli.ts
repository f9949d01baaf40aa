#!/usr/bin/env -S node --min-semi-space-size=32 --max-semi-space-size=32
// The command `oriole`: a table of commands; each is a file in cli/, loaded when it is asked for.
import { type Command, commandHelp, readArguments, UsageError } from './cli/command.ts'
import { fail } from './cli/fail.ts'
import { didYouMean } from './config/nearest.ts'
import { packageVersion } from './package-root.ts'

const commands = {
  start: () => import('./cli/start.ts'),
  check: () => import('./cli/check.ts'),
  init: () => import('./cli/init.ts'),
  backup: () => import('./cli/backup.ts'),
  restore: () => import('./cli/restore.ts'),
  doctor: () => import('./cli/doctor.ts'),
  cluster: () => import('./cli/cluster.ts'),
  drain: () => import('./cli/drain.ts'),
  acl: () => import('./cli/acl.ts'),
  plan: () => import('./cli/plan.ts'),
  reload: () => import('./cli/reload.ts'),
  kick: () => import('./cli/kick.ts'),
  ban: () => import('./cli/ban.ts'),
  import: () => import('./cli/import.ts'),
  passwd: () => import('./cli/passwd.ts'),
  device: () => import('./cli/device.ts'),
  pub: () => import('./cli/pub.ts'),
  sub: () => import('./cli/sub.ts'),
} satisfies Record<string, () => Promise<{ command: Command }>>

await main(process.argv.slice(2)).then(
  (exitCode) => {
    process.exitCode = exitCode
  },
  (error: unknown) => fail(error),
)

async function main([word, ...rest]: string[]): Promise<number> {
  if (word === undefined || word === '--help' || word === '-h' || word === 'help') {
    const asked = rest[0]
    if (word === 'help' && asked !== undefined) return main([asked, '--help'])
    process.stdout.write(await overview())
    return word === undefined ? 2 : 0
  }
  if (word === '--version' || word === '-v' || word === 'version') {
    process.stdout.write(`${packageVersion()}\n`)
    return 0
  }
  const load = Object.hasOwn(commands, word) ? commands[word as keyof typeof commands] : undefined
  if (load === undefined) {
    const kind = word.startsWith('-') ? 'option' : 'command'
    const known = kind === 'option' ? ['--help', '--version'] : Object.keys(commands)
    throw new UsageError(`there is no ${kind} "${word}"${didYouMean(word, known)}`, 'oriole --help')
  }
  const { command } = await load()
  const input = readArguments(word, command, rest)
  if (input === undefined) {
    process.stdout.write(commandHelp(word, command))
    return 0
  }
  return command.run(input)
}

async function overview(): Promise<string> {
  const names = Object.keys(commands) as (keyof typeof commands)[]
  const lines = await Promise.all(
    names.map(async (name) => `  ${name.padEnd(8)} ${(await commands[name]()).command.summary}`),
  )
  return `oriole ${packageVersion()}: a private messaging cloud, an MQTT broker for people and devices

Usage: oriole COMMAND [OPTIONS]

${lines.join('\n')}

oriole COMMAND --help shows the options of a command; oriole --version the version.
`
}
