// Makes a walk that differs from the model shorter: leaves out steps as long as it still differs.
import type { Step } from './steps.ts'
import { type StoreKind, type WalkResult, walk } from './walk.ts'

/** A difference that does not come back every time is tried this often. */
const attempts = 2
const patienceMs = 1_000

export async function shorten(steps: readonly Step[], store: StoreKind): Promise<WalkResult> {
  let shortest = [...steps]
  let result = await repeat(shortest, store)
  if (result.difference === undefined) return result
  for (let size = Math.ceil(shortest.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let start = 0; start < shortest.length; ) {
      const fewer = [...shortest.slice(0, start), ...shortest.slice(start + size)]
      const tried = await repeat(fewer, store)
      if (tried.difference === undefined) start += size
      else {
        shortest = fewer
        result = tried
      }
    }
  }
  return result
}

async function repeat(steps: readonly Step[], store: StoreKind): Promise<WalkResult> {
  let result = await walk(steps, store, patienceMs)
  for (let attempt = 1; attempt < attempts && result.difference === undefined; attempt += 1) {
    result = await walk(steps, store, patienceMs)
  }
  return result
}
