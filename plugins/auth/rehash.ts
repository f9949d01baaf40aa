// Outdated hashes in the users file, replaced when their users have just shown the passwords.
import { constants } from 'node:fs'
import { access, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { hashPassword } from '../../broker/password.ts'
import type { PluginLog } from '../../broker/plugin.ts'

/** What comes in within this time is written at once: of ten thousand logins not each writes the file. */
const collectMs = 1_000
/** Replacements that wait to be written; over it a login changes nothing, and the next one does. */
const waitingMax = 10_000

export class Rehasher {
  readonly #path: string
  readonly #log: PluginLog
  /** New hashes by the old ones: waiting to be written. */
  #waiting = new Map<string, string>()
  /** New hashes that stand in the file by now, or are about to: at most one for each line of the file. */
  readonly #written = new Set<string>()
  #timer: NodeJS.Timeout | undefined
  #work: Promise<void> = Promise.resolve()

  constructor(path: string, log: PluginLog) {
    this.#path = path
    this.#log = log
  }

  /** Never throws: the login succeeded, whatever becomes of the hash. */
  replace(username: string, password: Buffer, hash: string): void {
    if (this.#waiting.has(hash) || this.#waiting.size >= waitingMax) return
    this.#waiting.set(hash, '')
    this.#work = this.#work
      .then(async () => {
        if (!(await mayReplace(this.#path))) {
          this.#waiting.delete(hash)
          this.#log.info({ username }, 'password hash is outdated, and the file is not to be written: make a new one')
          return
        }
        this.#waiting.set(hash, await hashPassword(password))
        this.#timer ??= setTimeout(() => this.#write(), collectMs).unref()
      })
      .catch((error: unknown) =>
        this.#log.warn({ username, error: String(error) }, 'password hash could not be replaced'),
      )
  }

  /** True: the new hash is one of ours, of the same password as the one before. */
  isOurs(hash: string): boolean {
    return this.#written.has(hash)
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    await this.#work
  }

  #write(): void {
    this.#timer = undefined
    const replacements = [...this.#waiting].filter(([, fresh]) => fresh !== '')
    for (const [old, fresh] of replacements) {
      this.#waiting.delete(old)
      this.#written.add(fresh)
    }
    this.#work = this.#work
      .then(async () => {
        const count = await replaceInFile(this.#path, replacements)
        if (count > 0) this.#log.info({ count }, 'outdated password hashes were replaced')
      })
      .catch((error: unknown) => this.#log.warn({ error: String(error) }, 'password hashes could not be replaced'))
  }
}

/** A file that nobody may write is meant so, also where root could. */
async function mayReplace(path: string): Promise<boolean> {
  try {
    if (((await stat(path)).mode & 0o222) === 0) return false
    await access(path, constants.W_OK)
    await access(dirname(path), constants.W_OK)
    return true
  } catch {
    // Then it is somebody else's to write.
    return false
  }
}

/** Everything but the hashes stays as it is. Does nothing when somebody else writes the file at the same time. */
async function replaceInFile(path: string, replacements: readonly (readonly [string, string])[]): Promise<number> {
  const before = await stat(path)
  let text = await readFile(path, 'utf8')
  let count = 0
  for (const [old, fresh] of replacements) {
    const parts = text.split(old)
    // A hash that stands there twice is copied by hand; whose it is cannot be told.
    if (parts.length !== 2) continue
    text = parts.join(fresh)
    count += 1
  }
  if (count === 0) return 0
  const beside = `${path}.oriole-new`
  const file = await open(beside, 'w', before.mode & 0o777)
  try {
    await file.writeFile(text)
    await file.chown(before.uid, before.gid)
    await file.sync()
  } finally {
    await file.close()
  }
  const now = await stat(path)
  if (now.mtimeMs !== before.mtimeMs || now.ino !== before.ino) {
    await rm(beside, { force: true })
    return 0
  }
  await rename(beside, path)
  return count
}
