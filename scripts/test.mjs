// `npm test`: all of its own set-up, then the linter and the tests. `npm test -- NAME` runs the files with NAME in
// their path; what begins with `--` goes to Node's test runner.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join, relative } from 'node:path'
import { build, filesBelow } from './build.mjs'
import { fail, installWhenNeeded, root, run, say } from './install.mjs'

const names = process.argv.slice(2).filter((argument) => !argument.startsWith('--'))
const flags = process.argv.slice(2).filter((argument) => argument.startsWith('--'))

installWhenNeeded()
await build()
if (names.length === 0) run(process.execPath, [join(root, 'node_modules/@biomejs/biome/bin/biome'), 'check', '.'])
installTools()
runTests()

/** Programs that the tests use, and the Debian packages that hold them. */
function installTools() {
  const tools = {
    mosquitto_pub: 'mosquitto-clients',
    openssl: 'openssl',
    'redis-server': 'redis-server',
    strace: 'strace',
    // A library: Debian's Python looks for it here.
    '/usr/lib/python3/dist-packages/paho': 'python3-paho-mqtt',
  }
  const missing = Object.keys(tools).filter((tool) => !(tool.startsWith('/') ? existsSync(tool) : isThere(tool)))
  if (missing.length === 0) return
  const packages = missing.map((tool) => tools[tool])
  const isRoot = process.getuid?.() === 0
  if (!isRoot || !isThere('apt-get')) {
    fail(`the tests need ${missing.join(', ')}; install them, on Debian: sudo apt-get install ${packages.join(' ')}`)
  }
  say(`installing ${packages.join(', ')} for the tests`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  run('apt-get', ['update', '-qq'], { env, stdio: ['ignore', 'ignore', 'inherit'] })
  run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], {
    env,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
}

function isThere(program) {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin']
  return folders.some((folder) => existsSync(join(folder, program)))
}

/** Node 20 takes no globs: the files are named one by one. */
function runTests() {
  const all = filesBelow(join(root, 'dist/test')).filter((file) => file.endsWith('.test.js'))
  const files = all
    .map((file) => relative(root, file))
    .filter((file) => names.length === 0 || names.some((name) => file.includes(name.replace(/\.ts$/, '.js'))))
    .sort()
  if (files.length === 0) fail(`no test file has ${names.join(' or ')} in its path`)
  // Two at a time: the tests measure time, and the machine may have two cores.
  const args = ['--test', '--test-concurrency=2', '--test-reporter=spec', ...fileTimeout(), ...flags, ...files]
  const { status, signal } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' })
  if (signal !== null) say(`the test run was ended by ${signal}`)
  process.exit(status ?? 1)
}

/** Each test has a timeout, but not what it does to clean up: a file that hangs there is named and ended. */
function fileTimeout() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  return major > 20 || minor >= 11 ? ['--test-timeout=600000'] : []
}
