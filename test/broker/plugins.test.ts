// The plugin loader on real files: names, paths, packages, settings, start and stop.
import assert from 'node:assert/strict'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { formatProblem, type Problem } from '../../broker/config/problem.ts'
import { OrioleError } from '../../broker/errors.ts'
import { checkPlugins, loadPlugins } from '../../broker/plugins.ts'
import { clientOf, load, notes, readConfig, temporaryFolder, writeFiles } from '../helpers/plugins.ts'

const deadline = { timeout: 30_000 }
const publish = { topic: 'a', qos: 0, retain: false, will: false } as const

/** A plugin in JavaScript, as somebody would put it beside the config; zod is found through the loader's own copy. */
const zodUrl = import.meta.resolve('zod')
function pluginSource(name: string, body: string, schema = 'z.strictObject({})', exported = 'export default'): string {
  return `import { z } from ${JSON.stringify(zodUrl)}
${exported} { name: '${name}', config: ${schema}, setup(broker, config) { ${body} } }`
}

async function problemsIn(folder: string): Promise<string[]> {
  const config = await readConfig(folder)
  const problems = await checkPlugins(config.value, config, {})
  return problems.map((problem) => formatProblem(problem).replace(`${folder}/`, ''))
}

test('plugins: shipped names are found, with and without settings, and keep their order', deadline, async (t) => {
  const { hooks } = await load(t, { 'oriole.yaml': 'plugins:\n  - auth-anonymous\n  - acl-open: { sys: true }\n' })
  const client = clientOf('alice')
  assert.equal((await hooks.authorizePublish(client, publish)).allow, true)
  assert.equal((await hooks.authorizeSubscribe(client, { filter: '$SYS/#', qos: 0, share: undefined })).allow, true)
})

test('plugins: a path is relative to the config file, and the export may be named plugin', deadline, async (t) => {
  const body = `return { authorizePublish: () => ({ allow: true, because: config.word }) }`
  const schema = 'z.strictObject({ word: z.string() })'
  const { hooks } = await load(t, {
    'mine/own.js': pluginSource('own', body, schema, 'export const plugin ='),
    'package.json': '{ "type": "module" }',
    'oriole.yaml': 'plugins:\n  - ./mine/own.js: { word: hello }\n',
  })
  assert.deepEqual(await hooks.authorizePublish(clientOf('alice'), publish), { allow: true, because: 'hello' })
})

test('plugins: an npm package that stands beside the config file is found', deadline, async (t) => {
  const { hooks } = await load(t, {
    'node_modules/acl-mine/package.json': '{ "name": "acl-mine", "type": "module", "main": "main.js" }',
    'node_modules/acl-mine/main.js': pluginSource(
      'acl-mine',
      `return { authorizePublish: () => ({ allow: true, because: 'package' }) }`,
    ),
    'oriole.yaml': 'plugins: [acl-mine]\n',
  })
  assert.equal((await hooks.authorizePublish(clientOf('alice'), publish)).because, 'package')
})

test('plugins: every problem of every plugin is told at once, each with its place', deadline, async (t) => {
  const folder = await temporaryFolder(t)
  await writeFiles(folder, {
    'oriole.yaml': `plugins:
  - auth-fil
  - acl-open: { sis: true }
  - acl-file:
      rules: acl.yaml
  - groups: { file: 7 }
  - ./gone.js
  - ./empty.js
  - ./damaged.js
  - auth-anonymous
  - presence: { topic: "im/#" }
  - auth-anonymous
  - auth-file: { users: nowhere.yaml }
  - fs
  - "data:text/javascript,1"
`,
    'package.json': '{ "type": "module" }',
    'empty.js': 'export default {}',
    'damaged.js': 'export default (',
    'acl.yaml': '- allow: { publish: ["a/#/b"] }\n- alow: {}\n- deny: { users: [x] }\n',
  })
  const problems = await problemsIn(folder)
  const expected = [
    /^oriole\.yaml:2:5: there is no plugin "auth-fil"; did you mean "auth-file"\?$/,
    /^oriole\.yaml:3:17: acl-open\.sis: is not a setting; did you mean "sys"\?$/,
    /^acl\.yaml:1:22: 0\.allow\.publish\.0: "a\/#\/b" is no topic filter: "#" may only be the whole last level$/,
    /^acl\.yaml:2:3: 1\.alow: is not a setting; did you mean "allow"\?$/,
    /^acl\.yaml:3:9: 2\.deny: says nothing/,
    /^oriole\.yaml:6:21: groups\.file: must be text, not a number$/,
    /^oriole\.yaml:7:5: there is no file .*gone\.js/,
    /^oriole\.yaml:8:5: "\.\/empty\.js" is no plugin/,
    /^oriole\.yaml:9:5: the plugin "\.\/damaged\.js" cannot be loaded: /,
    /^oriole\.yaml:11:24: presence\.topic: must contain \{user\}$/,
    /^oriole\.yaml:11:24: presence\.topic: must not contain "\+" or "#"$/,
    /^oriole\.yaml:12:5: auth-anonymous stands here a second time; keep one$/,
    /^nowhere\.yaml:1:1: there is no such file$/,
    /^oriole\.yaml:14:5: there is no plugin "fs"; there are /,
    /^oriole\.yaml:15:5: there is no plugin "data:text\/javascript,1"; there are /,
  ]
  for (const [index, pattern] of expected.entries()) assert.match(problems[index] ?? 'nothing', pattern)
  assert.equal(problems.length, expected.length, problems.join('\n'))
})

