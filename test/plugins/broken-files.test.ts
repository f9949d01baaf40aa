// Fifty broken files: refused at the start with their place, ignored at a reload with their place, and never a wider right.
import assert from 'node:assert/strict'
import { chmod, mkdir, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Problem } from '../../broker/config/problem.ts'
import { makeToken } from '../../broker/password.ts'
import { checkPlugins } from '../../broker/plugins.ts'
import { clientOf, credentialsOf, load, readConfig, temporaryFolder, writeFiles } from '../helpers/plugins.ts'

const deadline = { timeout: 120_000 }

const { token, hash } = makeToken()
const good = {
  'users.yaml': `alice: "${hash}"\n`,
  'groups.yaml': 'family: { members: [alice] }\nops: {}\n',
  'acl.yaml':
    '- allow: { groups: family, publish: ["g/{group}/#"] }\n- deny: { groups: family, publish: [g/family/secret] }\n',
}
type Name = keyof typeof good

const config = `plugins:
  - auth-file: { users: users.yaml, admin: false }
  - groups: { file: groups.yaml }
  - acl-file: { rules: acl.yaml }
`

type Breaking = string | Buffer | ((path: string, folder: string) => Promise<void>)
/** What is in the way, the place and the words that tell it. */
type Case = readonly [name: string, file: Name, content: Breaking, place: string, words: RegExp]

const bomb = `a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n${Array.from({ length: 9 }, (_, n) => `a${n + 1}: &a${n + 1} [${Array(10).fill(`*a${n}`).join(', ')}]`).join('\n')}\n`
const entry = (body: string) => `- allow: { publish: [a] }\n- ${body}\n`

