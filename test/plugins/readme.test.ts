// plugins/README.md: its example is taken out, compiled by the real compiler, loaded and asked.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, readFile, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { clientOf, load, temporaryFolder, writeFiles } from '../helpers/plugins.ts'

const run = promisify(execFile)

test('plugins: the example in plugins/README.md compiles, loads and does what it says', {
  timeout: 120_000,
}, async (t) => {
  const [example, ...more] = [...(await readFile('plugins/README.md', 'utf8')).matchAll(/^```ts\n(.*?)^```$/gms)]
  assert.ok(example?.[1] !== undefined && more.length === 0, 'one example')

  // A checkout in small: the example beside the real contract, with the settings of the house.
  const folder = await temporaryFolder(t)
  await mkdir(join(folder, 'broker'))
  for (const file of ['plugin.ts', 'plugin-access.ts', 'message.ts']) {
    await symlink(resolve('broker', file), join(folder, 'broker', file))
  }
  await symlink(resolve('node_modules'), join(folder, 'node_modules'))
  const settings = JSON.parse(await readFile('tsconfig.json', 'utf8')) as { compilerOptions: object }
  await writeFiles(folder, {
    'package.json': '{ "type": "module" }',
    'plugins/office-hours.ts': example[1],
    'tsconfig.json': JSON.stringify({
      compilerOptions: {
        ...settings.compilerOptions,
        incremental: false,
        tsBuildInfoFile: null,
        preserveSymlinks: true,
      },
      include: ['plugins'],
    }),
    'oriole.yaml': `plugins:
  - ./dist/plugins/office-hours.js: { hours: hours.yaml, hour: 3 }
  - acl-open
`,
    'hours.yaml': 'shop/orders: { from: 8, to: 18 }\nshop/night: { from: 0, to: 6 }\n',
  })
  const compiler = join(dirname(createRequire(resolve('package.json')).resolve('typescript/package.json')), 'bin/tsc')
  await run(process.execPath, [compiler, '-p', folder]).catch((error: { stdout: string }) => assert.fail(error.stdout))

  const { hooks } = await load(t, {}, folder)
  const ask = (topic: string) =>
    hooks.authorizePublish(clientOf('alice'), { topic, qos: 0, retain: false, will: false })
  assert.deepEqual(await ask('shop/orders'), {
    allow: false,
    because: `${join(folder, 'hours.yaml')}:1:14 closed at this hour`,
  })
  assert.equal((await ask('shop/night')).allow, true)
  assert.equal((await ask('other')).allow, true)
})
