// AUTH as the standard wants it, beside what test/broker/mqtt-auth.test.ts shows (MQTT 5.0, 3.15, 4.12).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { authPacket, beginLogin, dataOf, logIn, method, password, startScramBroker } from '../helpers/auth-client.ts'
import { connectPacket, connectRaw, openRaw, tryConnect } from '../helpers/raw-client.ts'
import { ScramClient } from '../helpers/scram-client.ts'

const timeout = 20_000

test('conformance: AUTH of the broker has the method of CONNECT, a code of its table, and no text that could be too long', {
  timeout,
}, async (t) => {
  const port = (await startScramBroker(t)).port()
  const login = new ScramClient('alice', password)
  const client = await openRaw(t, port)
  const properties = { authenticationMethod: method, authenticationData: login.first() }
  client.send(connectPacket({ properties }))
  const first = await client.expect('auth')
  assert.deepEqual(Object.keys(first.properties ?? {}).sort(), ['authenticationData', 'authenticationMethod'])
  client.send(authPacket(0x18, login.final(dataOf(first, 0x18))))
  const connack = await client.expect('connack')
  assert.deepEqual([connack.reasonCode, connack.properties?.authenticationMethod], [0, method])
  const again = new ScramClient('alice', password)
  client.send(authPacket(0x19, again.first()))
  client.send(authPacket(0x18, again.final(dataOf(await client.expect('auth'), 0x18))))
  const last = await client.expect('auth')
  again.verify(dataOf(last, 0))
  assert.deepEqual(Object.keys(last.properties ?? {}).sort(), ['authenticationData', 'authenticationMethod'])
})

test('conformance: AUTH of a client has 0x18 in an exchange and 0x19 to begin one, and no other code', {
  timeout,
}, async (t) => {
  const port = (await startScramBroker(t)).port()
  // Success is only the broker's to say; beginning again belongs behind CONNACK; the rest is no code of AUTH.
  for (const code of [0x00, 0x19, 0x80, 0x01]) {
    const scram = new ScramClient('alice', password)
    const { client, challenge } = await beginLogin(t, port, scram)
    client.send(authPacket(code, scram.final(challenge)))
    assert.equal((await client.expect('connack')).reasonCode, 0x82)
    await client.closed()
  }
  for (const code of [0x00, 0x18, 0x80]) {
    const { client } = await logIn(t, port, 'alice')
    client.send(authPacket(code, new ScramClient('alice', password).first()))
    await client.disconnected(0x82)
  }
})

test('conformance: without a method in CONNECT there is no AUTH, and no method in CONNACK', { timeout }, async (t) => {
  const port = (await startScramBroker(t)).port()
  const { client, connack } = await tryConnect(t, port)
  assert.equal(connack.properties?.authenticationMethod, undefined)
  assert.equal(connack.properties?.authenticationData, undefined)
  await client.nothing()
  client.send(authPacket(0x19, new ScramClient('alice', password).first()))
  await client.disconnected(0x82)
  const other = await connectRaw(t, port)
  await other.nothing()
})
