// auth-file: real users files, real hashes, and the admin that a fresh install makes.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { hashPassword, makeToken } from '../../broker/password.ts'
import type { AuthenticateAnswer } from '../../broker/plugin.ts'
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
import { processorMs } from '../helpers/processor-time.ts'

const deadline = { timeout: 60_000 }
const withoutAdmin = 'plugins:\n  - auth-file: { users: users.yaml, admin: false }\n'
const withAdmin = 'plugins:\n  - auth-file: { users: users.yaml }\n'

const alicePassword = 'correct horse battery staple'
const aliceHash = await hashPassword(alicePassword)
const otherHash = await hashPassword('another password altogether')

const usernameOf = (answer: AuthenticateAnswer) => ('identity' in answer ? answer.identity.username : answer.deny)
const wrong = 'auth-file: unknown user or wrong password'

async function loadUsers(t: TestContext, users: string, config = withoutAdmin) {
  return load(t, { 'oriole.yaml': config, 'users.yaml': users })
}

test('auth-file: the right password is accepted, in the short and in the long form', deadline, async (t) => {
  const { hooks } = await loadUsers(
    t,
    `alice: "${aliceHash}"
bob: { password: "${aliceHash}", groups: [ops], roles: [admin], attributes: { mail: bob@example.org } }
`,
  )
  assert.deepEqual(await hooks.authenticate(credentialsOf('alice', alicePassword)), {
    identity: { username: 'alice', groups: [], roles: [], attributes: {} },
  })
  assert.deepEqual(await hooks.authenticate(credentialsOf('bob', alicePassword)), {
    identity: { username: 'bob', groups: ['ops'], roles: ['admin'], attributes: { mail: 'bob@example.org' } },
  })
})

test('auth-file: a wrong password, a missing one and an unknown user are refused', deadline, async (t) => {
  const { hooks } = await loadUsers(t, `alice: "${aliceHash}"\n`)
  const ask = async (username?: string, password?: string) =>
    usernameOf(await hooks.authenticate(credentialsOf(username, password)))
  assert.equal(await ask('alice', 'wrong'), wrong)
  assert.equal(await ask('alice', ''), wrong)
  assert.equal(await ask('alice', `${alicePassword} `), wrong)
  assert.equal(await ask('alice', undefined), 'auth-file: no password was given')
  for (const nobody of ['bob', 'Alice', '', 'constructor', '__proto__', 'toString', 'alice\0']) {
    assert.equal(await ask(nobody, alicePassword), wrong, nobody)
  }
})

test(
  'auth-file: a client without a username is left to the next plugin, one with a wrong password is not',
  deadline,
  async (t) => {
    const { hooks } = await loadUsers(t, `alice: "${aliceHash}"\n`, `${withoutAdmin}  - auth-anonymous\n`)
    assert.equal(usernameOf(await hooks.authenticate(credentialsOf())), '')
    assert.equal(usernameOf(await hooks.authenticate(credentialsOf('alice', 'wrong'))), wrong)
    assert.equal(usernameOf(await hooks.authenticate(credentialsOf('bob', 'any'))), wrong)
  },
)

test('auth-file: a disabled user is refused', deadline, async (t) => {
  const { hooks } = await loadUsers(t, `alice: { password: "${aliceHash}", disabled: true }\n`)
  const answer = await hooks.authenticate(credentialsOf('alice', alicePassword))
  assert.equal(usernameOf(answer), 'auth-file: the user is disabled')
})

test('auth-file: an unknown user takes as long as a wrong password, a remembered one no time', deadline, async (t) => {
  const { hooks } = await loadUsers(t, `alice: "${aliceHash}"\n`)
  const time = async (username: string, password: string) => {
    const start = processorMs()
    await hooks.authenticate(credentialsOf(username, password))
    return processorMs() - start
  }
  const first = await time('alice', alicePassword)
  const again = Math.min(...[await time('alice', alicePassword), await time('alice', alicePassword)])
  // In turns, and the least of several: a busy machine holds up one or the other.
  let [wrongly, unknown] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
  for (let round = 0; round < 6; round += 1) {
    wrongly = Math.min(wrongly, await time('alice', `wrong ${round}`))
    unknown = Math.min(unknown, await time(`nobody${round}`, 'wrong'))
  }
  assert.ok(again < first / 4, `remembered ${again} ms, first ${first} ms`)
  assert.ok(unknown > wrongly / 2, `unknown ${unknown} ms, wrong ${wrongly} ms`)
})

test('auth-file: a thousand logins at once with the same right password cost one hash', deadline, async (t) => {
  const { hooks } = await loadUsers(t, `alice: "${aliceHash}"\n`)
  const logins = Array.from({ length: 1_000 }, () => hooks.authenticate(credentialsOf('alice', alicePassword)))
  for (const answer of await Promise.all(logins)) assert.equal(usernameOf(answer), 'alice')
})

