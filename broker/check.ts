// All that `start` would refuse in the files that people write, without starting anything.
import { resolve } from 'node:path'
import { addressList } from './address.ts'
import type { Environment } from './config/env.ts'
import { loadConfig } from './config/load.ts'
import type { Problem } from './config/problem.ts'
import type { Config } from './config/schema.ts'
import type { YamlFile } from './config/yaml-file.ts'
import { errorText } from './errors.ts'
import { certificateFiles, loadCertificate } from './listeners/certificate.ts'
import { checkPlugins } from './plugins.ts'

/** The config file first, then the files that it names; each in its own order. */
export async function checkAll(path: string, env: Environment): Promise<Problem[]> {
  const { file, problems, salvaged } = await loadConfig(path, env)
  const readable = file ?? salvaged
  if (readable !== undefined) {
    problems.push(...(await checkListeners(readable)), ...(await checkPlugins(readable.value, readable, env)))
  }
  const files = [...new Set([path, ...problems.map((problem) => problem.file)])]
  return problems.sort(
    (a, b) => files.indexOf(a.file) - files.indexOf(b.file) || a.line - b.line || a.column - b.column,
  )
}

/** Certificates that cannot be used, addresses that are none. Whether a port is free only the start can tell. */
async function checkListeners(file: YamlFile<Config>): Promise<Problem[]> {
  const found = await Promise.all(
    file.value.listeners.map(async (listener, index) => {
      const problems: Problem[] = []
      const add = (rest: readonly PropertyKey[], message: string): void => {
        const path = ['listeners', index, ...rest]
        problems.push(file.problem(path, 'value', `${path.join('.')}: ${message}`))
      }
      for (const [at, entry] of listener.accept.trustedProxies.entries()) {
        if (!isAddress(entry)) add(['accept', 'trustedProxies', at], 'is neither an address nor a CIDR range')
      }
      if ('certificate' in listener) {
        try {
          await loadCertificate(certificateFiles(listener, (path) => resolve(path), `listeners.${index}`))
        } catch (error) {
          add(['certificate'], errorText(error))
        }
      }
      return problems
    }),
  )
  return found.flat()
}

function isAddress(entry: string): boolean {
  try {
    addressList([entry])
    return true
  } catch {
    // It throws for nothing else; the caller says what is wrong.
    return false
  }
}
