// Random damage to the files, tokens and answers that decide who may do what: told or refused, never a crash, never a yes.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { WatchedFile } from '../../broker/plugin-files.ts'
import { rulesSchema } from '../../plugins/acl/rules-file.ts'
import { devicesFile } from '../../plugins/auth/devices.ts'
import { usersSchema } from '../../plugins/auth/users.ts'
import { groupsSchema } from '../../plugins/groups/groups-file.ts'
import { json, startServer } from '../helpers/http-server.ts'
import { credentialsOf, load, temporaryFolder } from '../helpers/plugins.ts'
import { type Random, seeded } from '../helpers/random.ts'
import { audience, claims, issuer, jwks, token } from '../helpers/tokens.ts'

const timeout = 110_000
/** Of one text; the longest of the samples takes some milliseconds. */
const slowMs = 5_000

const scrypt = 'scrypt$N=16384,r=8,p=1$MDEyMzQ1Njc4OWFiY2RlZg==$MDEyMzQ1Njc4OWFiY2RlZg=='
const deviceToken = `token$${'A'.repeat(43)}=`
const users = `# people
alice: "${scrypt}"
bob: { password: "${scrypt}", groups: [ops, night], roles: [reader], attributes: { site: north }, disabled: true }
"c d":
  password: '${scrypt}'
  groups:
    - ops
`
const devices = `pump-1: "${deviceToken}"
pump-2: { password: "${deviceToken}", added: 2026-01-01T00:00:00Z, groups: [pumps] }
pump-3: { password: "${deviceToken}", attributes: { site: north }, disabled: true }
`
const pieces = [
  '{',
  '}',
  '[',
  ']',
  ':',
  '- ',
  '#',
  '"',
  "'",
  '\n',
  '\t',
  '  ',
  '&a ',
  '*a',
  '!!str ',
  '|',
  '>',
  '%',
  '? ',
]
const words = [
  '__proto__',
  'constructor',
  '\u0024{X',
  '\u0024{HOME}',
  '+',
  '#',
  '$SYS',
  'null',
  'true',
  '1e999',
  '\u0000',
  '\ufeff',
]
const all = [...pieces, ...words, '---', '<<: *a', '\u202e', '{user}', 'allow', 'deny', 'x'.repeat(2_000)]

/** A few changes, each at a random place. */
function damaged(random: Random, text: string): string {
  let changed = text
  for (let times = 1 + random.below(4); times > 0; times -= 1) {
    const at = random.below(changed.length + 1)
    const length = random.below(4) === 0 ? random.below(40) : random.below(3)
    const lines = changed.split('\n')
    if (random.chance(5)) lines.splice(random.below(lines.length), 1, random.pick(lines), random.pick(lines))
    else lines.splice(0, lines.length, `${changed.slice(0, at)}${random.pick(all)}${changed.slice(at + length)}`)
    changed = lines.join('\n')
  }
  return changed
}

test('files that are damaged at random are read, or told with their place', { timeout }, async (t) => {
  const random = seeded(t)
  const folder = await temporaryFolder(t)
  const options = { env: { HOME: '/root' }, secret: false, filled: false }
  const fileOf = (name: string, schema: ConstructorParameters<typeof WatchedFile>[1]) =>
    new WatchedFile<unknown>(join(folder, name), schema as never, options)
  const samples = [
    [fileOf('users.yaml', usersSchema), users],
    [fileOf('devices.yaml', devicesFile as never), devices],
    [fileOf('groups.yaml', groupsSchema), await readFile('config/groups.yaml', 'utf8')],
    [fileOf('acl.yaml', rulesSchema), await readFile('config/acl.yaml', 'utf8')],
    [fileOf('groups.yaml', groupsSchema), 'a: { members: [x], groups: [b], subscribe: "$share/{group}/j/#" }\nb: {}\n'],
    [fileOf('acl.yaml', rulesSchema), '- allow: { users: [x], publish: ["a/{user}"], times: "mon-fri 08:00-18:00" }\n'],
  ] as const
  let good = 0
  for (let round = 0; round < 3_000; round += 1) {
    const [file, sample] = random.pick(samples)
    const text = damaged(random, sample)
    const begun = performance.now()
    const read = await file.readText(text)
    assert.ok(performance.now() - begun < slowMs, JSON.stringify(text))
    assert.equal(read.file === undefined, read.problems.length > 0, JSON.stringify(text))
    for (const { line, column, message } of read.problems) {
      assert.ok(line >= 1 && column >= 1 && message !== '', JSON.stringify(text))
      // A key is shown, and damage may make one of a hash; what YAML itself complains of is not.
      assert.doesNotMatch(message, /^(?:Unexpected|Expected|Block|Invalid|Not a).*MDEyMzQ1Njc4OWFiY2RlZg/)
    }
    if (read.file !== undefined) good += 1
  }
  assert.ok(good > 100, `${good} were good`)
})

test('auth-jwt: a token that was changed anywhere lets nobody in', { timeout }, async (t) => {
  const random = seeded(t)
  const { hooks } = await load(t, {
    'oriole.yaml': `plugins:\n  - auth-jwt: { keys: keys.json, issuer: "${issuer}", audience: ${audience} }\n`,
    'keys.json': JSON.stringify(jwks()),
  })
  const good = await token(claims({ groups: ['ops'] }))
  assert.ok('identity' in (await hooks.authenticate(credentialsOf('alice', good))))
  const letters = 'ABCabc019-_.=+/ \u0000é'
  for (let round = 0; round < 1_500; round += 1) {
    const at = random.below(good.length)
    const letter = random.pick([...letters])
    const cut = good.slice(0, at)
    const changed = random.pick([
      cut + letter + good.slice(at + 1),
      cut + letter + good.slice(at),
      cut + good.slice(at + 1),
      cut,
      good.slice(at) + cut,
      `${good}${letter}`,
    ])
    if (changed === good) continue
    const answer = await hooks.authenticate(credentialsOf('alice', changed))
    assert.ok('deny' in answer && answer.busy !== true, JSON.stringify([changed, answer]))
  }
})

test('auth-http: an answer that was changed anywhere is one of the form that is asked for, or none', {
  timeout,
}, async (t) => {
  const random = seeded(t)
  const good = {
    allow: true,
    username: 'alice',
    groups: ['ops'],
    roles: [],
    attributes: { site: 'north' },
    rules: [{ allow: { publish: 'a/#' } }],
    lifetimeS: 60,
  }
  const server = await startServer(t, json(good))
  const settings = 'cacheS: 0, failuresMax: 1000000'
  const { hooks } = await load(t, { 'oriole.yaml': `plugins:\n  - auth-http: { url: "${server.url}", ${settings} }\n` })
  const outcomes = { identity: 0, busy: 0, deny: 0 }
  for (let round = 0; round < 500; round += 1) {
    const text = damaged(random, JSON.stringify(good))
    server.answer = json(text)
    const answer = await hooks.authenticate(credentialsOf('bob', 'word'))
    if ('identity' in answer) {
      outcomes.identity += 1
      const { username, groups } = answer.identity
      assert.equal(JSON.parse(text).allow, true, text)
      for (const name of [username, ...groups]) assert.doesNotMatch(name, /[+#/\p{Cc}\p{Cf}]|^\$|^$/u, text)
    } else outcomes[answer.busy === true ? 'busy' : 'deny'] += 1
  }
  assert.ok(outcomes.identity > 0 && outcomes.busy > 100, JSON.stringify(outcomes))
})
