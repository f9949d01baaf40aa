// Starts real brokers for tests: in this process, or in one of their own that can be killed.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import { startOriole } from '../../broker/main.ts'
import type { Running } from '../../broker/running.ts'

/** On free ports, everyone may do everything, nothing on disk. */
export const openConfig = `
node: test
listeners:
  - { name: tcp, type: tcp, port: 0 }
  - { name: ws, type: ws, port: 0 }
store: { type: memory }
admin: { enabled: false }
plugins: [auth-anonymous, acl-open]
`

export interface TestBroker {
  readonly running: Running
  /** Of the listener with this name. */
  port(listener?: string): number
  /** `mqtt://127.0.0.1:PORT` of the listener with this name. */
  url(listener?: string): string
  stop(): Promise<void>
}

/** A test, or whatever else cleans up behind what it starts. */
export interface Cleanup {
  after(release: () => unknown): void
}

/** A folder that is gone after the test. */
export async function temporaryFolder(t: Cleanup): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'oriole-test-'))
  t.after(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }))
  return folder
}

/** In this process; it logs nothing, and is stopped after the test. */
export async function startBroker(t: TestContext, config = openConfig, folder?: string): Promise<TestBroker> {
  const configPath = join(folder ?? (await temporaryFolder(t)), 'oriole.yaml')
  await writeFile(configPath, config)
  const running = await startOriole({ configPath, env: process.env, log: pino({ level: 'silent' }) })
  t.after(() => running.stop())
  const find = (name: string): Running['listeners'][number] => {
    const found = running.listeners.find((listener) => listener.name === name)
    if (found === undefined) throw new Error(`no listener "${name}"`)
    return found
  }
  return {
    running,
    port: (name = 'tcp') => find(name).port,
    url: (name = 'tcp') => find(name).url,
    stop: () => running.stop(),
  }
}

export interface BrokerProcess {
  readonly child: ChildProcess
  /** Listeners' addresses, in the order of the config. */
  readonly urls: readonly string[]
  /** What it printed up to now, log lines included. */
  output(): string
  /** Resolves with the exit code or the signal. */
  kill(signal: NodeJS.Signals): Promise<number | NodeJS.Signals>
}

const cli = fileURLToPath(new URL('../../broker/cli.js', import.meta.url))

/**
 * In a process of its own, through the command line; resolves when it listens. `launcher`: a program with its arguments
 * that runs the command line, and becomes it.
 */
export async function spawnBroker(
  t: Cleanup,
  configPath: string,
  cwd: string,
  launcher: readonly string[] = [],
): Promise<BrokerProcess> {
  // Node's flags that the command has in its first line.
  const flags = (await readFile(cli, 'utf8')).split('\n', 1)[0]!.match(/--\w\S*/g) ?? []
  const [program, ...args] = [...launcher, process.execPath, ...flags, cli, 'start', '--config', configPath]
  const child = spawn(program!, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
  t.after(() => child.kill('SIGKILL'))
  let output = ''
  child.stderr.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  const ready = new Promise<readonly string[]>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      output += `${line}\n`
      if (line.startsWith('{') && line.includes('"msg":"ready"'))
        resolve((JSON.parse(line) as { listeners: string[] }).listeners)
    })
    child.once('exit', (code) => reject(new Error(`the broker ended with ${code}:\n${output}`)))
  })
  return {
    child,
    urls: await ready,
    output: () => output,
    async kill(signal) {
      if (child.exitCode !== null) return child.exitCode
      if (child.signalCode !== null) return child.signalCode
      const ended = once(child, 'exit')
      child.kill(signal)
      const [code, by] = (await ended) as [number | null, NodeJS.Signals | null]
      return code ?? by ?? 0
    },
  }
}
