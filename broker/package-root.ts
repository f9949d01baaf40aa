// Where the package lies, which version it is, and how a person calls it.
import { existsSync, readFileSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The folder with package.json, `config/` and `dist/`. This file runs as dist/broker/package-root.js. */
export const packageRoot = findRoot(dirname(fileURLToPath(import.meta.url)))

export function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as { version: string }
  return version
}

/** What to type for `oriole`, here: its name when it was called so, else the file. */
export function howToCall(): string {
  if (basename(process.argv[1] ?? '') === 'oriole') return 'oriole'
  const fromHere = relative(process.cwd(), fileURLToPath(new URL('./cli.js', import.meta.url)))
  return `node ${fromHere.includes(' ') ? `"${fromHere}"` : fromHere}`
}

function findRoot(folder: string): string {
  if (existsSync(join(folder, 'package.json'))) return folder
  const above = dirname(folder)
  if (above === folder) throw new Error('package.json of oriole was not found; install it again')
  return findRoot(above)
}
