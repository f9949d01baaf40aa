// The files of a running broker as they are at one moment: what a kill would leave behind.
import { cpSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'

/** Threads of the database may add and delete files while they are copied; then it is tried again. */
const attempts = 1_000

export async function snapshot(from: string, to: string): Promise<void> {
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    if (copied(from, to)) return
    rmSync(to, { recursive: true, force: true })
    await turn()
  }
  throw new Error(`the files in ${from} never stood still`)
}

function copied(from: string, to: string): boolean {
  try {
    const before = describe(from)
    cpSync(from, to, { recursive: true, filter: (path) => !statSync(path).isSocket() })
    return describe(from) === before && describe(to) === before
  } catch {
    // A file went away meanwhile.
    return false
  }
}

function describe(folder: string): string {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()
  const files = names.map((name) => ({ name, stat: statSync(join(folder, name)) })).filter(({ stat }) => stat.isFile())
  return files.map(({ name, stat }) => `${name} ${stat.size}`).join('\n')
}
