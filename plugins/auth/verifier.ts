// Checks passwords against hashes, and remembers what was right: scrypt costs 40 ms, a remembered answer microseconds.
import { createHmac, randomBytes } from 'node:crypto'
import { hashPassword, verifyPassword } from '../../broker/password.ts'

/** Remembered logins, 100 bytes each; the oldest is forgotten, which costs its user one hash at the next login. */
const rememberedMax = 100_000
/** Hashes under way and waiting: about the work of 5 s; a login above that is refused at once, and tried again. */
const pendingMax = 200

export type Verdict = 'right' | 'wrong' | 'outdated' | 'busy'

export interface Verifier {
  /** Takes as long for an unknown user (`hash` undefined) as for a wrong password. */
  verify(username: string, password: Buffer, hash: string | undefined): Promise<Verdict>
}

export async function createVerifier(): Promise<Verifier> {
  // Nothing that was remembered is of use to anyone without this key, and it never leaves the process.
  const key = randomBytes(32)
  const nobody = await hashPassword(randomBytes(32).toString('base64'))
  const right = new Set<string>()
  const pending = new Map<string, Promise<Verdict>>()

  /** Holds the hash too: when the entry in the file changes, what was remembered no longer fits. */
  function fingerprint(username: string, password: Buffer, hash: string): string {
    const mac = createHmac('sha256', key)
    for (const part of [Buffer.from(username), Buffer.from(hash), password]) {
      mac.update(`${part.length}:`).update(part)
    }
    return mac.digest('base64')
  }

  function remember(print: string): void {
    right.add(print)
    if (right.size <= rememberedMax) return
    const [oldest] = right
    right.delete(oldest!)
  }

  async function check(print: string, password: Buffer, hash: string | undefined): Promise<Verdict> {
    const { ok, outdated } = await verifyPassword(password, hash ?? nobody)
    if (!ok || hash === undefined) return 'wrong'
    remember(print)
    return outdated ? 'outdated' : 'right'
  }

  return {
    async verify(username, password, hash) {
      const print = fingerprint(username, password, hash ?? nobody)
      if (right.has(print)) return 'right'
      const same = pending.get(print)
      if (same !== undefined) return same
      if (pending.size >= pendingMax) return 'busy'
      const verdict = check(print, password, hash)
      pending.set(print, verdict)
      try {
        return await verdict
      } finally {
        pending.delete(print)
      }
    },
  }
}
