// Parts of a range of keys, found by halving it between its ends: nobody need know which keys there are.
import type { KeyRange } from './keys.ts'

/** Of a key that stands between two others; what has to be told apart by more is one part. */
const keyBytesMax = 256

/** In the order of the keys, without gaps, each of about `partBytes` at most. `sizeOf`: in bytes, about. */
export async function partsOf(
  range: KeyRange,
  partBytes: number,
  sizeOf: (range: KeyRange) => Promise<number>,
): Promise<KeyRange[]> {
  const parts: { range: KeyRange; bytes: number }[] = []
  const waiting = [{ range, bytes: await sizeOf(range) }]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { gte, lt } = next.range
    const middle = next.bytes > partBytes ? between(gte, lt) : undefined
    if (middle !== undefined) {
      const first = { gte, lt: middle }
      const bytes = await sizeOf(first)
      waiting.push({ range: { gte: middle, lt }, bytes: next.bytes - bytes }, { range: first, bytes })
      continue
    }
    const last = parts.at(-1)
    if (last !== undefined && last.bytes + next.bytes <= partBytes) {
      last.range = { gte: last.range.gte, lt }
      last.bytes += next.bytes
    } else parts.push(next)
  }
  return parts.map((part) => part.range)
}

/** Half way from one key to the other, as if they were digits behind a point. Undefined: too long. */
function between(gte: Buffer, lt: Buffer): Buffer | undefined {
  const length = Math.max(gte.length, lt.length) + 1
  if (length > keyBytesMax) return undefined
  const half = (numberOf(gte, length) + numberOf(lt, length)) / 2n
  const digits = half.toString(16).padStart(length * 2, '0')
  return Buffer.from(digits.replace(/(00)+$/, ''), 'hex')
}

function numberOf(key: Buffer, length: number): bigint {
  return BigInt(`0x${key.toString('hex').padEnd(length * 2, '0')}`)
}
