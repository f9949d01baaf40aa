// `oriole start`: what it prints, and that the two lines to copy do what they say.
import assert from 'node:assert/strict'
import { exec } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type TestContext, test } from 'node:test'
import { temporaryFolder } from '../helpers/broker.ts'
import { type RunningCommand, runCommand, startCommand } from '../helpers/command.ts'

const timeout = 60_000

const config = (port = 0, log = '{}'): string => `
listeners:
  - { name: tcp, type: tcp, port: ${port} }
store: { type: level, path: ./data }
admin: { port: 0 }
log: ${log}
plugins: [{ auth-file: { users: users.yaml } }, { acl-file: { rules: acl.yaml } }]
`

async function prepareFolder(t: TestContext, text: string): Promise<string> {
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'oriole.yaml'), text)
  await writeFile(join(folder, 'users.yaml'), '')
  await writeFile(join(folder, 'acl.yaml'), '- allow: { subscribe: ["im/u/{user}/#"], publish: ["im/u/+/{user}"] }\n')
  return folder
}

/** The lines of the stream up to the last of the two to copy. */
async function bannerOf({ child }: RunningCommand, stream: 'stdout' | 'stderr' = 'stdout'): Promise<string[]> {
  const lines: string[] = []
  for await (const line of createInterface({ input: child[stream]! })) {
    lines.push(line)
    if (/^ {2}.* pub /.test(line)) return lines
  }
  throw new Error(`no banner:\n${lines.join('\n')}`)
}

async function terminate({ child }: RunningCommand): Promise<number | null> {
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  return ((await ended) as [number | null])[0]
}

test('start: it says where it listens, where the data lies, and the password once', { timeout }, async (t) => {
  const folder = await prepareFolder(t, config())
  const first = startCommand(t, ['start'], { cwd: folder })
  const banner = (await bannerOf(first)).join('\n')
  assert.match(banner, /^ {2}listens {2}mqtt:\/\/127\.0\.0\.1:\d+ {2}\(tcp\)$/m)
  assert.match(banner, /^ {2}admin {4}http:\/\/127\.0\.0\.1:\d+/m)
  assert.ok(banner.includes(`  data     ${join(folder, 'data')}  (durability disk`), banner)
  const password = /^ {2}user {5}admin, password (\S{16,}) /m.exec(banner)?.[1]
  assert.ok(password !== undefined, banner)
  // Once beside the user, and once in each of the two lines.
  assert.equal(banner.split(password).length, 4)
  assert.equal(await terminate(first), 0)

  const second = startCommand(t, ['start'], { cwd: folder })
  const again = (await bannerOf(second)).join('\n')
  assert.doesNotMatch(again, /password \S{16,}/)
  assert.match(again, /they ask for the password of admin/)
  assert.equal(await terminate(second), 0)
})

test('start: the two lines to copy send and show a first message', { timeout }, async (t) => {
  const folder = await prepareFolder(t, config())
  const broker = startCommand(t, ['start'], { cwd: folder })
  const [subscribe, publish] = (await bannerOf(broker)).slice(-2).map((line) => line.trim())
  const shell = exec(subscribe!, { cwd: folder })
  t.after(() => shell.kill('SIGKILL'))
  const shown = once(createInterface({ input: shell.stdout! }), 'line')
  // Nobody can see from outside when the subscription stands, so the message is sent until it is shown.
  let seen = false
  void shown.then(() => {
    seen = true
  })
  while (!seen) {
    const sent = exec(publish!, { cwd: folder })
    assert.equal(((await once(sent, 'exit')) as [number])[0], 0)
  }
  assert.deepEqual(await shown, ['im/u/admin/admin Hello'])
  assert.equal(await terminate(broker), 0)
})

test('start: with log.format json, standard output is nothing but JSON lines', { timeout }, async (t) => {
  const folder = await prepareFolder(t, config(0, '{ format: json }'))
  const command = startCommand(t, ['start'], { cwd: folder })
  assert.match((await bannerOf(command, 'stderr')).join('\n'), /^ {2}user {5}admin, password \S{16,} /m)
  assert.equal(await terminate(command), 0)
  const { stdout } = await command.ended
  assert.notEqual(stdout, '')
  for (const line of stdout.trimEnd().split('\n')) assert.equal(typeof JSON.parse(line).msg, 'string', line)
})

test('start: two signals end a start that waits for a Redis that hangs', { timeout }, async (t) => {
  const silent = createServer().listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.after(() => silent.close())
  const { port } = silent.address() as { port: number }
  const cluster = `cluster: { key: a key for tests only, redis: { port: ${port} } }\n`
  const folder = await prepareFolder(t, `${config(0, '{ level: silent }')}${cluster}`)
  const { child, ended } = startCommand(t, ['start'], { cwd: folder })
  await once(silent, 'connection')
  child.kill('SIGTERM')
  child.kill('SIGHUP')
  const { exitCode, stderr } = await ended
  assert.deepEqual([exitCode, stderr], [1, 'oriole: interrupted during the start\n'])
})

test('start: a port that is taken is one line with the code, the listener and the way out', { timeout }, async (t) => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.after(() => other.close())
  const { port } = other.address() as { port: number }
  const folder = await prepareFolder(t, config(port, '{ level: silent }'))
  const { exitCode, stderr } = await runCommand(t, ['start'], { cwd: folder })
  assert.equal(exitCode, 1)
  assert.equal(stderr, `oriole: ORI_PORT_TAKEN: port ${port} is taken (listener "tcp"); set listeners.0.port\n`)
})
