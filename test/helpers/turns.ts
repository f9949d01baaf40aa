// How long the loop gave nobody else a turn, in milliseconds of work of its thread: what other processes take of the
// processor does not count, and neither do the threads of the collector, which hold nobody up.
import { openSync, readSync } from 'node:fs'

/** Of the thread that reads it; the kernel counts in steps of up to 4 ms. It ends with the process. */
const schedstat = openSync('/proc/thread-self/schedstat', 'r')
const bytes = Buffer.alloc(64)

function workedMs(): number {
  const length = readSync(schedstat, bytes, 0, bytes.length, 0)
  return Number(bytes.toString('latin1', 0, length).split(' ')[0]) / 1e6
}

/** The longest time without a turn, from now until it is asked for. */
export function watchTurns(): () => number {
  let longest = 0
  let last = workedMs()
  let next: NodeJS.Immediate
  const turn = () => {
    const now = workedMs()
    longest = Math.max(longest, now - last)
    last = now
    next = setImmediate(turn)
  }
  turn()
  return () => {
    clearImmediate(next)
    return Math.max(longest, workedMs() - last)
  }
}
