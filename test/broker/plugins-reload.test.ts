// The files of plugins: read live, never half, and a broken one changes nothing.
import assert from 'node:assert/strict'
import { chmod, mkdir, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { checkPlugins } from '../../broker/plugins.ts'
import {
  clientOf,
  type Loaded,
  load,
  readConfig,
  replaceFile,
  temporaryFolder,
  writeFiles,
} from '../helpers/plugins.ts'

const deadline = { timeout: 60_000 }
const config = 'plugins:\n  - auth-anonymous\n  - acl-file: { rules: acl.yaml }\n'
const publish = { topic: 'a', qos: 0, retain: false, will: false } as const

const taken = (loaded: Loaded, count: number) =>
  loaded.log.until(({ phrase }) => phrase === 'changed file is in use', count)
const refused = (loaded: Loaded, count: number) =>
  loaded.log.until(({ phrase }) => phrase.startsWith('changed file is broken'), count)
const because = async ({ hooks }: Loaded) => (await hooks.authorizePublish(clientOf('alice'), publish)).because

test('plugins: a changed file is in use at once, written in place or put in its place', deadline, async (t) => {
  const loaded = await load(t, { 'oriole.yaml': config, 'acl.yaml': '- allow: { publish: [b] }\n' })
  const path = join(loaded.folder, 'acl.yaml')
  assert.equal(await because(loaded), 'acl.yaml: no rule allows it')

  await writeFile(path, '# one more line\n- allow: { publish: [a] }\n')
  await taken(loaded, 1)
  assert.equal(await because(loaded), 'acl.yaml:2:3 allow publish a')

  await replaceFile(path, '- deny: { publish: [a] }\n')
  await taken(loaded, 2)
  assert.equal(await because(loaded), 'acl.yaml:1:3 deny publish a')

  // And again: a watch on the file itself would have followed the old one away.
  await replaceFile(path, '- allow: { publish: ["#"] }\n')
  await taken(loaded, 3)
  assert.equal(await because(loaded), 'acl.yaml:1:3 allow publish #')
})

test('plugins: a change that somebody looked at before it was in use comes into use', deadline, async (t) => {
  const loaded = await load(t, { 'oriole.yaml': config, 'acl.yaml': '- allow: { publish: [b] }\n' })
  const path = join(loaded.folder, 'acl.yaml')
  for (let change = 1; change <= 10; change += 1) {
    await writeFile(path, `- allow: { publish: [a, a${change}] }\n`)
    const plans = await Promise.all([loaded.preview(), loaded.preview()])
    for (const { problems } of plans) assert.deepEqual(problems, [])
    await taken(loaded, change)
  }
})

test('plugins: ten broken files keep the last good rules, and each is told with its place', deadline, async (t) => {
  const loaded = await load(t, { 'oriole.yaml': config, 'acl.yaml': '- allow: { publish: [a] }\n' })
  const path = join(loaded.folder, 'acl.yaml')
  const broken = [
    ['- allow: { publish: [a }\n', 'acl.yaml:1:'],
    ['allow: { publish: [a] }\n', 'acl.yaml:1:1'],
    ['- allow: { publish: [a] }\n- alow: { publish: [b] }\n', 'acl.yaml:2:3'],
    ['- allow: { publish: ["a/#/b"] }\n', 'acl.yaml:1:22'],
    ['- allow: { publish: [] }\n', 'acl.yaml:1:21'],
    ['- allow: { users: [alice] }\n', 'acl.yaml:1:10'],
    ['- allow: { publish: ["{usr}"] }\n', 'acl.yaml:1:22'],
    ['- allow: { publish: [a], qos: [3] }\n', 'acl.yaml:1:32'],
    ['- allow: { publish: [a] }\n  deny: { publish: [b] }\n', 'acl.yaml:1:3'],
    ['\n', 'acl.yaml:1:1'],
  ] as const
  for (const [content, place] of broken) {
    const before = new Set(loaded.log.lines)
    await replaceFile(path, content)
    await loaded.log.until((line) => {
      const { file, line: row, column } = line.fields
      return !before.has(line) && line.level === 'error' && `${file}:${row}:${column}`.includes(place)
    })
    assert.equal(await because(loaded), 'acl.yaml:1:3 allow publish a')
  }
  await replaceFile(path, '- deny: { publish: [a] }\n')
  await taken(loaded, 1)
  assert.equal(await because(loaded), 'acl.yaml:1:3 deny publish a')
})

test('plugins: a file that is deleted or emptied keeps the last good rules', deadline, async (t) => {
  const loaded = await load(t, { 'oriole.yaml': config, 'acl.yaml': '- allow: { publish: [a] }\n' })
  const path = join(loaded.folder, 'acl.yaml')
  await truncate(path)
  await refused(loaded, 1)
  await rm(path)
  await refused(loaded, 2)
  assert.equal(await because(loaded), 'acl.yaml:1:3 allow publish a')
  await writeFile(path, '- deny: { publish: [a] }\n')
  await taken(loaded, 1)
  assert.equal(await because(loaded), 'acl.yaml:1:3 deny publish a')
})

test('plugins: the same content again is no change', deadline, async (t) => {
  const loaded = await load(t, { 'oriole.yaml': config, 'acl.yaml': '- allow: { publish: [a] }\n' })
  const path = join(loaded.folder, 'acl.yaml')
  await replaceFile(path, '- allow: { publish: [a] }\n')
  await loaded.log.until(({ phrase }) => phrase === 'file was written again, its content is the same')
  await replaceFile(path, '- deny: { publish: [a] }\n')
  const lines = await taken(loaded, 1)
  assert.equal(lines.length, 1)
})

test(
  'plugins: users are refused from a link, a file or a folder that somebody else could change',
  deadline,
  async (t) => {
    const cases = {
      'is a symbolic link': async (folder: string) => {
        await writeFiles(folder, { 'real.yaml': '{}' })
        await symlink('real.yaml', join(folder, 'users.yaml'))
      },
      'may be written by everyone': async (folder: string) => {
        await writeFiles(folder, { 'users.yaml': '{}' })
        await chmod(join(folder, 'users.yaml'), 0o666)
      },
      'lies in a folder that everyone may write': async (folder: string) => {
        await writeFiles(folder, { 'users.yaml': '{}' })
        await chmod(folder, 0o777)
      },
    }
    for (const [problem, prepare] of Object.entries(cases)) {
      const folder = join(await temporaryFolder(t), 'config')
      await mkdir(folder)
      await writeFiles(folder, { 'oriole.yaml': 'plugins:\n  - auth-file: { users: users.yaml }\n' })
      await prepare(folder)
      const file = await readConfig(folder)
      const [found, ...more] = await checkPlugins(file.value, file, {})
      assert.match(found?.message ?? 'nothing', new RegExp(`^${problem}`))
      assert.equal(more.length, 0)
    }
  },
)
