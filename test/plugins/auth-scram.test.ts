// auth-scram: the exchange step by step, against the vector of RFC 7677 and a client of its own.
import assert from 'node:assert/strict'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { ExchangeAnswer, ExchangeStep } from '../../broker/plugin.ts'
import { checkPlugins } from '../../broker/plugins.ts'
import { saslprep } from '../../broker/saslprep.ts'
import { isScramProof, makeScramSecret, parseScramSecret, scramServerSignature } from '../../broker/scram.ts'
import {
  clientOf,
  credentialsOf,
  type Loaded,
  load,
  readConfig,
  replaceFile,
  temporaryFolder,
  writeFiles,
} from '../helpers/plugins.ts'
import { challengeOf, ScramClient, type ScramOptions } from '../helpers/scram-client.ts'

const deadline = { timeout: 30_000 }
const config = 'plugins:\n  - auth-scram: { users: scram.yaml }\n'
const password = 'correct horse battery staple'
const secret = (await makeScramSecret(password))!
const otherSecret = (await makeScramSecret('another password altogether'))!
const wrong = 'auth-scram: unknown user or wrong password'

type Hooks = Loaded['hooks']

async function loadUsers(t: TestContext, users: string): Promise<Loaded> {
  return load(t, { 'oriole.yaml': config, 'scram.yaml': users })
}

function stepOf(data: Buffer | undefined, state?: unknown, method = 'SCRAM-SHA-256'): ExchangeStep {
  return { ...credentialsOf(), method, data, state, client: undefined }
}

async function begin(
  hooks: Hooks,
  data: Buffer | string,
): Promise<{ readonly challenge: Buffer; readonly state: unknown }> {
  const answer = await hooks.authenticateExchange(stepOf(Buffer.from(data as string)))
  assert.ok('challenge' in answer, JSON.stringify(answer))
  return answer
}

/** The whole exchange. */
async function logIn(
  hooks: Hooks,
  client: ScramClient,
  change?: (withoutProof: string) => string,
): Promise<ExchangeAnswer> {
  const { challenge, state } = await begin(hooks, client.first())
  return hooks.authenticateExchange(stepOf(client.final(challenge, change), state))
}

const denied = (answer: ExchangeAnswer): string | undefined => ('deny' in answer ? answer.deny : undefined)
const usernameOf = (answer: ExchangeAnswer): string | undefined =>
  'identity' in answer ? answer.identity.username : denied(answer)

test('scram: the example of RFC 7677, 3', deadline, async () => {
  const salt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64')
  const parsed = parseScramSecret((await makeScramSecret('pencil', 4096, salt))!)!
  const nonce = 'rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0'
  const authMessage = `n=user,r=rOprNGfwEbeRWgbNEkqO,r=${nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=${nonce}`
  const proof = Buffer.from('dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=', 'base64')
  assert.equal(isScramProof(parsed, authMessage, proof), true)
  assert.equal(isScramProof(parsed, `${authMessage}.`, proof), false)
  assert.equal(isScramProof(parsed, authMessage, proof.subarray(1)), false)
  const signature = scramServerSignature(parsed, authMessage).toString('base64')
  assert.equal(signature, '6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=')
})

test('scram: a secret that is damaged or asks for too little or too much is none', deadline, () => {
  assert.notEqual(parseScramSecret(secret), undefined)
  for (const iterations of ['4095', '1000001', '9999999', '0', '', '4096.0', '-4096']) {
    assert.equal(parseScramSecret(secret.replace('$4096:', `$${iterations}:`)), undefined, iterations)
  }
  for (const text of [
    '',
    'pencil',
    secret.slice(0, -1),
    `${secret}=`,
    secret.replace('256', '1'),
    secret.replace(':', ''),
  ]) {
    assert.equal(parseScramSecret(text), undefined, text)
  }
})

test('saslprep: the examples of RFC 4013, 3, and what is prohibited', deadline, async () => {
  assert.equal(saslprep('I\u00adX'), 'IX')
  assert.equal(saslprep('user'), 'user')
  assert.equal(saslprep('USER'), 'USER')
  assert.equal(saslprep('\u00aa'), 'a')
  assert.equal(saslprep('\u2168'), 'IX')
  assert.equal(saslprep('\u0007'), undefined)
  assert.equal(saslprep('\u0627\u0031'), undefined)
  assert.equal(saslprep('\u0627\u0031\u0628'), '\u0627\u0031\u0628')
  assert.equal(saslprep('\u0627a\u0628'), undefined)
  assert.equal(saslprep('a\u00a0b\u3000c'), 'a b c')
  for (const character of [
    '\u0000',
    '\u007f',
    '\u0080',
    '\u200e',
    '\u2028',
    '\ue000',
    '\ufffd',
    '\ufdd0',
    '\ud800',
    '\u{e0001}',
  ]) {
    assert.equal(saslprep(`a${character}`), undefined, `U+${character.codePointAt(0)?.toString(16)}`)
  }
  assert.equal(await makeScramSecret('bell\u0007'), undefined)
  assert.equal(await makeScramSecret('\u00ad'), undefined)
})

