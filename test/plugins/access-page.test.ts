// docs/access.md: each recipe is taken out, loaded by the real loader, and its table holds.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { accessTestSchema, runAccessTest } from '../../broker/access-test.ts'
import { readYamlFile } from '../../broker/config/yaml-file.ts'
import { makeToken } from '../../broker/password.ts'
import { readAccess } from '../../broker/plugins.ts'
import { readConfig, temporaryFolder, writeFiles } from '../helpers/plugins.ts'

const config = `plugins:
  - auth-file: { users: users.yaml }
  - groups: { file: groups.yaml }
  - acl-file: { rules: acl.yaml }
`

/** The title of each recipe with its files. */
async function recipes(): Promise<Map<string, Record<string, string>>> {
  const found = new Map<string, Record<string, string>>()
  for (const section of (await readFile('docs/access.md', 'utf8')).split(/^## Recipe: /m).slice(1)) {
    const blocks = [...section.matchAll(/^```yaml\n# (\S+)\n([\s\S]*?)^```$/gm)]
    const files = Object.fromEntries(
      blocks.map(([, name, content]) => [name!, content!.replaceAll('token$…', makeToken().hash)]),
    )
    found.set(section.split('\n', 1)[0]!, files)
  }
  return found
}

test('access page: the recipes are there, and each has rules, groups and a table', { timeout: 20_000 }, async () => {
  const all = await recipes()
  assert.deepEqual([...all.keys()], ['chat', 'devices', 'back end', 'multi-tenant by topic'])
  for (const [title, files] of all) {
    for (const name of ['groups.yaml', 'acl.yaml', 'acl-test.yaml'])
      assert.ok(files[name] !== undefined, `${title}: ${name}`)
  }
})

test('access page: what each table says holds', { timeout: 20_000 }, async (t) => {
  for (const [title, files] of await recipes()) {
    const folder = await temporaryFolder(t)
    await writeFiles(folder, { 'users.yaml': '{}\n', ...files, 'oriole.yaml': config })
    const configFile = await readConfig(folder)
    const { book, problems } = await readAccess(configFile.value, configFile, {})
    assert.deepEqual(problems, [], title)
    const table = await readYamlFile(join(folder, 'acl-test.yaml'), accessTestSchema)
    assert.deepEqual(table.problems, [], title)
    const { asked, differences } = runAccessTest(table.file!, book!)
    assert.deepEqual(differences, [], title)
    assert.ok(asked >= 12, `${title}: ${asked} questions`)
    t.diagnostic(`${title}: ${asked} questions`)
  }
})
