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

test('groups: a change is asked for at once, for those whom it concerns and nobody else', deadline, async (t) => {
  const { hooks, clients, asked, folder, log } = await load(t, {
    'oriole.yaml': config,
    'groups.yaml': 'family: { members: [alice, bob] }\nout: { groups: [in] }\nin: {}\nkept: { members: [frank] }\n',
  })
  // erin's group came with her login.
  const erin = clientOf('erin', { groups: ['in', 'out'] })
  clients.push(
    clientOf('alice', { groups: ['family'] }),
    clientOf('bob', { groups: ['family'] }),
    clientOf('carol'),
    erin,
  )
  clients.push(clientOf('dave'), clientOf('frank', { groups: ['kept'] }))
  await replaceFile(
    join(folder, 'groups.yaml'),
    'family: { members: [alice, carol] }\nnew: { members: [alice] }\nout: {}\nin: {}\nkept: { members: [frank] }\n',
  )
  await log.until(({ phrase }) => phrase === 'changed file is in use')
  assert.deepEqual(asked, ['alice-phone', 'bob-phone', 'carol-phone', 'erin-phone'])
  const answer = await hooks.authenticate(credentialsOf('carol'))
  assert.deepEqual('identity' in answer && answer.identity.groups, ['family'])
})

test('groups: members of a part are members of the whole; admins and muted are not passed on', deadline, async (t) => {
  const { hooks } = await load(t, {
    'oriole.yaml': config,
    'groups.yaml': `all: { groups: [staff, guests], roles: [person], subscribe: "news/{group}/{user}" }
staff: { groups: [ops], muted: [bob, mallory] }
ops: { members: [bob], admins: [alice], roles: [operator], subscribe: [{ filter: "alarm/#", qos: 2 }, "$share/ops/jobs/#"] }
guests:
`,
  })
  const identityOf = async (username: string) => {
    const answer = await hooks.authenticate(credentialsOf(username))
    assert.ok('identity' in answer)
    return answer.identity
  }
  assert.deepEqual(await identityOf('alice'), {
    username: 'alice',
    groups: ['ops', 'staff', 'all'],
    roles: ['operator', 'admin:ops', 'person'],
    attributes: {},
    subscriptions: [
      { filter: 'alarm/#', qos: 2 },
      { filter: '$share/ops/jobs/#', qos: 1 },
      { filter: 'news/all/alice', qos: 1 },
    ],
  })
  assert.deepEqual((await identityOf('bob')).roles, ['operator', 'muted:staff', 'person'])
  // To be muted makes nobody a member.
  assert.deepEqual((await identityOf('mallory')).groups, [])
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

test('groups: a cycle and an unknown part are told with their place', deadline, async (t) => {
  const folder = await temporaryFolder(t)
  await writeFiles(folder, {
    'oriole.yaml': config,
    'groups.yaml': `a: { groups: [b] }
b: { groups: [ok, c] }
c: { groups: [a] }
self: { groups: [self] }
ok: {}
lost: { groups: [nowhere] }
`,
  })
  const file = await readConfig(folder)
  const problems = await checkPlugins(file.value, file, {})
  assert.deepEqual(
    problems.map(({ line, column, message }) => `${line}:${column} ${message}`),
    [
      '6:18 lost.groups: there is no group "nowhere"',
      '3:15 c.groups: a group cannot be a part of itself: a > b > c > a',
      '4:18 self.groups: a group cannot be a part of itself: self > self',
    ],
  )
})

test('groups: the shipped file has nobody in a group', deadline, async (t) => {
  const { hooks } = await load(t, {
    'oriole.yaml': config,
    'groups.yaml': await readFile('config/groups.yaml', 'utf8'),
  })
  const answer = await hooks.authenticate(credentialsOf('alice'))
  assert.deepEqual('identity' in answer && answer.identity.groups, [])
})
