// Which config file is meant when none is named.
import { existsSync } from 'node:fs'
import { CommandError } from './fail.ts'

const usualPlaces = ['oriole.yaml', 'config/oriole.yaml']

export function configPath(named: string | undefined): string {
  if (named !== undefined) return named
  const found = usualPlaces.find((place) => existsSync(place))
  if (found !== undefined) return found
  throw new CommandError(
    `there is no ${usualPlaces.join(' and no ')} here; name a file, or make one with oriole init .`,
  )
}
