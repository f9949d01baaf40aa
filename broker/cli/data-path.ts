// Which data folder is meant: the one that is named, or the one of the config.
import { loadConfig } from '../config/load.ts'
import { formatProblem } from '../config/problem.ts'
import { OrioleError } from '../errors.ts'
import { workerCount, workerFolder } from '../workers.ts'
import { configPath } from './config-path.ts'
import { CommandError } from './fail.ts'

/** `any`: with workers each has a data folder, and one is as good as another. */
export async function dataPath(
  named: string | undefined,
  configFile: string | undefined,
  { any = false } = {},
): Promise<string> {
  if (named !== undefined) return named
  const { config, problems } = await loadConfig(configPath(configFile), process.env)
  if (config === undefined) {
    throw new OrioleError('ORI_CONFIG_INVALID', problems.map(formatProblem).join('\n'), { cause: problems })
  }
  if (config.store.type === 'level') {
    const { path } = config.store
    if (workerCount(config) === 1) return path
    if (any) return workerFolder(path, 1)
    throw new CommandError(`this config has workers, each with its own data; name one: --data ${workerFolder(path, 1)}`)
  }
  throw new CommandError('the store of this config is in memory: it leaves no data; name the folder')
}