test('auth-file: a flood of wrong passwords is cut off before it is hashed', deadline, async (t) => {
  const { hooks } = await loadUsers(t, `alice: "${aliceHash}"\n`)
  const flood = Array.from({ length: 400 }, (_, n) => hooks.authenticate(credentialsOf('alice', `guess ${n}`)))
  const answers = (await Promise.all(flood)).map(usernameOf)
  assert.ok(answers.filter((answer) => answer.endsWith('too many logins at once')).length >= 200)
  assert.ok(!answers.includes('alice'))
})

test('auth-file: a well-known password is refused although its hash is right', deadline, async (t) => {
  const users = { admin: 'admin', alice: 'Changeme', sensor1: 'sensor1', bob: 'password' }
  const lines = await Promise.all(
    Object.entries(users).map(async ([name, word]) => `${name}: "${await hashPassword(word)}"`),
  )
  const { hooks } = await loadUsers(t, `${lines.join('\n')}\n`, withAdmin)
  for (const [username, password] of Object.entries(users)) {
    const answer = await hooks.authenticate(credentialsOf(username, password))
    assert.match(usernameOf(answer), /well-known/, username)
  }
})

test(
  'auth-file: a password in plain text is a problem that does not repeat it, with the way out',
  deadline,
  async (t) => {
    const folder = await temporaryFolder(t)
    await writeFiles(folder, {
      'oriole.yaml': withAdmin,
      'users.yaml': `alice: hunter2-in-plain
bob:
  password: hunter2-in-plain
carol: "scrypt$N=16384,r=8,p=1$damaged"
dave: { pasword: "${aliceHash}" }
"e\\u0007ve": "${aliceHash}"
frank: 12345
`,
    })
    const file = await readConfig(folder)
    const problems = await checkPlugins(file.value, file, {})
    assert.ok(!JSON.stringify(problems).includes('hunter2'))
    assert.deepEqual(
      problems.map(({ line, column }) => `${line}:${column}`),
      ['1:8', '3:13', '4:8', '5:9', '6:1', '7:8'],
      JSON.stringify(problems),
    )
    assert.match(problems[0]!.message, /is no password hash; run `oriole passwd`/)
    assert.match(problems[2]!.message, /damaged/)
    assert.match(problems[3]!.message, /did you mean "password"\?/)
  },
)

test(
  'auth-file: a changed file takes effect, ends what was remembered and disconnects whom it concerns',
  deadline,
  async (t) => {
    const loaded = await loadUsers(t, `alice: "${aliceHash}"\nbob: "${aliceHash}"\ncarol: "${aliceHash}"\n`)
    const { hooks, log, clients, disconnected } = loaded
    assert.equal(usernameOf(await hooks.authenticate(credentialsOf('alice', alicePassword))), 'alice')
    clients.push(clientOf('alice'), clientOf('bob'), clientOf('carol'))
    await replaceFile(join(loaded.folder, 'users.yaml'), `alice: "${otherHash}"\nbob: "${aliceHash}"\n`)
    await log.until(({ phrase }) => phrase === 'changed file is in use')
    assert.deepEqual(disconnected, ['alice-phone', 'carol-phone'])
    assert.equal(usernameOf(await hooks.authenticate(credentialsOf('alice', alicePassword))), wrong)
    assert.equal(usernameOf(await hooks.authenticate(credentialsOf('bob', alicePassword))), 'bob')
    assert.equal(usernameOf(await hooks.authenticate(credentialsOf('carol', alicePassword))), wrong)
  },
)

test('auth-file: who is on the way in when the password changes has proven the old one', deadline, async (t) => {
  const loaded = await loadUsers(t, `alice: "${aliceHash}"\nbob: "${aliceHash}"\n`)
  const { hooks, log } = loaded
  const proofOf = async (username: string) => {
    const answer = await hooks.authenticate(credentialsOf(username, alicePassword))
    assert.ok('identity' in answer)
    return hooks.proofOf(answer.identity)!
  }
  const [alice, bob] = [await proofOf('alice'), await proofOf('bob')]
  const text = `alice: "${otherHash}"\nbob: { password: "${aliceHash}", roles: [night] }\n`
  await replaceFile(join(loaded.folder, 'users.yaml'), text)
  await log.until(({ phrase }) => phrase === 'changed file is in use')
  assert.deepEqual(await hooks.identify(alice, credentialsOf('alice')), {
    deny: 'auth-file: the user has another password now',
  })
  const still = await hooks.identify(bob, credentialsOf('bob'))
  assert.ok('identity' in still)
  assert.deepEqual(still.identity.roles, ['night'])
})

