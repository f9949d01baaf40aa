// `oriole device`: the devices that log in with a token; adds one, lists them, revokes one.
import { dirname, isAbsolute, join } from 'node:path'
import { loadConfig } from '../config/load.ts'
import { formatProblem } from '../config/problem.ts'
import { OrioleError } from '../errors.ts'
import { makeToken } from '../password.ts'
import { type Command, type Input, UsageError } from './command.ts'
import { configPath } from './config-path.ts'
import { changeDeviceFile, deviceLine, devicesIn, readDeviceFile } from './device-file.ts'
import { CommandError } from './fail.ts'
import { readStdin } from './secret-input.ts'

const help = 'oriole device --help'
const namesMaxBytes = 32 * 1024 * 1024
const namePattern = /^[A-Za-z0-9_][A-Za-z0-9_.@:-]{0,127}$/

export const command: Command = {
  summary: 'add, list and revoke devices, which log in with a token',
  usage: 'add NAME [--group GROUP]... | list | revoke NAME',
  details: `
add      makes a token of 256 random bits and prints it, once; the file keeps only what it hashes to. The device logs in
         with NAME as its username and the token as its password. With "-" as NAME the names are read from standard
         input, a line each, and NAME and token are printed for each of them.
list     the devices, with the day on which each was added, and its groups.
revoke   takes a device away, and a running broker disconnects it at once. With "-" as above.`,
  options: {
    group: { value: 'GROUP', short: 'g', multiple: true, help: 'add: a group of the device' },
    file: { value: 'FILE', short: 'f', help: 'the file of devices; without it `auth-file.devices` of the config' },
    config: { value: 'FILE', short: 'c', help: 'the config file, when --file is not given' },
  },
  positionalsMax: 2,

  async run(input) {
    const [word, name] = input.positionals
    if (word !== 'add' && word !== 'list' && word !== 'revoke') {
      throw new UsageError('say what: add NAME, list, or revoke NAME', help)
    }
    if ((name === undefined) !== (word === 'list')) {
      throw new UsageError(word === 'list' ? `"${name}" is one argument too many` : 'name the device', help)
    }
    if (word !== 'add' && input.isSet('group')) throw new UsageError('--group is for add', help)
    const path = await devicesPath(input)
    if (word === 'list') return list(path)
    const names = name === '-' ? await readNames() : [name!]
    return word === 'add' ? add(path, names, input.texts('group'), name === '-') : revoke(path, names)
  },
}

async function add(path: string, names: readonly string[], groups: readonly string[], many: boolean): Promise<number> {
  for (const name of [...names, ...groups]) checkName(name)
  const made = names.map((name) => ({ name, ...makeToken() }))
  const added = new Date().toISOString().slice(0, 10)
  await changeDeviceFile(path, (text) => {
    const known = new Set(devicesIn(text).map(({ name }) => name))
    for (const { name } of made) {
      if (known.has(name)) throw new CommandError(`${name} is there already; revoke it first`)
      known.add(name)
    }
    const lines = made.map(({ name, hash }) => deviceLine(name, hash, added, groups))
    return `${text}${text === '' || text.endsWith('\n') ? '' : '\n'}${lines.join('')}`
  })
  if (!many) process.stderr.write(`oriole: the token of ${made[0]!.name}, told only now:\n`)
  process.stdout.write(made.map(({ name, token }) => (many ? `${name} ${token}\n` : `${token}\n`)).join(''))
  return 0
}

async function list(path: string): Promise<number> {
  const devices = devicesIn(await readDeviceFile(path))
  const width = Math.max(0, ...devices.map(({ name }) => name.length))
  const rows = devices.map(({ name, added, groups }) =>
    `${name.padEnd(width)}  ${added.padEnd(10)}  ${groups}`.trimEnd(),
  )
  process.stdout.write(rows.map((row) => `${row}\n`).join(''))
  return 0
}

async function revoke(path: string, names: readonly string[]): Promise<number> {
  const gone = new Set(names)
  await changeDeviceFile(path, (text) => {
    const known = new Set(devicesIn(text).map(({ name }) => name))
    const missing = names.find((name) => !known.has(name))
    if (missing !== undefined)
      throw new CommandError(`there is no device ${missing}; \`oriole device list\` shows them`)
    return text
      .split(/(?<=\n)/)
      .filter((line) => !devicesIn(line).some(({ name }) => gone.has(name)))
      .join('')
  })
  process.stdout.write(names.map((name) => `${name} is revoked\n`).join(''))
  return 0
}

/** Letters that need no thought, in topics, in YAML and on a label. */
function checkName(name: string): void {
  if (namePattern.test(name)) return
  const shown = JSON.stringify(name.slice(0, 40))
  throw new UsageError(`${shown} is no name here: at most 128 letters, digits, and "_", ".", "@", ":", "-"`, help)
}

async function readNames(): Promise<readonly string[]> {
  const text = (await readStdin(namesMaxBytes)).toString('utf8')
  const names = text.split(/\r?\n/).filter((line) => line !== '')
  if (names.length === 0) throw new CommandError('standard input holds no name')
  return names
}

async function devicesPath(input: Input): Promise<string> {
  const named = input.text('file')
  if (named !== undefined) return named
  const path = configPath(input.text('config'))
  const { config, problems } = await loadConfig(path, process.env)
  if (config === undefined) {
    throw new OrioleError('ORI_CONFIG_INVALID', problems.map(formatProblem).join('\n'), { cause: problems })
  }
  const settings = config.plugins.flatMap((entry) => (typeof entry === 'string' ? [] : [entry['auth-file']]))[0]
  const devices = (settings as { readonly devices?: unknown } | null | undefined)?.devices
  if (typeof devices !== 'string') {
    throw new CommandError(`${path} names no file of devices; set auth-file: { devices: devices.yaml }`)
  }
  return isAbsolute(devices) ? devices : join(dirname(path), devices)
}
