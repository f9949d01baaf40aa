// Where it was measured: what a reader needs to judge the figures.
import { execFile } from 'node:child_process'
import { cpus, release, totalmem } from 'node:os'
import { promisify } from 'node:util'
import { canPin, findProgram } from './programs.ts'

export interface Machine {
  readonly processor: string
  readonly memory: string
  readonly kernel: string
  readonly node: string
  readonly mosquitto: string
  readonly compiler: string
  readonly pinned: boolean
}

export async function describeMachine(node: string): Promise<Machine> {
  const all = cpus()
  return {
    processor: `${all.length} x ${all[0]?.model.trim() ?? 'unknown'}`,
    memory: `${(totalmem() / 2 ** 30).toFixed(0)} GiB`,
    kernel: `Linux ${release()}`,
    node: await firstLine(node, ['--version']),
    mosquitto: await firstLine('mosquitto', ['-h']),
    compiler: await firstLine(process.env.CC ?? 'cc', ['--version']),
    pinned: canPin,
  }
}

async function firstLine(name: string, args: readonly string[]): Promise<string> {
  const program = name.includes('/') ? name : findProgram(name)
  if (program === undefined) return 'none'
  // mosquitto prints its help and ends with 3: what counts is what it printed.
  const { stdout } = await promisify(execFile)(program, args).catch((error: { stdout?: string }) => ({
    stdout: error.stdout ?? '',
  }))
  return stdout.split('\n')[0]!.trim()
}