test('auth-scram: who knows the password comes in, and sees that the server knows it too', deadline, async (t) => {
  const { hooks } = await loadUsers(
    t,
    `alice: "${secret}"
"b,o=b": { password: "${secret}", groups: [ops], roles: [admin], attributes: { mail: bob@example.org } }
`,
  )
  const alice = new ScramClient('alice', password)
  const answer = await logIn(hooks, alice)
  assert.ok('identity' in answer, denied(answer))
  assert.deepEqual(answer.identity, { username: 'alice', groups: [], roles: [], attributes: {} })
  alice.verify(answer.data)

  const bob = await logIn(hooks, new ScramClient('b,o=b', password))
  assert.ok('identity' in bob, denied(bob))
  assert.deepEqual(bob.identity.roles, ['admin'])
  assert.deepEqual(bob.identity.attributes, { mail: 'bob@example.org' })
})

test('auth-scram: names and passwords are the same however they are typed', deadline, async (t) => {
  const typed = (await makeScramSecret('gr\u00fc\u00dfe \u2168'))!
  const { hooks } = await loadUsers(t, `j\u00f6rg: "${typed}"\n`)
  assert.equal(usernameOf(await logIn(hooks, new ScramClient('jo\u0308rg', 'gr\u00fc\u00dfe IX'))), 'j\u00f6rg')
})

test('auth-scram: a wrong password, an unknown and a disabled user fail only at the end', deadline, async (t) => {
  const { hooks } = await loadUsers(t, `alice: "${secret}"\nbob: { password: "${secret}", disabled: true }\n`)
  assert.equal(denied(await logIn(hooks, new ScramClient('alice', 'wrong'))), wrong)
  assert.equal(denied(await logIn(hooks, new ScramClient('nobody', password))), wrong)
  assert.equal(denied(await logIn(hooks, new ScramClient('bob', 'wrong'))), wrong)
  assert.equal(denied(await logIn(hooks, new ScramClient('bob', password))), 'auth-scram: the user is disabled')
  assert.equal(denied(await logIn(hooks, new ScramClient('constructor', password))), wrong)
})

test(
  'auth-scram: an unknown user gets a salt that looks real and stays the same after a restart',
  deadline,
  async (t) => {
    const often = (await makeScramSecret(password, 5000))!
    const first = await loadUsers(t, `alice: "${often}"\nbob: "${often}"\ncarol: "${secret}"\n`)
    const ask = async (hooks: Hooks, name: string) =>
      challengeOf((await begin(hooks, new ScramClient(name, '').first())).challenge)
    const nobody = await ask(first.hooks, 'nobody')
    assert.equal(nobody.iterations, 5000)
    assert.equal(nobody.salt.length, (await ask(first.hooks, 'alice')).salt.length)
    assert.deepEqual(await ask(first.hooks, 'nobody'), nobody)
    assert.notEqual((await ask(first.hooks, 'somebody')).salt, nobody.salt)
    assert.equal((await stat(join(first.folder, 'data', 'auth-scram', 'decoy.key'))).mode & 0o777, 0o600)
    await first.stop()
    const second = await load(t, {}, first.folder)
    assert.deepEqual(await ask(second.hooks, 'nobody'), nobody)
  },
)

test('auth-scram: another method, and a login without one, are left to the next plugin', deadline, async (t) => {
  const { hooks } = await loadUsers(t, `alice: "${secret}"\n`)
  const answer = await hooks.authenticateExchange(stepOf(Buffer.from('n,,n=alice,r=x'), undefined, 'SCRAM-SHA-1'))
  assert.equal(denied(answer), 'no plugin answered')
  assert.deepEqual(await hooks.authenticate(credentialsOf('alice', password)), { deny: 'no plugin answered' })
})

test(
  'auth-scram: the client may say y or name itself, but bind no channel and act for nobody else',
  deadline,
  async (t) => {
    const { hooks } = await loadUsers(t, `alice: "${secret}"\n`)
    const withHeader = (header: string): ScramOptions => ({ header })
    for (const header of ['n,,', 'y,,', 'n,a=alice,', 'y,a=alice,']) {
      assert.equal(
        usernameOf(await logIn(hooks, new ScramClient('alice', password, withHeader(header)))),
        'alice',
        header,
      )
    }
    for (const [message, why] of [
      ['p=tls-unique,,n=alice,r=abc', 'channel binding is not offered'],
      ['n,a=bob,n=alice,r=abc', 'nobody acts for somebody else'],
      ['n,,m=x,n=alice,r=abc', 'an extension that is not known'],
      ['n,,n=al=ice,r=abc', 'the username is malformed'],
      ['n,,n=al\u0007ice,r=abc', 'the username is malformed'],
      ['n,,n=,r=abc', 'malformed client-first message'],
      ['n,,n=alice,r=', 'malformed client-first message'],
      ['n,,n=alice,r=a c', 'malformed client-first message'],
      ['n,,n=alice', 'malformed client-first message'],
      ['x,,n=alice,r=abc', 'malformed client-first message'],
      ['n=alice,r=abc', 'malformed client-first message'],
      ['', 'malformed client-first message'],
      [`n,,n=${'a'.repeat(2048)},r=abc`, 'no client-first message'],
    ] as const) {
      assert.equal(
        denied(await hooks.authenticateExchange(stepOf(Buffer.from(message)))),
        `auth-scram: ${why}`,
        message,
      )
    }
    const notUtf8 = Buffer.concat([Buffer.from('n,,n=al'), Buffer.from([0xff]), Buffer.from('ice,r=abc')])
    assert.equal(denied(await hooks.authenticateExchange(stepOf(notUtf8))), 'auth-scram: no client-first message')
    assert.equal(denied(await hooks.authenticateExchange(stepOf(undefined))), 'auth-scram: no client-first message')
  },
)

