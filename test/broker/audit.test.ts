// Who came in, who was refused, whose rights changed, what an admin did: it stands in the log.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { withSampledRefusals } from '../../broker/audit-log.ts'
import { makeToken } from '../../broker/password.ts'
import { spawnBroker, temporaryFolder } from '../helpers/broker.ts'
import { runCommand } from '../helpers/command.ts'
import { NotedLog } from '../helpers/plugins.ts'
import { tryConnect } from '../helpers/raw-client.ts'

test('audit: logins, refusals, changes of rules and what an admin does, each with a line', {
  timeout: 60_000,
}, async (t) => {
  const folder = await temporaryFolder(t)
  const { token, hash } = makeToken()
  await writeFile(join(folder, 'users.yaml'), `alice: "${hash}"\n`)
  await writeFile(join(folder, 'acl.yaml'), '- allow: { subscribe: "open", publish: "open" }\n')
  await writeFile(
    join(folder, 'oriole.yaml'),
    `
listeners: [{ name: tcp, type: tcp, port: 0 }]
store: { type: level, path: ./data, durability: os }
admin: { enabled: false }
log: { format: json }
plugins: [auth-file: { users: users.yaml, admin: false }, acl-file: { rules: acl.yaml }]
`,
  )
  const broker = await spawnBroker(t, 'oriole.yaml', folder)
  const port = Number(new URL(broker.urls[0]!).port)
  const logIn = (password: string) =>
    tryConnect(t, port, { clientId: 'phone', username: 'alice', password: Buffer.from(password) })
  await logIn('a secret that nobody shall read')
  const { client } = await logIn(token)
  await client.subscribe(['open', 'closed'])
  await client.publishAcknowledged('closed', 'a payload that nobody shall read')
  await writeFile(join(folder, 'acl.yaml'), '- allow: { publish: "open" }\n')
  while ((await client.subscribe('open'))[0] !== 0x87);
  await runCommand(t, ['kick', 'phone', '--data', join(folder, 'data')])
  await runCommand(t, ['ban', 'add', '--user', 'alice', '--data', join(folder, 'data')])
  assert.equal((await logIn(token)).code, 0x8a)
  await broker.kill('SIGTERM')

  const lines = broker
    .output()
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  const audited = new Set(lines.filter(({ audit }) => audit !== undefined).map(({ audit, msg }) => `${audit}: ${msg}`))
  for (const line of [
    'login: client connected',
    'refusal: connect refused',
    'refusal: subscribe refused',
    'refusal: publish refused',
    'rights: subscription ended',
    'rights: rights asked again',
    'admin: kicked',
    'admin: banned',
  ]) {
    assert.ok(audited.has(line), `${line} is not among ${[...audited].join(', ')}`)
  }
  const login = lines.find(({ audit }) => audit === 'login')
  assert.deepEqual([login?.clientId, login?.username, login?.listener], ['phone', 'alice', 'tcp'])
  assert.doesNotMatch(broker.output(), /nobody shall read/)
})

test('audit: of a flood of refusals some are written, and how many were left out', { timeout: 20_000 }, async () => {
  const noted = new NotedLog()
  const log = withSampledRefusals(noted)
  for (let n = 0; n < 1_000; n += 1) {
    log.info({ audit: 'refusal', n }, 'connect refused')
    log.info({ audit: 'login', n }, 'client connected')
  }
  log.info({ audit: 'refusal' }, 'publish refused')
  const [last] = await noted.until(({ fields }) => fields.leftOut !== undefined)
  const count = (phrase: string) => noted.lines.filter((line) => line.phrase === phrase).length
  assert.equal(count('client connected'), 1_000)
  assert.equal(count('publish refused'), 1)
  const written = count('connect refused') - 1
  assert.ok(written > 0 && written < 100)
  assert.deepEqual(last?.fields, { audit: 'refusal', leftOut: 1_000 - written })
})
