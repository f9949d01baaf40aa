// The admin that a fresh install makes for itself: a random password, told once, of which only the hash is kept.
import { randomInt } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'yaml'
import { hashPassword, isPasswordHash } from '../../broker/password.ts'
import type { Identity, PluginBroker } from '../../broker/plugin.ts'
import { replaceFile } from '../../broker/replace-file.ts'
import type { User } from './users.ts'

export const adminName = 'admin'
export const adminIdentity: Identity = { username: adminName, groups: [], roles: ['admin'], attributes: {} }

/** Without characters that look alike: 20 of 57 are 116 bits. */
const alphabet = 'ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789'
const passwordLength = 20

/** Reads the admin of an earlier start, or makes one and announces the password. Throws when the file is damaged. */
export async function firstAdmin(broker: PluginBroker): Promise<User> {
  const path = join(broker.dataDir, 'admin.yaml')
  const hash = (await readHash(path)) ?? (await makeAdmin(path, broker))
  return { hash, disabled: false, identity: adminIdentity }
}

async function makeAdmin(path: string, broker: PluginBroker): Promise<string> {
  const password = Array.from({ length: passwordLength }, () => alphabet[randomInt(alphabet.length)]).join('')
  const hash = await hashPassword(password)
  await replaceFile(
    path,
    `# The hash of the admin's password. Delete this file to get a new one at the next start.\n${adminName}: "${hash}"\n`,
  )
  const login = { username: adminName, password }
  broker.announce(`user "${adminName}", password "${password}" - told only now; delete ${path} to get a new one`, login)
  broker.log.info({ path }, 'admin was made')
  return hash
}

/** Undefined: there is no such file yet. */
async function readHash(path: string): Promise<string | undefined> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const content: unknown = parse(text)
  const hash = typeof content === 'object' && content !== null ? Reflect.get(content, adminName) : undefined
  if (typeof hash === 'string' && isPasswordHash(hash)) return hash
  throw new Error(`${path} is damaged; delete it to get a new admin password`)
}
