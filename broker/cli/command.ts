// What a command is: its options and its help in one table, so that the two cannot differ.
import { type ParseArgsConfig, parseArgs } from 'node:util'
import { didYouMean } from '../config/nearest.ts'

export interface Option {
  readonly help: string
  readonly short?: string
  /** What stands for the value in the help; without it the option is a switch. */
  readonly value?: string
  /** May stand several times. */
  readonly multiple?: boolean
}

export interface Input {
  readonly positionals: readonly string[]
  /** The value of an option, the last one where it may stand several times. */
  text(name: string): string | undefined
  /** All values of an option that may stand several times. */
  texts(name: string): readonly string[]
  isSet(name: string): boolean
  /** Throws UsageError when it is no whole number from `min` to `max`. */
  number(name: string, min: number, max: number): number | undefined
}

export interface Command {
  /** One line for the overview. */
  readonly summary: string
  /** After `oriole NAME`, for example `[OPTIONS] [FILE]`. */
  readonly usage: string
  /** More than one line's worth, shown below the options. */
  readonly details?: string
  readonly options: Readonly<Record<string, Option>>
  readonly positionalsMax: number
  /** Resolves with the exit code. */
  run(input: Input): Promise<number>
}

/** The command line is wrong: one line, and where to read on. Exit code 2. */
export class UsageError extends Error {
  readonly helpCommand: string

  constructor(message: string, helpCommand: string) {
    super(message)
    this.name = 'UsageError'
    this.helpCommand = helpCommand
  }
}

/** Undefined: help is wanted. Throws UsageError. */
export function readArguments(name: string, command: Command, args: readonly string[]): Input | undefined {
  const helpCommand = `oriole ${name} --help`
  const options: NonNullable<ParseArgsConfig['options']> = { help: { type: 'boolean', ...helpShort(command) } }
  for (const [key, option] of Object.entries(command.options)) {
    const type = option.value === undefined ? 'boolean' : 'string'
    options[key] = { type, multiple: true, ...(option.short === undefined ? {} : { short: option.short }) }
  }
  const { values, positionals } = parse(args, options, helpCommand)
  if (values.help === true) return undefined
  if (positionals.length > command.positionalsMax) {
    throw new UsageError(`"${positionals[command.positionalsMax]}" is one argument too many`, helpCommand)
  }
  const texts = (key: string): string[] => ((values[key] as string[] | undefined) ?? []).map(String)
  for (const [key, option] of Object.entries(command.options)) {
    if (option.multiple || texts(key).length < 2) continue
    throw new UsageError(`--${key} stands there ${texts(key).length} times; once is enough`, helpCommand)
  }
  const text = (key: string): string | undefined => texts(key).at(-1)
  return {
    positionals,
    text,
    texts,
    isSet: (key) => texts(key).length > 0,
    number(key, min, max) {
      const given = text(key)
      if (given === undefined) return undefined
      const number = Number(given)
      if (/^\d+$/.test(given) && number >= min && number <= max) return number
      throw new UsageError(`--${key}: "${given}" is not a whole number from ${min} to ${max}`, helpCommand)
    },
  }
}

export function commandHelp(name: string, command: Command): string {
  const all = { ...command.options, help: { help: 'show this', ...helpShort(command) } satisfies Option }
  const rows = Object.entries(all).map(([key, option]: [string, Option]) => {
    const short = option.short === undefined ? '    ' : `-${option.short}, `
    return [`  ${short}--${key}${option.value === undefined ? '' : ` ${option.value}`}`, option.help] as const
  })
  const width = Math.max(...rows.map(([left]) => left.length)) + 2
  const options = rows.map(([left, help]) => `${left.padEnd(width)}${help}`).join('\n')
  const details = command.details === undefined ? '' : `\n${command.details.trim()}\n`
  return `oriole ${name}: ${command.summary}\n\nUsage: oriole ${name} ${command.usage}\n\n${options}\n${details}`
}

/** `-h` is help wherever it does not mean the host, as it does for every MQTT client. */
function helpShort(command: Command): { short?: string } {
  return Object.values(command.options).some(({ short }) => short === 'h') ? {} : { short: 'h' }
}

function parse(args: readonly string[], options: NonNullable<ParseArgsConfig['options']>, helpCommand: string) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true })
  } catch (error) {
    throw new UsageError(argumentMistake(error, Object.keys(options)), helpCommand)
  }
}

function argumentMistake(error: unknown, names: readonly string[]): string {
  const message = error instanceof Error ? error.message : String(error)
  const unknown = /^Unknown option '(-[^']*)'/.exec(message)?.[1]
  if (unknown !== undefined) {
    const known = names.map((name) => `--${name}`)
    return `there is no option "${unknown}"${unknown.startsWith('--') ? didYouMean(unknown, known) : ''}`
  }
  const lacking = /^Option '(.+?)(?: <value>)?' argument missing/.exec(message)?.[1]
  if (lacking !== undefined) return `${lacking} needs a value`
  const needless = /^Option '(.+)' does not take an argument/.exec(message)?.[1]
  if (needless !== undefined) return `${needless} takes no value`
  const ambiguous = /^Option '(.+?)(?: <value>)?' argument is ambiguous/.exec(message)?.[1]
  if (ambiguous !== undefined) {
    return `${ambiguous} needs a value; one that begins with "-" is written --option=-value`
  }
  return message.split('\n')[0] ?? message
}
