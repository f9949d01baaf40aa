// What the kernel tells of a process: its memory, its CPU time.
import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as wait } from 'node:timers/promises'
import type { RunningBroker } from './brokers/broker.ts'

export interface Resident {
  readonly nowBytes: number
  readonly peakBytes: number
}

export async function resident(pid: number): Promise<Resident> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return { nowBytes: kilobytes(status, 'VmRSS') * 1024, peakBytes: kilobytes(status, 'VmHWM') * 1024 }
}

/** Resident bytes, left alone until they move by less than half a percent in 8 s; at the latest after 45 s. */
export function settled({ pid }: RunningBroker): Promise<number> {
  return steady(pid, 8, 45, async () => {})
}

/** The same with a garbage collection asked for before each look: what is in use, and nothing else. */
export function collected({ pid, collectGarbage = async () => {} }: RunningBroker): Promise<number> {
  return steady(pid, 5, 30, collectGarbage)
}

async function steady(pid: number, looks: number, looksMax: number, before: () => Promise<void>): Promise<number> {
  const seen: number[] = []
  while (seen.length < looksMax) {
    await before()
    seen.push((await resident(pid)).nowBytes)
    const last = seen.slice(-looks)
    if (last.length === looks && Math.max(...last) - Math.min(...last) < Math.max(...last) / 200) break
    await wait(1_000)
  }
  return seen.at(-1)!
}

/** CPU time of all threads, in microseconds: finer than the ticks of /proc/PID/stat. */
export async function cpuTimeUs(pid: number): Promise<number> {
  const threads = await readdir(`/proc/${pid}/task`)
  const times = await Promise.all(threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/schedstat`, 'utf8')))
  return times.reduce((sum, text) => sum + Number(text.split(' ')[0]), 0) / 1_000
}

function kilobytes(status: string, name: string): number {
  const found = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)
  if (found === null) throw new Error(`the kernel tells no ${name}`)
  return Number(found[1])
}
