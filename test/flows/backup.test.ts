// A backup is the data as they were at one moment, also under load, and a broker that starts on it goes on from there.
import assert from 'node:assert/strict'
import { access, readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { backupRun, leaveSessions, startOn } from '../chaos/backup.ts'
import { temporaryFolder } from '../helpers/broker.ts'
import { runCommand } from '../helpers/command.ts'
import { seeded } from '../helpers/random.ts'

const timeout = 60_000

test('backup: under load it has everything from before it, nothing from after it, and no holes', {
  timeout,
}, async (t) => {
  t.diagnostic(JSON.stringify(await backupRun(t, seeded(t))))
})

test('backup: of a stopped broker; what is damaged is not restored, and nothing is overwritten', {
  timeout,
}, async (t) => {
  const folder = await temporaryFolder(t)
  const broker = await startOn(t, folder, 'data')
  await leaveSessions(t, broker.urls[0]!)
  const socket = await stat(join(folder, 'data/oriole.sock'))
  assert.equal(socket.mode & 0o777, 0o600)
  await broker.kill('SIGTERM')
  await assert.rejects(access(join(folder, 'data/oriole.sock')))

  const oriole = (...args: string[]) => runCommand(t, args, { cwd: folder })
  const made = await oriole('backup', 'backup', '--config', 'oriole.yaml')
  assert.equal(made.exitCode, 0, made.stderr)
  assert.match(made.stdout, /^sessions +3\nsubscriptions +4$/m)
  assert.match((await oriole('backup', 'backup', '--data', 'data')).stderr, /ORI_STORE_OPEN: backup is not empty/)
  assert.match((await oriole('backup', 'data/inside', '--data', 'data')).stderr, /lies in data, which is copied/)
  assert.match((await oriole('restore', 'backup', 'data')).stderr, /ORI_STORE_OPEN: data is not empty/)
  assert.match((await oriole('restore', 'nowhere', 'new')).stderr, /ORI_STORE_OPEN: there is no data in nowhere/)
  assert.equal((await oriole('restore', 'backup')).exitCode, 2)

  const log = (await readdir(join(folder, 'backup/level'))).find((name) => name.endsWith('.log'))!
  await writeFile(join(folder, 'backup/level', log), 'not what was written')
  const refused = await oriole('restore', 'backup', 'new')
  assert.match(refused.stderr, /ORI_STORE_DAMAGED: the data in backup is damaged/)
  assert.equal(refused.exitCode, 1)
  assert.deepEqual(await readdir(join(folder, 'new')), [])
})
