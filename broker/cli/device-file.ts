// The file of devices, line by line: read, and changed by one command at a time.
import { open, readFile, rm, stat } from 'node:fs/promises'
import { setTimeout as wait } from 'node:timers/promises'
import { errorText } from '../errors.ts'
import { replaceFile } from '../replace-file.ts'
import { CommandError } from './fail.ts'
import { yamlKey } from './yaml-key.ts'

export interface DeviceLine {
  readonly name: string
  /** "" where it is not said. */
  readonly added: string
  readonly groups: string
}

const line = /^(?:"((?:[^"\\\n]|\\.)*)"|([^\s#:"]+)):[ \t].*$/gm

export function deviceLine(name: string, hash: string, added: string, groups: readonly string[]): string {
  const memberOf = groups.length === 0 ? '' : `, groups: [${groups.join(', ')}]`
  return `${yamlKey(name)}: { password: "${hash}", added: ${added}${memberOf} }\n`
}

export function devicesIn(text: string): DeviceLine[] {
  return [...text.matchAll(line)].map(([whole, quoted, plain]) => ({
    name: quoted === undefined ? plain! : (JSON.parse(`"${quoted}"`) as string),
    added: /[{,] added: ([0-9-]+)/.exec(whole)?.[1] ?? '',
    groups: /[{,] groups: \[([^\]]*)\]/.exec(whole)?.[1] ?? '',
  }))
}

export async function readDeviceFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw new CommandError(`cannot read ${path}: ${errorText(error)}`, { cause: error })
  }
}

/** A file that is not there is empty. After a power cut there is the old file or the new one. */
export async function changeDeviceFile(path: string, change: (text: string) => string): Promise<void> {
  const lock = await takeLock(`${path}.lock`)
  try {
    const before = await modeOf(path)
    const text = before === undefined ? '' : await readDeviceFile(path)
    const changed = change(text)
    await replaceFile(path, changed, before)
  } catch (error) {
    if (error instanceof CommandError) throw error
    throw new CommandError(`cannot write ${path}: ${errorText(error)}`, { cause: error })
  } finally {
    await lock.close()
    await rm(`${path}.lock`, { force: true })
  }
}

const lockLooks = 100
const lockLookEveryMs = 50

/** Two commands at once must not write over one another. */
async function takeLock(path: string) {
  for (let look = 0; look < lockLooks; look += 1) {
    try {
      return await open(path, 'wx', 0o600)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
        throw new CommandError(`cannot write ${path}: ${errorText(error)}`, { cause: error })
      }
      await wait(lockLookEveryMs)
    }
  }
  throw new CommandError(`another \`oriole device\` is at work, or was cut off; if none is, delete ${path}`)
}

async function modeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).mode & 0o777
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