test('plugins: loading refuses what checking finds, with the problems as the cause', deadline, async (t) => {
  const folder = await temporaryFolder(t)
  await writeFiles(folder, { 'oriole.yaml': 'plugins: [nobody, nothing]\n' })
  const config = await readConfig(folder)
  await assert.rejects(loadPlugins(config.value, config, notes(folder).dependencies), (error) => {
    assert.ok(error instanceof OrioleError)
    assert.equal(error.code, 'ORI_CONFIG_INVALID')
    assert.equal((error.cause as Problem[]).length, 2)
    return true
  })
})

test(
  'plugins: a failing setup stops the start, names the plugin and releases what was acquired',
  deadline,
  async (t) => {
    const folder = await temporaryFolder(t)
    await writeFiles(folder, {
      'package.json': '{ "type": "module" }',
      'first.js': pluginSource('first', `broker.onStop(() => broker.announce('first released')); return {}`),
      'second.js': pluginSource(
        'second',
        `broker.onStop(() => broker.announce('second released')); throw new Error('no backend at 10.0.0.1')`,
      ),
      'oriole.yaml': 'plugins: [./first.js, ./second.js]\n',
    })
    const config = await readConfig(folder)
    const noted = notes(folder)
    await assert.rejects(loadPlugins(config.value, config, noted.dependencies), {
      code: 'ORI_PLUGIN_SETUP',
      message: 'the plugin "second" failed to start: no backend at 10.0.0.1',
    })
    assert.deepEqual(noted.announced, ['second released', 'first released'])
  },
)

test('plugins: a misspelt hook is refused at the start', deadline, async (t) => {
  const folder = await temporaryFolder(t)
  await writeFiles(folder, {
    'package.json': '{ "type": "module" }',
    'own.js': pluginSource('own', 'return { authorizePublsh() {} }'),
    'oriole.yaml': 'plugins: [./own.js]\n',
  })
  const config = await readConfig(folder)
  await assert.rejects(loadPlugins(config.value, config, notes(folder).dependencies), {
    code: 'ORI_PLUGIN_SETUP',
    message: /"authorizePublsh", which is no hook; did you mean "authorizePublish"\?/,
  })
})

test('plugins: releases run in reverse order, and one that throws does not keep the others', deadline, async (t) => {
  const { stop, announced, log } = await load(t, {
    'package.json': '{ "type": "module" }',
    'own.js': pluginSource(
      'own',
      `broker.onStop(() => broker.announce('1'))
       broker.onStop(() => { throw new Error('stuck') })
       broker.onStop(async () => broker.announce('3'))
       return {}`,
    ),
    'oriole.yaml': 'plugins: [./own.js]\n',
  })
  await stop()
  await stop()
  assert.deepEqual(announced, ['3', '1'])
  assert.equal(log.lines.filter(({ phrase }) => phrase === 'plugin failed to stop').length, 1)
})

test('plugins: each has a data folder of its own that only the owner may enter', deadline, async (t) => {
  const { folder } = await load(t, {
    'package.json': '{ "type": "module" }',
    'own.js': pluginSource('own', 'broker.announce(broker.dataDir); return {}'),
    'oriole.yaml': 'plugins: [./own.js]\n',
  })
  assert.equal((await stat(join(folder, 'data', 'own'))).mode & 0o777, 0o700)
})

test('plugins: a question that no plugin answers is told in the log', deadline, async (t) => {
  const { log } = await load(t, { 'oriole.yaml': 'plugins: [auth-anonymous]\n' })
  const silent = log.lines
    .filter(({ phrase }) => phrase.startsWith('no plugin answers'))
    .map(({ fields }) => fields.hook)
  assert.deepEqual(silent, ['authorizePublish', 'authorizeSubscribe'])
})
