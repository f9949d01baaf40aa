// `--node 24`: another major version of Node.js, installed from npm into the cache; `--node PATH`: the one that lies there.
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheFolder } from './places.ts'
import { run, Unavailable } from './programs.ts'

export async function nodeProgram(wanted: string): Promise<string> {
  if (!/^\d+$/.test(wanted)) return wanted
  const name = `node-linux-${process.arch}`
  const folder = await cacheFolder(`node-${wanted}`)
  const program = join(folder, 'node_modules', name, 'bin/node')
  if (existsSync(program)) return program
  await writeFile(join(folder, 'package.json'), '{ "private": true }\n')
  try {
    await run('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error', `${name}@${wanted}`], folder)
  } catch (error) {
    throw new Unavailable(`Node.js ${wanted} could not be installed from npm; give --node PATH instead`, {
      cause: error,
    })
  }
  return program
}
