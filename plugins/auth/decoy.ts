// Believable secrets for users that do not exist, so that an exchange does not tell who does.
import { createHmac, randomBytes } from 'node:crypto'
import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type ScramSecret, scramIterations } from '../../broker/scram.ts'
import type { ScramUser } from './scram-users.ts'

const keyBytes = 32
const saltBytes = 16

export type Decoys = (username: string) => ScramSecret

/**
 * The same name gets the same salt, also after a restart: `folder` keeps the key. Iterations and the length of the
 * salt are those that most users have, so that a decoy does not stand out.
 */
export async function createDecoys(folder: string, users: () => ReadonlyMap<string, ScramUser>): Promise<Decoys> {
  const key = await keyIn(join(folder, 'decoy.key'))
  let known: ReadonlyMap<string, ScramUser> | undefined
  let shape = { iterations: 0, saltBytes: 0 }
  return (username) => {
    if (known !== users()) {
      known = users()
      shape = usualShape(known)
    }
    const derive = (purpose: string): Buffer => createHmac('sha512', key).update(`${purpose}:${username}`).digest()
    return {
      iterations: shape.iterations,
      salt: derive('salt').subarray(0, shape.saltBytes),
      storedKey: derive('stored key').subarray(0, 32),
      serverKey: derive('server key').subarray(0, 32),
    }
  }
}

function usualShape(users: ReadonlyMap<string, ScramUser>): { iterations: number; saltBytes: number } {
  const counts = new Map<string, number>()
  let most = { count: 0, iterations: scramIterations.min as number, saltBytes }
  for (const { secret } of users.values()) {
    const { iterations, salt } = secret
    const count = (counts.get(`${iterations} ${salt.length}`) ?? 0) + 1
    counts.set(`${iterations} ${salt.length}`, count)
    // A salt may be longer than what one HMAC gives; then the decoy is as long as it can be.
    if (count > most.count) most = { count, iterations, saltBytes: Math.min(salt.length, 64) }
  }
  return most
}

async function keyIn(path: string): Promise<Buffer> {
  try {
    const key = await readFile(path)
    if (key.length === keyBytes) return key
    throw new Error(`${path} is damaged; delete it to get a new one`)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  const key = randomBytes(keyBytes)
  const file = await open(path, 'w', 0o600)
  try {
    await file.writeFile(key)
    await file.sync()
  } finally {
    await file.close()
  }
  return key
}
