// Logins that meet a full queue of hashes: told to try later, not counted as failures, and not in the way of tokens.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { hashPassword, makeToken } from '../../broker/password.ts'
import { startBroker, temporaryFolder } from '../helpers/broker.ts'
import { metric } from '../helpers/open-config.ts'
import { writeFiles } from '../helpers/plugins.ts'
import { connectPacket, openRaw } from '../helpers/raw-client.ts'

test('connect: who meets a full queue of hashes hears "server busy", is not banned for it, and tokens pass by', {
  timeout: 60_000,
}, async (t) => {
  const folder = await temporaryFolder(t)
  const { token, hash } = makeToken()
  await writeFiles(folder, { 'users.yaml': `alice: "${await hashPassword('a good password')}"\nsensor: "${hash}"\n` })
  const broker = await startBroker(
    t,
    `
listeners: [{ name: tcp, type: tcp, port: 0 }]
store: { type: memory }
admin: { port: 0 }
limits: { failedLogins: { perMinute: 100 } }
plugins: [auth-file: { users: ${join(folder, 'users.yaml')}, admin: false }]
`,
    folder,
  )
  const logIn = async (username: string, password: string, protocolVersion: 4 | 5) => {
    const client = await openRaw(t, broker.port(), { version: protocolVersion })
    const clientId = `${username} ${Math.random()}`
    client.send(connectPacket({ version: protocolVersion, clientId, username, password: Buffer.from(password) }))
    const connack = await client.expect('connack')
    return protocolVersion === 5 ? connack.reasonCode : connack.returnCode
  }
  // Ten wait for a hash at a time for one user; those who come then find no room.
  const guesses = Array.from({ length: 40 }, (_, index) => logIn('alice', `guess ${index}`, index % 2 === 0 ? 5 : 4))
  assert.equal(await logIn('sensor', token, 5), 0)
  const codes = await Promise.all(guesses)
  const wrong = codes.filter((code) => code === 0x86 || code === 4).length
  const busy = codes.filter((code) => code === 0x89 || code === 3).length
  assert.ok(busy > 0 && wrong >= 10, `${busy} busy, ${wrong} wrong`)
  assert.equal(wrong + busy, codes.length)
  assert.equal(await metric(broker, 'oriole_auth_failures_total'), wrong)
  assert.equal(await logIn('alice', 'a good password', 5), 0)
})
