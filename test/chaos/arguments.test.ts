// The commands of the long runs: what is wrong is named with the usage, before anything runs.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const mistakes = [
  ['chaos', ['nope'], 'there is no "nope"'],
  ['chaos', ['kill', '--runs', 'x'], '--runs x: not a number of at least 1'],
  ['walk', ['--foo'], "Unknown option '--foo'"],
  ['fuzz', ['--minutes'], "Option '--minutes <value>' argument missing"],
] as const

test('long runs: a mistake in what they are told is one line and the usage', () => {
  for (const [tool, args, expected] of mistakes) {
    const main = fileURLToPath(new URL(`../${tool}/main.js`, import.meta.url))
    const { status, stderr, stdout } = spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' })
    assert.deepEqual([status, stdout], [2, ''])
    assert.ok(stderr.startsWith(`${expected}\n\nusage: npm run ${tool} -- `), stderr)
  }
})
