// What `npm run chaos`, `walk`, `fuzz` and `bench` are told. What is wrong is named, with the usage, before anything runs.
import { type ParseArgsConfig, parseArgs } from 'node:util'
import { errorText } from '../../broker/errors.ts'

/** As parseArgs, with `--help`. A mistake ends the process with 2. */
export function readToolArguments<Config extends ParseArgsConfig>(
  usage: string,
  config: Config,
): ReturnType<typeof parseArgs<Config>> {
  if (process.argv.includes('--help')) {
    console.log(usage)
    process.exit(0)
  }
  try {
    return parseArgs(config)
  } catch (error) {
    // The first sentence: the next ones are about arguments that begin with a dash.
    return wrong(errorText(error).split('. ')[0]!, usage)
  }
}

/** A number of at least `least`. */
export function toolNumber(option: string, text: string, usage: string, least = 1): number {
  const number = Number(text)
  return Number.isFinite(number) && number >= least
    ? number
    : wrong(`${option} ${text}: not a number of at least ${least}`, usage)
}

function wrong(what: string, usage: string): never {
  console.error(`${what}\n\n${usage}`)
  process.exit(2)
}
