// Checks passwords against hashes, and remembers what was right: scrypt costs 40 ms, a remembered answer microseconds.
import { createHmac, randomBytes } from 'node:crypto'
import { isTokenHash, verifyPassword, verifyToken } from '../../broker/password.ts'
import { Decoys } from './decoy-hashes.ts'
import { HashQueue } from './hash-queue.ts'

/** Remembered logins, 100 bytes each; the oldest is forgotten, which costs its user one hash at the next login. */
const rememberedMax = 100_000
/** Hashes for one user at once. One more is told that the server is busy, and tried again; it does not count as failed. */
const pendingOfUserMax = 10

export type Verdict = 'right' | 'wrong' | 'outdated' | 'busy'

export interface Verifier {
  /** At once what is remembered. Takes as long for an unknown user (`hash` undefined) as for a wrong password. */
  verify(username: string, password: Buffer, hash: string | undefined): Verdict | Promise<Verdict>
  /** Those that `verify` will be given. The kinds whose time will tell that their users exist: they cost too much. */
  follow(hashes: Iterable<string>): readonly string[]
}

export function createVerifier(): Verifier {
  // Nothing that was remembered is of use to anyone without this key, and it never leaves the process.
  const key = randomBytes(32)
  const decoys = new Decoys()
  const right = new Set<string>()
  const pending = new Map<string, Promise<Verdict>>()
  const pendingOfUser = new Map<string, number>()
  const queue = new HashQueue()

  /** Holds the hash too: when the entry in the file changes, what was remembered no longer fits. */
  function fingerprint(username: string, password: Buffer, hash: string): string {
    const names = `${Buffer.byteLength(username)}:${username}${Buffer.byteLength(hash)}:${hash}`
    return createHmac('sha256', key).update(names).update(password).digest('base64')
  }

  function remember(print: string): void {
    right.add(print)
    if (right.size <= rememberedMax) return
    const [oldest] = right
    right.delete(oldest!)
  }

  async function check(print: string, password: Buffer, hash: string | undefined): Promise<Verdict> {
    const { ok, outdated } = hash === undefined ? nobody : await verifyPassword(password, hash)
    if (!ok) {
      for (const decoy of decoys.beside(hash)) await verifyPassword(password, decoy)
      return 'wrong'
    }
    remember(print)
    return outdated ? 'outdated' : 'right'
  }

  async function finished(
    username: string,
    print: string,
    verdict: Promise<Verdict>,
    isKnown: boolean,
  ): Promise<Verdict> {
    pendingOfUser.set(username, (pendingOfUser.get(username) ?? 0) + 1)
    pending.set(print, verdict)
    try {
      const answer = await verdict
      if (answer === 'wrong') queue.wrong(username, isKnown)
      return answer
    } finally {
      pending.delete(print)
      const left = (pendingOfUser.get(username) ?? 1) - 1
      if (left === 0) pendingOfUser.delete(username)
      else pendingOfUser.set(username, left)
    }
  }

  return {
    follow: (hashes) => decoys.follow(hashes),
    verify(username, password, given) {
      if (given !== undefined && isTokenHash(given) && verifyToken(password, given)) return 'right'
      // A wrong token takes as long as a wrong password.
      const hash = given !== undefined && isTokenHash(given) ? undefined : given
      const print = fingerprint(username, password, hash ?? '')
      if (right.has(print)) return 'right'
      const same = pending.get(print)
      if (same !== undefined) return same
      const ofUser = pendingOfUser.get(username) ?? 0
      if (ofUser >= pendingOfUserMax) return 'busy'
      const work = () => check(print, password, hash)
      const verdict =
        given !== undefined
          ? queue.run(username, ofUser > 0, work, isWrong)
          : queue.isBusy && queue.canPretend(username)
            ? queue.pretend(username)?.then((): Verdict => 'wrong')
            : queue.runForNobody(username, work, isWrong)
      return verdict === undefined ? 'busy' : finished(username, print, verdict, given !== undefined)
    },
  }
}

const nobody = { ok: false, outdated: false }

function isWrong(verdict: Verdict): boolean {
  return verdict === 'wrong'
}
