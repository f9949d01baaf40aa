// groups: membership from a file, in identities and after a change.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { checkPlugins } from '../../broker/plugins.ts'
import {
  clientOf,
  credentialsOf,
  load,
  readConfig,
  replaceFile,
  temporaryFolder,
  writeFiles,
} from '../helpers/plugins.ts'

const deadline = { timeout: 30_000 }
const config = 'plugins: [auth-anonymous, { groups: { file: groups.yaml } }]\n'

test('groups: members get their groups, admins the role too, and nobody else anything', deadline, async (t) => {
  const { hooks } = await load(t, {
    'oriole.yaml': config,
    'groups.yaml': `family: { members: [alice, bob], admins: [alice] }
ops: { admins: [bob] }
empty: {}
`,
  })
  const identityOf = async (username: string) => {
    const answer = await hooks.authenticate(credentialsOf(username))
    assert.ok('identity' in answer)
    return answer.identity
  }
  assert.deepEqual(await identityOf('alice'), {
    username: 'alice',
    groups: ['family'],
    roles: ['admin:family'],
    attributes: {},
  })
  assert.deepEqual((await identityOf('bob')).groups, ['family', 'ops'])
  assert.deepEqual((await identityOf('bob')).roles, ['admin:ops'])
  assert.deepEqual((await identityOf('constructor')).groups, [])
})

test('groups: a change holds for the next login, and who was taken out is disconnected', deadline, async (t) => {
  const { hooks, clients, disconnected, folder, log } = await load(t, {
    'oriole.yaml': config,
    'groups.yaml': 'family: { members: [alice, bob] }\n',
  })
  clients.push(clientOf('alice'), clientOf('bob'), clientOf('carol'))
  await replaceFile(join(folder, 'groups.yaml'), 'family: { members: [alice, carol] }\nnew: { members: [alice] }\n')
  await log.until(({ phrase }) => phrase === 'changed file is in use')
  assert.deepEqual(disconnected, ['bob-phone'])
  const answer = await hooks.authenticate(credentialsOf('carol'))
  assert.deepEqual('identity' in answer && answer.identity.groups, ['family'])
})

test('groups: names that would reach beyond one level are refused, all with their place', deadline, async (t) => {
  const folder = await temporaryFolder(t)
  const decomposed = 'e\u0301quipe'
  await writeFiles(folder, {
    'oriole.yaml': config,
    'groups.yaml': `"a/b": {}
"+": {}
"#": {}
$SYS: {}
"a\\u0001": {}
${decomposed}: {}
"": {}
family: { member: [alice] }
good: {}
`,
  })
  const file = await readConfig(folder)
  const problems = await checkPlugins(file.value, file, {})
  assert.deepEqual(
    problems.map(({ line }) => line),
    [1, 2, 3, 4, 5, 6, 7, 8],
    JSON.stringify(problems),
  )
  assert.match(problems[7]!.message, /did you mean "members"\?/)
})

test('groups: the shipped file holds no group', deadline, async (t) => {
  const { hooks } = await load(t, {
    'oriole.yaml': config,
    'groups.yaml': await readFile('config/groups.yaml', 'utf8'),
  })
  const answer = await hooks.authenticate(credentialsOf('alice'))
  assert.deepEqual('identity' in answer && answer.identity.groups, [])
})
