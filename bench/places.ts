// Where things lie: the repository, the cache of what the bench builds and installs, temporary folders.
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Scope } from './scope.ts'

/** The working folder, or the nearest one above with the sources of the generator: the bench itself runs from dist/. */
export const repository = above(process.cwd())

export const commandLine = fileURLToPath(new URL('../broker/cli.js', import.meta.url))

export async function cacheFolder(name: string): Promise<string> {
  const folder = join(repository, 'bench/.cache', name)
  await mkdir(folder, { recursive: true })
  return folder
}

/** In ORIOLE_BENCH_TMP when it is set: /tmp may be in memory, and a sync there costs nothing. */
export async function scratchFolder(scope: Scope): Promise<string> {
  const folder = await mkdtemp(join(process.env.ORIOLE_BENCH_TMP ?? tmpdir(), 'oriole-bench-'))
  scope.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

function above(folder: string): string {
  if (existsSync(join(folder, 'bench/generator/main.c'))) return folder
  const parent = dirname(folder)
  if (parent === folder) throw new Error('run the bench from the folder of the repository')
  return above(parent)
}
