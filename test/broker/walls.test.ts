// The walls between the rooms stand: the linter refuses an import that crosses one.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cp, mkdir, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { temporaryFolder } from '../helpers/broker.ts'

const root = process.cwd()

const planted: readonly (readonly [file: string, imported: string, allowed: boolean])[] = [
  ['broker/store/planted.ts', '../engine/broker.ts', false],
  ['broker/store/planted.ts', '../delivery/session.ts', false],
  ['broker/delivery/planted.ts', '../store/level.ts', false],
  ['broker/delivery/planted.ts', '../store/store.ts', true],
  ['broker/protocol/planted.ts', 'aedes', false],
  ['broker/protocol/planted.ts', '../engine/sessions.ts', false],
  ['broker/engine/planted.ts', 'aedes', true],
  ['broker/engine/planted.ts', '../listeners/tls.ts', false],
  ['broker/router/planted.ts', '../protocol/connection.ts', false],
  ['broker/config/planted.ts', '../main.ts', false],
  ['plugins/planted.ts', '../broker/store/store.ts', false],
  ['plugins/planted.ts', '../broker/plugin.ts', true],
  ['plugins/planted.ts', '../broker/password.ts', true],
  ['plugins/planted.ts', '../broker/scram.ts', true],
  ['plugins/planted.ts', '../broker/hooks.ts', false],
]

for (const [file, imported, allowed] of planted) {
  test(`walls: ${dirname(file)} ${allowed ? 'may' : 'may not'} import ${imported}`, { timeout: 30_000 }, async (t) => {
    const folder = await temporaryFolder(t)
    await cp(join(root, 'biome.json'), join(folder, 'biome.json'))
    await cp(join(root, '.gitignore'), join(folder, '.gitignore'))
    await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
    await mkdir(join(folder, dirname(file)), { recursive: true })
    await writeFile(join(folder, file), `// Planted.\nimport { a } from '${imported}'\n\nconsole.log(a)\n`)
    const { stdout, stderr, status } = spawnSync(join(root, 'node_modules/.bin/biome'), ['lint', '.'], {
      cwd: folder,
      encoding: 'utf8',
    })
    const refused = `${stdout}${stderr}`.includes('noRestrictedImports')
    assert.equal(refused, !allowed, `${stdout}${stderr}`)
    assert.equal(status === 0, allowed)
  })
}
