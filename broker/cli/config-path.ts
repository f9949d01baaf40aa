// Which config file is meant when none is named.
import { existsSync } from 'node:fs'
import { CommandError } from './fail.ts'

const usualPlaces = ['oriole.yaml', 'config/oriole.yaml']

/** `ORIOLE_CONFIG` is for machines and containers where it lies elsewhere: every command there finds it. */
export function configPath(named: string | undefined): string {
  if (named !== undefined) return named
  if (process.env.ORIOLE_CONFIG) return process.env.ORIOLE_CONFIG
  const found = usualPlaces.find((place) => existsSync(place))
  if (found !== undefined) return found
  throw new CommandError(
    `there is no ${usualPlaces.join(' and no ')} here; name a file, or make one with oriole init .`,
  )
}
