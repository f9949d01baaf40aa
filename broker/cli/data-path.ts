// Which data folder is meant: the one that is named, or the one of the config.
import { loadConfig } from '../config/load.ts'
import { formatProblem } from '../config/problem.ts'
import { OrioleError } from '../errors.ts'
import { configPath } from './config-path.ts'
import { CommandError } from './fail.ts'

export async function dataPath(named: string | undefined, configFile: string | undefined): Promise<string> {
  if (named !== undefined) return named
  const { config, problems } = await loadConfig(configPath(configFile), process.env)
  if (config === undefined) {
    throw new OrioleError('ORI_CONFIG_INVALID', problems.map(formatProblem).join('\n'), { cause: problems })
  }
  if (config.store.type === 'level') return config.store.path
  throw new CommandError('the store of this config is in memory: it leaves no data; name the folder')
}
