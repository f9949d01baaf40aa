// Files read entry by entry: whatever stands in them, the outcome is that of reading them as a whole.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EntryReader } from '../../broker/config/yaml-entries.ts'
import { readYamlText } from '../../broker/config/yaml-file.ts'
import { rulesSchema } from '../../plugins/acl/rules-file.ts'
import { groupsSchema } from '../../plugins/groups/groups-file.ts'
import { seeded } from '../helpers/random.ts'

const deadline = { timeout: 60_000 }

const rules = `# Rules.
- allow: { publish: ["a/{user}"], subscribe: "a/#" }

- deny:
    users: [bob, "*"]   # both
    subscribe:
      - b/#
# Between.
- allow: { groups: '*', publish: [
    "g/{group}", c ] }
-
  allow:
    publish: "d"
- { deny: { clients: old, publish: [d] } }
- allow: { "users": ['x', "y$z"], publish: [a/b, "c/#", 'd/+'], qos: [0, 2], retain: false } # plain
`
const groups = `family: { members: [alice, bob], admins: [alice] }
# Others.
"staff":
  members:
    - carol
    - dave
  subscribe: "news/#"
'ops': {}
empty:
whole: { groups: [family,
  staff] }
`

test('yaml entries: a changed, broken or mangled file comes out as if it were read as a whole', deadline, async (t) => {
  const random = seeded(t)
  const pieces = [
    '\n',
    ' ',
    '  ',
    '- ',
    '#',
    ': ',
    ',',
    '{',
    '}',
    '[',
    ']',
    '"',
    "'",
    '\t',
    '\r\n',
    '&a ',
    '*a',
    '---\n',
    '|\n',
    '\u0000',
    '$',
    'allow',
    'family',
    'x: 1\n',
    '- x\n',
    '!!str ',
    '? ',
    '__proto__: {}\n',
    'a: b\n',
  ]
  let read = 0
  let good = 0
  for (const [schema, text] of [
    [rulesSchema, rules],
    [groupsSchema, groups],
  ] as const) {
    const reader = new EntryReader<unknown>('file.yaml', schema, {})
    for (let round = 0; round < 1_500; round++) {
      let mangled = text
      for (let change = 0; change < 1 + (round % 3); change++) {
        const at = random.below(mangled.length)
        const until = at + (random.chance() ? 0 : random.below(12))
        mangled = mangled.slice(0, at) + (random.chance(3) ? '' : random.pick(pieces)) + mangled.slice(until)
      }
      const entries = await reader.read(mangled)
      if (entries === undefined) continue
      read += 1
      const whole = readYamlText<unknown>('file.yaml', mangled, schema)
      const shown = JSON.stringify(mangled)
      assert.equal(
        entries.value !== undefined,
        whole.file !== undefined,
        `${shown} ${JSON.stringify([entries.problems, whole.problems])}`,
      )
      if (entries.value === undefined || whole.file === undefined) continue
      good += 1
      assert.deepEqual(entries.value, whole.file.value, shown)
      for (const path of pathsOf(entries.value))
        assert.equal(entries.locate(path), whole.file.locate(path), `${shown} ${path}`)
    }
  }
  t.diagnostic(`${read} read by entries, ${good} of them good`)
  assert.ok(read > 1_000 && good > 250)
})

/** All places in a value. */
function pathsOf(value: unknown, path: readonly PropertyKey[] = []): PropertyKey[][] {
  if (typeof value !== 'object' || value === null) return [[...path]]
  return [
    [...path],
    ...Object.entries(value).flatMap(([key, inside]) =>
      pathsOf(inside, [...path, Array.isArray(value) ? Number(key) : key]),
    ),
  ]
}

test('yaml entries: a long file is read in many turns of the loop', deadline, async () => {
  const text = Array.from({ length: 20_000 }, (_, n) => `- allow: { users: [user${n}], publish: ["t/${n}/#"] }\n`).join(
    '',
  )
  let turns = 0
  let next = setImmediate(function turn() {
    turns += 1
    next = setImmediate(turn)
  })
  const read = await new EntryReader('acl.yaml', rulesSchema, {}).read(text)
  clearImmediate(next)
  assert.deepEqual(read?.problems, [])
  assert.ok(turns >= 5, `${turns} turns`)
})

test('yaml entries: what stayed the same is the same object in the next version', deadline, async () => {
  const reader = new EntryReader<unknown[]>('acl.yaml', rulesSchema as never, {})
  const before = (await reader.read(rules))!.value!
  const after = (await reader.read(`- allow: { publish: new }\n${rules.replace('b/#', 'c/#')}`))!.value!
  assert.equal(after[1], before[0])
  assert.notEqual(after[2], before[1])
  assert.equal(after[3], before[2])
})

test('yaml entries: a name that stands there twice is refused with its place', deadline, async () => {
  const reader = new EntryReader('groups.yaml', groupsSchema, {})
  const { problems } = (await reader.read(`a: {}\nb: {}\n"a": {}\n`))!
  assert.deepEqual(problems, [
    { file: 'groups.yaml', line: 3, column: 1, message: 'the key "a" stands here a second time; keep one' },
  ])
})
