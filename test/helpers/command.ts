// Runs the command `oriole` as a process of its own.
import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Cleanup } from './broker.ts'

const cli = fileURLToPath(new URL('../../broker/cli.js', import.meta.url))

export interface CommandOptions {
  /** Standard input; without it, it is empty. */
  readonly input?: string | Buffer
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
}

export interface CommandResult {
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunningCommand {
  readonly child: ChildProcess
  readonly ended: Promise<CommandResult>
}

export function runCommand(t: Cleanup, args: readonly string[], options?: CommandOptions): Promise<CommandResult> {
  return startCommand(t, args, options).ended
}

/** It is killed after the test when it still runs. */
export function startCommand(
  t: Cleanup,
  args: readonly string[],
  { input = '', cwd, env = {} }: CommandOptions = {},
): RunningCommand {
  const child = spawn(process.execPath, [cli, ...args], { cwd, env: { ...process.env, ...env } })
  t.after(() => child.kill('SIGKILL'))
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  // A command that ends without reading its input closes the pipe; that is its right.
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const ended = new Promise<CommandResult>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (exitCode) => resolve({ exitCode, stdout, stderr }))
  })
  return { child, ended }
}
