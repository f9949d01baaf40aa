// Makes all wrong logins cost the same: one hash of each kind that the users have, whoever tries and whether there is such a user.
import { costOf, decoyHash } from '../../broker/password.ts'

/** In hashes of our own parameters: a wrong login shall keep nobody from logging in. Kinds above it are left out. */
const workMax = 8
/** As a rule there are one or two: ours, and that of the broker from which users came. */
const kindsMax = 16

export class Decoys {
  /** A hash of nobody for each kind of cost. */
  #byKind: ReadonlyMap<string, string> = withOurs()

  /** The kinds that are left out, the cheapest first. */
  follow(hashes: Iterable<string>): readonly string[] {
    const found = new Map<string, { readonly hash: string; readonly work: number }>()
    for (const hash of hashes) {
      const cost = costOf(hash)
      if (cost !== undefined) found.set(cost.kind, { hash, work: cost.work })
    }
    const byKind = withOurs()
    let workLeft = workMax - 1
    const left: string[] = []
    for (const [kind, { hash, work }] of [...found].sort(([, one], [, other]) => one.work - other.work)) {
      if (byKind.has(kind)) continue
      if (work > workLeft || byKind.size >= kindsMax) {
        left.push(kind)
        continue
      }
      byKind.set(kind, decoyHash(hash))
      workLeft -= work
    }
    this.#byKind = byKind
    return left
  }

  /** What is hashed after this one was wrong; undefined: there is no such user. */
  *beside(hash: string | undefined): Iterable<string> {
    const own = hash === undefined ? undefined : costOf(hash)?.kind
    for (const [kind, decoy] of this.#byKind) if (kind !== own) yield decoy
  }
}

function withOurs(): Map<string, string> {
  const ours = decoyHash()
  return new Map([[costOf(ours)!.kind, ours]])
}
