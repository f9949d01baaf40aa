// The versions of the files of plugins that were in use, each with the time from which it was: 0600, the last ones.
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { AnyFile } from './file-changes.ts'
import { replaceFile } from './replace-file.ts'

/** Of each file. Whoever wants more has a repository. */
const versionsMax = 20

export class FileArchive {
  /** The folder of each plugin is in it. */
  readonly #dataDir: string

  constructor(dataDir: string) {
    this.#dataDir = dataDir
  }

  /** Keeps the version in use, if it is not the last one that was kept. */
  async keep(plugin: string, file: AnyFile): Promise<void> {
    const { text } = file
    if ((await this.last(plugin, file)) === text) return
    const folder = this.#folderOf(plugin)
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const time = new Date().toISOString().replaceAll(':', '').replaceAll('-', '')
    const path = join(folder, `${time}-${basename(file.path)}`)
    await replaceFile(path, text)
    const kept = await this.#versionsOf(plugin, file)
    for (const old of kept.slice(0, -versionsMax)) await rm(join(folder, old), { force: true })
  }

  /** The text that was in use last; undefined: none was. */
  async last(plugin: string, file: AnyFile): Promise<string | undefined> {
    const newest = (await this.#versionsOf(plugin, file)).at(-1)
    return newest === undefined ? undefined : readFile(join(this.#folderOf(plugin), newest), 'utf8')
  }

  /** The oldest first. */
  async #versionsOf(plugin: string, file: AnyFile): Promise<string[]> {
    const name = basename(file.path)
    try {
      const found = await readdir(this.#folderOf(plugin))
      return found.filter((one) => /^\d{8}T\d{6}\.\d{3}Z-(.*)$/.exec(one)?.[1] === name).sort()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw error
    }
  }

  #folderOf(plugin: string): string {
    return join(this.#dataDir, plugin.replace(/[^A-Za-z0-9._@-]/g, '_').replace(/^\.+/, '_'), 'versions')
  }
}
