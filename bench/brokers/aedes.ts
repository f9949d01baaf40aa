// Plain aedes with its TCP server: in memory, or with aedes-persistence-level from npm. Everybody may do everything.
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { collectable, collectGarbage } from '../collect-garbage.ts'
import { cacheFolder, scratchFolder } from '../places.ts'
import { cores, run, startPinned, Unavailable } from '../programs.ts'
import type { Bench } from '../row.ts'
import type { Scope } from '../scope.ts'
import type { RunningBroker } from './broker.ts'

const peer = fileURLToPath(new URL('../peers/aedes.js', import.meta.url))

/** The versions that the figures were measured with. */
const levelPackages = ['aedes-persistence-level@9.2.0', 'level@10.0.0']

export function startAedes(bench: Bench, scope: Scope): Promise<RunningBroker> {
  return start(bench, scope, [])
}

export async function startAedesLevel(bench: Bench, scope: Scope): Promise<RunningBroker> {
  const modules = await bench.once('aedes-persistence-level', installLevel)
  return start(bench, scope, [modules, join(await scratchFolder(scope), 'data')])
}

async function start(bench: Bench, scope: Scope, args: readonly string[]): Promise<RunningBroker> {
  const started = startPinned(scope, bench.node, [...collectable, peer, ...args], { core: cores.broker })
  await started.printed(/^port \d+$/m)
  const port = Number(/^port (\d+)$/m.exec(started.output)![1])
  return {
    pid: started.pid,
    port,
    collectGarbage: () => collectGarbage(started),
    stop: () => started.stop('SIGKILL'),
  }
}

/** Outside of our package.json: nothing of Oriole needs it. */
async function installLevel(): Promise<string> {
  const folder = await cacheFolder('aedes-level')
  const installed = join(folder, 'node_modules/aedes-persistence-level/package.json')
  if (existsSync(installed)) return folder
  await writeFile(join(folder, 'package.json'), '{ "private": true }\n')
  try {
    await run('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error', ...levelPackages], folder)
  } catch (error) {
    throw new Unavailable('aedes-persistence-level could not be installed with npm', { cause: error })
  }
  return folder
}