test(
  'auth-file: a fresh install makes an admin, tells the password once and keeps only the hash',
  deadline,
  async (t) => {
    const first = await loadUsers(t, '{}\n', withAdmin)
    const [line, ...more] = first.announced
    assert.equal(more.length, 0)
    const password = /password "([A-Za-z0-9]{20})"/.exec(line ?? '')?.[1]
    assert.ok(password, line)
    assert.deepEqual(await first.hooks.authenticate(credentialsOf('admin', password)), {
      identity: { username: 'admin', groups: [], roles: ['admin'], attributes: {} },
    })
    assert.equal(usernameOf(await first.hooks.authenticate(credentialsOf('admin', 'admin'))), wrong)

    const path = join(first.folder, 'data', 'auth-file', 'admin.yaml')
    assert.equal((await stat(path)).mode & 0o777, 0o600)
    assert.ok(!(await readFile(path, 'utf8')).includes(password))
    assert.ok(!JSON.stringify(first.log.lines).includes(password))
    assert.deepEqual(await readdir(join(first.folder, 'data', 'auth-file')), ['admin.yaml', 'versions'])
    await first.stop()

    const second = await load(t, {}, first.folder)
    assert.deepEqual(second.announced, [])
    assert.equal(usernameOf(await second.hooks.authenticate(credentialsOf('admin', password))), 'admin')
  },
)

test('auth-file: a damaged admin file stops the start and says what to do', deadline, async (t) => {
  const first = await loadUsers(t, '{}\n', withAdmin)
  await first.stop()
  await writeFile(join(first.folder, 'data', 'auth-file', 'admin.yaml'), 'admin: ""\n')
  await assert.rejects(load(t, {}, first.folder), {
    code: 'ORI_PLUGIN_SETUP',
    message: /admin\.yaml is damaged; delete it/,
  })
})

test('auth-file: an admin in the users file, or `admin: false`, makes none', deadline, async (t) => {
  const named = await loadUsers(t, `admin: "${aliceHash}"\n`, withAdmin)
  assert.deepEqual(named.announced, [])
  assert.equal(usernameOf(await named.hooks.authenticate(credentialsOf('admin', alicePassword))), 'admin')
  const none = await loadUsers(t, '{}\n', withoutAdmin)
  assert.deepEqual(none.announced, [])
})

test('auth-file: the shipped users file holds nobody', deadline, async (t) => {
  const { hooks, announced } = await loadUsers(t, await readFile('config/users.yaml', 'utf8'), withAdmin)
  assert.equal(announced.length, 1)
  assert.equal(usernameOf(await hooks.authenticate(credentialsOf('alice', 'alice'))), wrong)
})

test('auth-file: a token is right at once, and only in the form that we make', deadline, async (t) => {
  const { token, hash } = makeToken()
  const byHand = `token$${createHash('sha256').update('a word').digest('base64')}`
  const { hooks } = await loadUsers(t, `sensor1: "${hash}"\nsensor2: { password: "${hash}" }\nsensor3: "${byHand}"\n`)
  const ask = async (username: string, password: string) =>
    usernameOf(await hooks.authenticate(credentialsOf(username, password)))
  assert.equal(await ask('sensor1', token), 'sensor1')
  assert.equal(await ask('sensor2', token), 'sensor2')
  assert.equal(await ask('sensor1', makeToken().token), wrong)
  assert.equal(await ask('sensor1', `${token} `), wrong)
  assert.equal(await ask('sensor1', hash), wrong)
  assert.equal(await ask('sensor3', 'a word'), wrong)
})

test('auth-file: ten thousand tokens are checked without the queue of hashes', deadline, async (t) => {
  const devices = Array.from({ length: 10_000 }, (_, index) => ({ name: `device${index}`, ...makeToken() }))
  const { hooks } = await loadUsers(t, devices.map(({ name, hash }) => `${name}: "${hash}"\n`).join(''))
  // The queue is full of guesses meanwhile.
  const guesses = Array.from({ length: 200 }, (_, n) => hooks.authenticate(credentialsOf(`nobody${n}`, 'guess')))
  const answers = await Promise.all(
    devices.map(async ({ name, token }) => usernameOf(await hooks.authenticate(credentialsOf(name, token)))),
  )
  assert.deepEqual(
    answers,
    devices.map(({ name }) => name),
  )
  await Promise.all(guesses)
})

test('auth-file: a wrong token takes as long as an unknown user', deadline, async (t) => {
  const { hooks } = await loadUsers(t, `sensor1: "${makeToken().hash}"\n`)
  const time = async (username: string) => {
    const start = processorMs()
    await hooks.authenticate(credentialsOf(username, makeToken().token))
    return processorMs() - start
  }
  const unknown = Math.min(...[await time('bob'), await time('carol')])
  const wrongly = Math.min(...[await time('sensor1'), await time('sensor1')])
  assert.ok(wrongly > unknown / 2, `unknown ${unknown} ms, wrong ${wrongly} ms`)
})

test('auth-file: who guesses the passwords of one user does not keep another one out', deadline, async (t) => {
  const { hooks } = await loadUsers(t, `alice: "${aliceHash}"\nbob: "${aliceHash}"\n`)
  const guesses = Array.from({ length: 300 }, (_, n) => hooks.authenticate(credentialsOf('alice', `guess ${n}`)))
  assert.equal(usernameOf(await hooks.authenticate(credentialsOf('bob', alicePassword))), 'bob')
  const refused = (await Promise.all(guesses)).filter((answer) => 'deny' in answer && answer.busy === true)
  assert.equal(refused.length, 290)
})
