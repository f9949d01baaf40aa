// Seals what crosses Redis: nodes of one cluster know their own bytes, and nothing else gets any further.
import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto'

/** What the bytes are for; each purpose has a key of its own, so that nothing is valid in another place. */
export type SealPurpose = 'bus' | 'stream' | 'lease'

export interface SealConfig {
  /** Of the cluster. */
  readonly name: string
  /** The secret that all nodes share, at least 16 bytes. */
  readonly key: string
}

/** HMAC-SHA256, cut to 16 bytes. `context` says where the bytes belong, for example [target node, kind]. */
export interface Seal {
  /** The seal and then the body, in one piece. */
  seal(context: readonly string[], body: Buffer): Buffer
  /** The body, a view into `sealed`; undefined: not ours, or it belongs to another place. Never throws. */
  open(context: readonly string[], sealed: Buffer): Buffer | undefined
}

export const sealBytes = 16

export function createSeal({ name, key }: SealConfig, purpose: SealPurpose): Seal {
  const secret = Buffer.from(hkdfSync('sha256', key, `oriole cluster ${name}`, purpose, 32))
  const tag = (context: readonly string[], body: Buffer): Buffer =>
    createHmac('sha256', secret).update(contextBytes(context)).update(body).digest().subarray(0, sealBytes)
  return {
    seal: (context, body) => Buffer.concat([tag(context, body), body]),
    open: (context, sealed) => {
      if (sealed.length < sealBytes) return undefined
      const body = sealed.subarray(sealBytes)
      return timingSafeEqual(tag(context, body), sealed.subarray(0, sealBytes)) ? body : undefined
    },
  }
}

/** JSON keeps the parts apart: ["a", "bc"] is not ["ab", "c"]. The line end cannot stand in it, so the body begins after it. */
function contextBytes(context: readonly string[]): string {
  return `${JSON.stringify(context)}\n`
}
