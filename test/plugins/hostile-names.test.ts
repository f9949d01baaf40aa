// Forty names that would be somebody else, or everybody: none gets into a file, and none gets a right by a login.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeToken } from '../../broker/password.ts'
import { checkPlugins } from '../../broker/plugins.ts'
import { clientOf, load, readConfig, temporaryFolder, writeFiles } from '../helpers/plugins.ts'

const deadline = { timeout: 60_000 }

/** Where a name stands that is a wildcard or a part of a topic. */
const wild = [
  '',
  '+',
  '#',
  '*',
  '/',
  '++',
  '+/#',
  '#/a',
  'a/b',
  '/a',
  'a/',
  'a+',
  '+a',
  'a#',
  '../a',
  '$SYS',
  '$share',
  '$',
  '$oriole/gap',
]
const invisible = [
  '\u0000',
  'a\u0000',
  'a\nb',
  'a\rb',
  'a\tb',
  '\u007f',
  '\u0085',
  '\u001b[2J', // control characters
  '\u200b',
  'al\u200bice',
  '\u202ealice',
  '\ufeffalice',
  '\u2028',
  'a\u00adb',
  '\u2066a', // cannot be seen
]
const otherwise = [
  'e\u0301mile',
  'A\u030angstro\u0308m',
  '\u1100\u1161', // not NFC
  ' alice',
  'alice ',
  '\u00a0alice', // spaces around
  '\ud800',
  'a\udfff',
  '\uffff', // no characters
]
const names = [...wild, ...invisible, ...otherwise]

const config = `plugins:
  - auth-file: { users: users.yaml, admin: false }
  - groups: { file: groups.yaml }
  - acl-file: { rules: acl.yaml }
`

test(
  `hostile names: ${names.length} are refused as users, groups, members, roles and in rules, with their place`,
  deadline,
  async (t) => {
    assert.ok(names.length >= 40)
    const { hash } = makeToken()
    const folder = await temporaryFolder(t)
    for (const name of names) {
      const quoted = JSON.stringify(name)
      await writeFiles(folder, {
        'oriole.yaml': config,
        'users.yaml': `alice: "${hash}"\n${quoted}: "${hash}"\n`,
        'groups.yaml': `family:\n  members: [alice, ${quoted}]\n  muted: [${quoted}]\n  roles: [${quoted}]\n${quoted}: {}\n`,
        // In a rule "*" means anybody, and may.
        'acl.yaml':
          name === '*'
            ? '[]\n'
            : `- allow:\n    users: [${quoted}]\n    groups: [${quoted}]\n    roles: [${quoted}]\n    publish: [a]\n`,
      })
      const file = await readConfig(folder)
      const problems = await checkPlugins(file.value, file, {})
      const places = new Set(problems.map(({ file, line }) => `${file.replace(/.*\//, '')}:${line}`))
      const expected = ['users.yaml:2', 'groups.yaml:2', 'groups.yaml:3', 'groups.yaml:4', 'groups.yaml:5']
      if (name !== '*') expected.push('acl.yaml:2', 'acl.yaml:3', 'acl.yaml:4')
      assert.deepEqual([...places].sort(), expected.sort(), `${quoted} ${JSON.stringify(problems)}`)
      for (const { message } of problems)
        assert.match(message, /^[\x20-\x7e\u00a0-\uffff]*$/, 'a message is one line of text')
    }
  },
)

test('hostile names: a login that brings such a name gets no topic by it but its own', deadline, async (t) => {
  const { hooks } = await load(t, {
    'oriole.yaml': 'plugins:\n  - acl-file: { rules: acl.yaml }\n',
    'acl.yaml': `- allow: { publish: ["u/{user}/x", "c/{client}/x", "t/{attr.t}/x"], subscribe: ["u/{user}/#", "c/{client}/#", "t/{attr.t}/#"] }
- allow: { groups: "*", publish: ["g/{group}/x"], subscribe: ["g/{group}/#"] }
`,
  })
  const victims = ['alice', 'bob', 'a', 'b', '', '$SYS', 'émile']
  for (const name of names) {
    const client = clientOf(name, { id: name, groups: [name], attributes: { t: name } })
    for (const kind of ['u', 'c', 'g', 't']) {
      for (const victim of victims.filter((one) => one !== name)) {
        const topic = `${kind}/${victim}/x`
        const publish = await hooks.authorizePublish(client, { topic, qos: 1, retain: false, will: false })
        assert.equal(publish.allow, false, `${JSON.stringify(name)} publishes ${topic}`)
        const subscribe = await hooks.authorizeSubscribe(client, { filter: topic, qos: 1, share: undefined })
        assert.equal(subscribe.allow, false, `${JSON.stringify(name)} reads ${topic}`)
      }
      for (const filter of ['#', '+/#', `${kind}/#`, `${kind}/+/x`, `${kind}/+/#`]) {
        const { allow } = await hooks.authorizeSubscribe(client, { filter, qos: 1, share: undefined })
        assert.equal(allow, false, `${JSON.stringify(name)} reads ${filter}`)
      }
    }
  }
})
