// What a change of files is said to give and to take: as an admin reads it in the log, in `oriole plan` and `oriole reload`.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { makeToken } from '../../broker/password.ts'
import { clientOf, load } from '../helpers/plugins.ts'

const deadline = { timeout: 60_000 }
const { hash } = makeToken()

const before = {
  'users.yaml': `alice: "${hash}"\nbob: { password: "${hash}", roles: [ops] }\ncarol: "${hash}"\ndave: "${hash}"\n`,
  'groups.yaml': 'plant: { members: [alice, bob, carol] }\n',
  'acl.yaml': `- allow: { groups: [plant], publish: ["plant/#"], subscribe: ["plant/#"] }
- allow: { groups: [plant], publish: ["plant/a"] }
- allow: { users: [alice], publish: ["plant/b"], qos: [0] }
- allow: { publish: ["own/{user}"] }
`,
}

async function house(t: TestContext) {
  const loaded = await load(t, {
    'oriole.yaml': `plugins:
  - auth-file: { users: users.yaml, admin: false }
  - groups: { file: groups.yaml }
  - acl-file: { rules: acl.yaml }
`,
    ...before,
  })
  /** The lines for this content of a file. */
  const changesOf = async (file: keyof typeof before, content: string): Promise<string[]> => {
    const lines = new Set(loaded.log.lines)
    await writeFile(join(loaded.folder, file), content)
    await loaded.log.until((line) => line.phrase === 'changed file is in use' && !lines.has(line))
    const told = loaded.log.lines.filter((line) => line.phrase === 'rights change' && !lines.has(line))
    return told.map(({ fields }) => String(fields.change))
  }
  return { ...loaded, changesOf }
}

test(
  'access differences: rights that come and go, for one and for many, and nothing that another rule gives',
  deadline,
  async (t) => {
    const { changesOf } = await house(t)
    const [all, a, b, own] = before['acl.yaml'].trimEnd().split('\n')
    // plant/a is given by plant/# all the same.
    assert.deepEqual(await changesOf('acl.yaml', [all, b, own, ''].join('\n')), [])
    assert.deepEqual(await changesOf('acl.yaml', [own, all, a, b, ''].join('\n')), [])
    assert.deepEqual(await changesOf('acl.yaml', [a, b, own, ''].join('\n')), [
      '3 users lose publish plant/# (alice, bob, carol)',
      '3 users lose subscribe plant/# (alice, bob, carol)',
    ])
    assert.deepEqual(
      await changesOf('acl.yaml', [a, own, '- deny: { roles: ops, publish: [plant/a] }', ''].join('\n')),
      ['alice loses publish plant/b qos 0', 'bob is denied publish plant/a'],
    )
    assert.deepEqual(await changesOf('acl.yaml', [a, '- allow: { publish: ["own/#"] }', ''].join('\n')), [
      '4 users gain publish own/# (alice, bob, carol and 1 more)',
      'bob is denied no more: publish plant/a',
    ])
  },
)

test('access differences: who joins and leaves, and who may log in', deadline, async (t) => {
  const { changesOf } = await house(t)
  assert.deepEqual(await changesOf('groups.yaml', 'plant: { members: [alice, dave], roles: [worker] }\n'), [
    '2 users get the role worker (alice, dave)',
    '2 users leave the group plant (bob, carol)',
    '2 users lose publish plant/# (bob, carol)',
    '2 users lose subscribe plant/# (bob, carol)',
    '2 users lose publish plant/a (bob, carol)',
    'dave joins the group plant',
    'dave gains publish plant/#',
    'dave gains subscribe plant/#',
    'dave gains publish plant/a',
  ])
  assert.deepEqual(
    await changesOf('users.yaml', `alice: "${hash}"\nbob: { password: "${hash}", disabled: true }\nerin: "${hash}"\n`),
    ['3 users may not log in any more (bob, carol, dave)', 'erin may log in now'],
  )
})

test('access differences: what ends for those who are connected', deadline, async (t) => {
  const { changesOf, live } = await house(t)
  for (const username of ['alice', 'bob', 'carol', 'dave']) {
    const proven = { username, groups: [], roles: [], attributes: {} }
    const filters = username === 'dave' ? [] : ['plant/x', 'plant/+']
    live.push({
      info: clientOf(username, { groups: ['plant'] }),
      proven,
      filters: () => filters.map((filter) => ({ filter, qos: 1 as const })),
    })
  }
  const lines = await changesOf('groups.yaml', 'plant: { members: [alice] }\n')
  assert.deepEqual(
    lines.filter((line) => /end/.test(line)),
    ['4 live subscriptions end'],
  )
  const gone = await changesOf('users.yaml', `alice: "${hash}"\nbob: "${hash}"\ndave: "${hash}"\n`)
  assert.deepEqual(gone, ['bob loses the role ops', 'carol may not log in any more', '1 connection ends'])
  assert.deepEqual(await changesOf('acl.yaml', '[]\n'), [
    'alice loses publish plant/#',
    'alice loses subscribe plant/#',
    'alice loses publish plant/a',
    'alice loses publish plant/b qos 0',
    '3 users lose publish own/{user} (alice, bob, dave)',
    '2 live subscriptions end',
  ])
})