const cases: readonly Case[] = [
  // The file itself
  ['empty', 'acl.yaml', '', '1:1', /is empty/],
  ['only spaces', 'acl.yaml', ' \n\n', '1:1', /is empty/],
  ['only comments', 'acl.yaml', '# no rules\n', '1:1', /is empty/],
  ['an empty document', 'acl.yaml', '---\n# nothing\n...\n', '1:1', /is empty/],
  ['a byte order mark', 'acl.yaml', `\ufeff${good['acl.yaml']}`, '1:1', /byte order mark/],
  ['not UTF-8', 'acl.yaml', Buffer.from([0x2d, 0x20, 0xff, 0xfe]), '1:1', /not UTF-8/],
  ['UTF-16', 'groups.yaml', Buffer.from('\ufefffamily: {}\n', 'utf16le'), '1:1', /not UTF-8/],
  ['100 MB', 'acl.yaml', (path) => truncate(path, 100 * 1024 * 1024), '1:1', /is larger than/],
  ['100 MB of users', 'users.yaml', (path) => truncate(path, 100 * 1024 * 1024), '1:1', /is larger than/],
  ['missing', 'acl.yaml', (path) => rm(path), '1:1', /there is no such file/],
  ['missing groups', 'groups.yaml', (path) => rm(path), '1:1', /there is no such file/],
  ['missing users', 'users.yaml', (path) => rm(path), '1:1', /there is no such file/],
  ['a folder', 'groups.yaml', (path) => rm(path).then(() => mkdir(path)), '1:1', /is a folder/],
  ['a symbolic link', 'acl.yaml', linked, '1:1', /is a symbolic link/],
  ['a symbolic link to groups', 'groups.yaml', linked, '1:1', /is a symbolic link/],
  ['a symbolic link to users', 'users.yaml', linked, '1:1', /is a symbolic link/],
  ['world-writable', 'acl.yaml', (path) => chmod(path, 0o646), '1:1', /may be written by everyone/],
  ['world-writable groups', 'groups.yaml', (path) => chmod(path, 0o666), '1:1', /may be written by everyone/],
  ['world-writable users', 'users.yaml', (path) => chmod(path, 0o602), '1:1', /may be written by everyone/],
  [
    'in a world-writable folder',
    'users.yaml',
    (_path, folder) => chmod(folder, 0o757),
    '1:1',
    /folder that everyone may write/,
  ],
  // YAML
  ['a tab as indentation', 'acl.yaml', '- allow:\n\tpublish: [a]\n', '2:1', /tab/i],
  ['a bracket that is not closed', 'acl.yaml', entry('allow: { publish: [b }'), '2:24', /./],
  ['a quote that is not closed', 'groups.yaml', 'family: { members: ["alice] }\n', '2:1', /quote/],
  [
    'two names that are the same',
    'groups.yaml',
    'family: {}\nops: {}\nfamily: { members: [bob] }\n',
    '3:1',
    /second time/,
  ],
  ['two users that are the same', 'users.yaml', `alice: "${hash}"\nalice: "${hash}"\n`, '2:1', /second time/],
  ['a key twice in a rule', 'acl.yaml', entry('allow: { publish: [b], publish: [c] }'), '2:26', /second time/],
  ['aliases that explode', 'groups.yaml', bomb, '2:10', /aliases/],
  ['an alias of nothing', 'acl.yaml', entry('allow: { publish: *b }'), '2:21', /points at no/],
  ['nested too deep', 'acl.yaml', `- allow: { publish: ${'['.repeat(20_000)} }\n`, '1:', /nested too deep/],
  ['a tag', 'acl.yaml', entry('allow: !!js/function { publish: [b] }'), '2:10', /tag/i],
  ['the key __proto__', 'groups.yaml', 'family: {}\n__proto__: { members: [bob] }\n', '2:1', /not allowed/],
  ['two documents', 'acl.yaml', '- allow: { publish: [a] }\n---\n- allow: { publish: ["#"] }\n', '2:1', /document/],
  [
    'a variable that is not set',
    'acl.yaml',
    entry('allow: { publish: ["\x24{NOT_SET_HERE}"] }'),
    '2:22',
    /NOT_SET_HERE/,
  ],
  // Types and keys
  ['a map instead of a list', 'acl.yaml', 'allow: { publish: [a] }\n', '1:1', /must be a list/],
  ['a list instead of a map', 'groups.yaml', '- family\n', '1:1', /must be a map/],
  ['text instead of a map', 'users.yaml', 'alice\n', '1:1', /must be a map/],
  ['a number as a filter', 'acl.yaml', entry('allow: { publish: [7] }'), '2:22', /must be text/],
  ['nothing as a filter', 'acl.yaml', entry('allow: { publish: [~] }'), '2:22', /must be text/],
  ['an unknown key', 'acl.yaml', entry('allow: { publish: [b], user: [bob] }'), '2:26', /did you mean "users"/],
  ['neither allow nor deny', 'acl.yaml', entry('alow: { publish: [b] }'), '2:3', /did you mean "allow"/],
  ['both allow and deny', 'acl.yaml', entry('{ allow: { publish: [b] }, deny: { publish: [c] } }'), '2:3', /either/],
  ['a rule that says nothing', 'acl.yaml', entry('allow: { users: [bob] }'), '2:10', /says nothing/],
  ['an empty list of users', 'acl.yaml', entry('allow: { users: [], publish: [b] }'), '2:19', /at least 1/],
  ['a wildcard in the wrong place', 'acl.yaml', entry('allow: { publish: ["b/#/c"] }'), '2:22', /no topic filter/],
  ['an unknown placeholder', 'acl.yaml', entry('allow: { publish: ["b/{usr}"] }'), '2:22', /is not known/],
  ['a shared subscription', 'acl.yaml', entry('allow: { subscribe: ["$share/x/b"] }'), '2:24', /without "\$share/],
  ['a QoS that there is not', 'acl.yaml', entry('allow: { publish: [b], qos: [3] }'), '2:32', /0, 1 or 2/],
  [
    'an address that is none',
    'acl.yaml',
    entry('allow: { publish: [b], addresses: [10.0.0.0/33] }'),
    '2:38',
    /neither an address/,
  ],
  [
    'a time that is none',
    'acl.yaml',
    entry('allow: { publish: [b], times: "mon-fri 8-18" }'),
    '2:33',
    /no time window/,
  ],
  [
    'times in the wrong order',
    'acl.yaml',
    entry('allow: { publish: [b], since: 2026-02-01T00:00:00Z, until: 2026-01-01T00:00:00Z }'),
    '2:10',
    /never holds/,
  ],
  [
    'a misspelt key of a group',
    'groups.yaml',
    'family: { member: [alice, bob] }\nops: {}\n',
    '1:11',
    /did you mean "members"/,
  ],
  ['a password instead of its hash', 'users.yaml', 'alice: open-sesame\n', '1:8', /is no password hash/],
  // What shows only beside the other files
  [
    'a group that there is not',
    'acl.yaml',
    entry('allow: { groups: [famliy], publish: ["#"] }'),
    '2:21',
    /there is no group "famliy"/,
  ],
  ['a group that is gone', 'groups.yaml', 'ops: {}\n', 'acl.yaml:1:20', /there is no group "family"/],
  [
    'a part that there is not',
    'groups.yaml',
    'family: { members: [alice], groups: [cousins] }\nops: {}\n',
    '1:38',
    /there is no group "cousins"/,
  ],
  [
    'a cycle of groups',
    'groups.yaml',
    'family: { members: [alice], groups: [ops] }\nops: { groups: [family] }\n',
    '2:17',
    /cannot be a part of itself: family > ops > family/,
  ],
]

async function linked(path: string): Promise<void> {
  await rename(path, `${path}.real`)
  await symlink(`${path}.real`, path)
}

async function breakFile(folder: string, file: Name, content: Breaking): Promise<void> {
  const path = join(folder, file)
  if (typeof content === 'function') return content(path, folder)
  await writeFile(path, content)
}

/** A folder that belongs to nobody else, whatever is done to it. */
async function house(t: TestContext): Promise<string> {
  const folder = join(await temporaryFolder(t), 'house')
  await mkdir(folder, { mode: 0o755 })
  await writeFiles(folder, { 'oriole.yaml': config, ...good })
  return folder
}

function differenceOf([problem]: readonly Problem[], file: Name, place: string, words: RegExp): string | undefined {
  if (problem === undefined) return 'nothing was wrong'
  const [name, at] = place.startsWith('acl.yaml:') ? ['acl.yaml', place.slice('acl.yaml:'.length)] : [file, place]
  const found = `${basename(problem.file)}:${problem.line}:${problem.column}`
  const isThere = at.endsWith(':') ? found.startsWith(`${name}:${at}`) : found === `${name}:${at}`
  return isThere && words.test(problem.message) ? undefined : `${found} ${problem.message}`
}

test(`broken files: ${cases.length} are refused at the start, each with its place`, deadline, async (t) => {
  assert.ok(cases.length >= 50)
  const differences: string[] = []
  for (const [name, file, content, place, words] of cases) {
    const folder = await house(t)
    await breakFile(folder, file, content)
    const configFile = await readConfig(folder)
    const problems = await checkPlugins(configFile.value, configFile, {})
    const difference = differenceOf(problems, file, place, words)
    if (difference !== undefined) differences.push(`${name}: ${difference}`)
  }
  assert.deepEqual(differences, [])
})

test(
  `broken files: ${cases.length} are ignored at a reload, each with its place, and nobody's rights change`,
  deadline,
  async (t) => {
    const folder = await house(t)
    const { hooks, reload, log } = await load(t, {}, folder)
    const login = credentialsOf('alice', token)
    const rights = async () => {
      const answer = await hooks.authenticate(login)
      assert.ok('identity' in answer)
      const client = { ...clientOf('alice'), identity: answer.identity }
      const topics = ['g/family/x', 'g/family/secret', 'a', 'b', 'g/ops/x', '#'.repeat(2)]
      const stranger = await hooks.authenticate(credentialsOf('bob', token))
      return [
        answer.identity.groups,
        'deny' in stranger,
        ...(await Promise.all(
          topics.map((topic) => hooks.authorizePublish(client, { topic, qos: 1, retain: false, will: false })),
        )),
      ]
    }
    const before = JSON.stringify(await rights())
    const differences: string[] = []
    for (const [name, file, content, place, words] of cases) {
      const lines = new Set(log.lines)
      await breakFile(folder, file, content)
      const { problems, files } = await reload()
      assert.deepEqual(files, [], name)
      const difference = differenceOf(problems, file, place, words)
      if (difference !== undefined) differences.push(`${name}: ${difference}`)
      const told = log.lines.find((line) => !lines.has(line) && line.level === 'error')
      assert.deepEqual([told?.fields.line, told?.fields.problem], [problems[0]?.line, problems[0]?.message], name)
      assert.equal(JSON.stringify(await rights()), before, name)

      await chmod(folder, 0o755)
      await rm(join(folder, file), { recursive: true, force: true })
      await writeFiles(folder, good)
      assert.deepEqual((await reload()).problems, [], name)
    }
    assert.deepEqual(differences, [])
  },
)

test(
  'broken files: what was saved together with a broken file waits for it; what is saved later does not',
  deadline,
  async (t) => {
    const folder = await house(t)
    const { reload, log } = await load(t, {}, folder)
    const lines = (phrase: string) =>
      log.lines.filter((line) => line.phrase === phrase).map(({ fields }) => String(fields.file).replace(/.*\//, ''))
    await writeFile(join(folder, 'acl.yaml'), 'nonsense\n')
    await writeFile(join(folder, 'groups.yaml'), 'family: { members: [alice, bob] }\nops: {}\n')
    assert.equal((await reload()).problems.length, 1)
    assert.deepEqual(lines('changed file is in use'), [])
    assert.ok(lines('changed file waits for another one that is broken').includes('groups.yaml'))

    // Whoever has to go does not wait until somebody has found the mistake in another file.
    await writeFile(join(folder, 'users.yaml'), `alice: { password: "${hash}", disabled: true }\n`)
    await log.until(
      ({ phrase, fields }) => phrase === 'changed file is in use' && String(fields.file).endsWith('users.yaml'),
    )
    assert.deepEqual(lines('changed file is in use'), ['users.yaml'])

    await writeFile(join(folder, 'acl.yaml'), '- deny: { publish: ["#"] }\n')
    await log.until(
      ({ phrase, fields }) => phrase === 'changed file is in use' && String(fields.file).endsWith('acl.yaml'),
    )
    assert.deepEqual(lines('changed file is in use').sort(), ['acl.yaml', 'groups.yaml', 'users.yaml'])
  },
)