test('auth-scram: another nonce, another header or a broken proof is refused', deadline, async (t) => {
  const { hooks } = await loadUsers(t, `alice: "${secret}"\n`)
  const alice = () => new ScramClient('alice', password)
  const nonce = 'auth-scram: the nonce is not that of this exchange'
  const header = 'auth-scram: the header is not that of the first message'
  assert.equal(denied(await logIn(hooks, alice(), (text) => `${text}x`)), nonce)
  assert.equal(denied(await logIn(hooks, alice(), (text) => text.slice(0, -1))), nonce)
  assert.equal(denied(await logIn(hooks, alice(), (text) => text.replace('c=biws', 'c=eSws'))), header)
  assert.equal(
    denied(await logIn(hooks, alice(), (text) => `${text},m=x`)),
    'auth-scram: an extension that is not known',
  )
  assert.equal(usernameOf(await logIn(hooks, alice(), (text) => `${text},x=y`)), 'alice')

  const { challenge, state } = await begin(hooks, alice().first())
  assert.match(challenge.toString(), /^r=/)
  for (const message of ['', 'c=biws', 'c=biws,r=abc,p=', 'c=biws,r=abc,p=AAAA', 'e=other-error']) {
    const answer = await hooks.authenticateExchange(stepOf(Buffer.from(message), state))
    assert.equal(denied(answer), 'auth-scram: malformed client-final message', message)
  }
})

test('auth-scram: the state of one exchange is of no use in another', deadline, async (t) => {
  const { hooks } = await loadUsers(t, `alice: "${secret}"\nbob: "${otherSecret}"\n`)
  const [alice, mallory] = [new ScramClient('alice', password), new ScramClient('bob', password)]
  const ofAlice = await begin(hooks, alice.first())
  const ofMallory = await begin(hooks, mallory.first())
  assert.notEqual(ofAlice.state, ofMallory.state)
  const final = alice.final(ofAlice.challenge)
  const crossed = await hooks.authenticateExchange(stepOf(final, ofMallory.state))
  assert.equal(denied(crossed), 'auth-scram: the nonce is not that of this exchange')
  assert.equal(usernameOf(await hooks.authenticateExchange(stepOf(final, ofAlice.state))), 'alice')
  // Recorded, and played again in an exchange of its own: the nonce is another one.
  const again = await begin(hooks, alice.first())
  const replayed = await hooks.authenticateExchange(stepOf(final, again.state))
  assert.equal(denied(replayed), 'auth-scram: the nonce is not that of this exchange')
})

test(
  'auth-scram: a changed file holds at once, also within an exchange, and disconnects whom it changes',
  deadline,
  async (t) => {
    const loaded = await loadUsers(t, `alice: "${secret}"\nbob: "${secret}"\n`)
    const { hooks, log, clients, disconnected, folder } = loaded
    clients.push(clientOf('alice'), clientOf('bob'))
    const client = new ScramClient('alice', password)
    const { challenge, state } = await begin(hooks, client.first())
    await replaceFile(join(folder, 'scram.yaml'), `alice: "${otherSecret}"\nbob: "${secret}"\n`)
    await log.until(({ phrase }) => phrase === 'changed file is in use')
    assert.deepEqual(disconnected, ['alice-phone'])
    assert.equal(denied(await hooks.authenticateExchange(stepOf(client.final(challenge), state))), wrong)
    assert.equal(usernameOf(await logIn(hooks, new ScramClient('alice', 'another password altogether'))), 'alice')
  },
)

test('auth-scram: what is wrong in the file is told with its place, and never with the secret', deadline, async (t) => {
  const folder = await temporaryFolder(t)
  await writeFiles(folder, {
    'oriole.yaml': config,
    'scram.yaml': `alice: hunter2\nbob: "${secret.replace('4096', '1')}"\n"jo\u0308rg": "${secret}"\n`,
  })
  const file = await readConfig(folder)
  const problems = await checkPlugins(file.value, file, {})
  const text = JSON.stringify(problems)
  assert.equal(problems.length, 3, text)
  assert.match(text, /is no SCRAM secret; run `oriole passwd --scram`/)
  assert.match(text, /iterations are not from 4096 to 1000000/)
  assert.match(text, /must be as SASLprep leaves it/)
  assert.ok(!text.includes('hunter2'))
})
