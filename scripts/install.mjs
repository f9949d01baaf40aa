// Installs the dependencies when they are missing or older than the lock file. Plain Node: nothing is there before it.
import { spawnSync } from 'node:child_process'
import { existsSync, statSync, utimesSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = join(dirname(fileURLToPath(import.meta.url)), '..')

export function installWhenNeeded() {
  const lock = join(root, 'package-lock.json')
  const installed = join(root, 'node_modules/.package-lock.json')
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs) return
  say('installing dependencies (npm install)')
  // Not `npm ci`: it refuses a lock file that lacks optional packages for other platforms, which a registry may not have.
  // `include=dev`: the compiler is needed whatever NODE_ENV says.
  const args = ['install', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error']
  const npm = process.env.npm_execpath
  if (npm?.endsWith('.js')) run(process.execPath, [npm, ...args])
  else run('npm', args)
  const now = new Date()
  utimesSync(installed, now, now)
}

/** Runs a program in this terminal; ends this process with its exit code when it fails. */
export function run(program, args, options = {}) {
  const { status, error, signal } = spawnSync(program, args, { cwd: root, stdio: 'inherit', ...options })
  if (error !== undefined) fail(`${program} cannot be run: ${error.message}`)
  if (status !== 0)
    fail(`${[program, ...args].slice(0, 3).join(' ')} ended with ${signal ?? `exit code ${status}`}`, status ?? 1)
}

/** On standard error, so that what follows on standard output is the program's own. */
export function say(text) {
  process.stderr.write(`oriole: ${text}\n`)
}

export function fail(text, exitCode = 1) {
  say(text)
  process.exit(exitCode)
}

const [major] = process.versions.node.split('.').map(Number)
if (major < 20) fail(`Node.js 20 or newer is needed; this is ${process.versions.node}`)
