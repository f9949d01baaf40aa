// Enhanced authentication over real sockets (MQTT 5.0, 4.12): the exchange, what may come between, and doing it again.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { connect } from 'mqtt'
import type { IConnackPacket, Packet } from 'mqtt-packet'
import { authPacket, beginLogin, dataOf, logIn, method, password, startScramBroker } from '../helpers/auth-client.ts'
import { replaceFile } from '../helpers/plugins.ts'
import { connectPacket, connectRaw, openRaw, type RawClient, tryConnect } from '../helpers/raw-client.ts'
import { challengeOf, ScramClient } from '../helpers/scram-client.ts'

const deadline = { timeout: 20_000 }

/** The broker refuses with this CONNACK, and closes. */
async function refused(client: RawClient, reasonCode: number): Promise<void> {
  assert.equal((await client.expect('connack')).reasonCode, reasonCode)
  await client.closed()
}

test('enhanced authentication: success, with the signature of the server in CONNACK', deadline, async (t) => {
  const broker = await startScramBroker(t)
  const { client } = await logIn(t, broker.port(), 'alice', { clientId: 'phone' })
  assert.deepEqual(await client.subscribe('a'), [0])
  client.publish('a', 'hello')
  assert.deepEqual(await client.texts(1), ['hello'])
})

test('enhanced authentication: a wrong password and an unknown user get the same answers', deadline, async (t) => {
  const broker = await startScramBroker(t)
  for (const [username, tried] of [
    ['alice', 'wrong'],
    ['nobody', password],
  ] as const) {
    const scram = new ScramClient(username, tried)
    const { client, challenge } = await beginLogin(t, broker.port(), scram)
    assert.equal(challengeOf(challenge).iterations, 4096)
    client.send(authPacket(0x18, scram.final(challenge)))
    await refused(client, 0x87)
  }
})

test('enhanced authentication: a method that no plugin knows is refused with 0x8C', deadline, async (t) => {
  const broker = await startScramBroker(t)
  const properties = { authenticationMethod: 'SCRAM-SHA-1', authenticationData: Buffer.from('n,,n=alice,r=x') }
  const { client, connack, code } = await tryConnect(t, broker.port(), { properties })
  assert.equal(code, 0x8c)
  assert.equal(connack.properties?.authenticationMethod, undefined)
  await client.closed()
})

test('enhanced authentication: AUTH with another method is a protocol error', deadline, async (t) => {
  const broker = await startScramBroker(t)
  const scram = new ScramClient('alice', password)
  const { client, challenge } = await beginLogin(t, broker.port(), scram)
  client.send(authPacket(0x18, scram.final(challenge), 'SCRAM-SHA-1'))
  await refused(client, 0x82)

  const connected = (await logIn(t, broker.port(), 'alice')).client
  connected.send(authPacket(0x19, new ScramClient('alice', password).first(), 'SCRAM-SHA-1'))
  await connected.disconnected(0x82)
})

test('enhanced authentication: AUTH is a protocol error when CONNECT named no method', deadline, async (t) => {
  const broker = await startScramBroker(t)
  for (const reasonCode of [0x18, 0x19]) {
    const client = await connectRaw(t, broker.port())
    client.send(authPacket(reasonCode, new ScramClient('alice', password).first()))
    await client.disconnected(0x82)
  }
})

test('enhanced authentication: AUTH as the first packet closes without an answer', deadline, async (t) => {
  const broker = await startScramBroker(t)
  const client = await openRaw(t, broker.port())
  client.send(authPacket(0x18, new ScramClient('alice', password).first()))
  await client.closed()
})

test('enhanced authentication: AUTH from a client of MQTT 3.1.1 closes', deadline, async (t) => {
  const broker = await startScramBroker(t)
  const client = await connectRaw(t, broker.port(), { version: 4, clientId: 'old' })
  client.bytes([0xf0, 2, 0x18, 0])
  await client.closed()
})

test('enhanced authentication: any other packet before CONNACK is a protocol error', deadline, async (t) => {
  const broker = await startScramBroker(t)
  const others: Packet[] = [
    { cmd: 'pingreq' },
    { cmd: 'publish', topic: 'a', payload: 'x', qos: 0, dup: false, retain: false },
    { cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'a', qos: 0 }] },
    { cmd: 'puback', messageId: 1 },
    connectPacket({ clientId: 'second' }),
    authPacket(0x19, new ScramClient('alice', password).first()),
  ]
  for (const packet of others) {
    const { client } = await beginLogin(t, broker.port(), new ScramClient('alice', password))
    client.send(packet)
    await refused(client, 0x82)
  }
})

test('enhanced authentication: a malformed packet before CONNACK is told so', deadline, async (t) => {
  const broker = await startScramBroker(t)
  const { client } = await beginLogin(t, broker.port(), new ScramClient('alice', password))
  client.bytes([0xf1, 2, 0x18, 0])
  await refused(client, 0x81)
})

test(
  'enhanced authentication: a client may disconnect during the exchange, and leaves no will',
  deadline,
  async (t) => {
    const broker = await startScramBroker(t)
    const watcher = await connectRaw(t, broker.port())
    await watcher.subscribe('will')
    const will = { topic: 'will', payload: Buffer.from('gone'), qos: 0 as const, retain: false }
    const { client } = await beginLogin(t, broker.port(), new ScramClient('alice', password), { will })
    client.send({ cmd: 'disconnect', reasonCode: 4 })
    await client.closed()
    await watcher.nothing()
  },
)

test('enhanced authentication: an exchange without an end is cut at the connect timeout', deadline, async (t) => {
  const broker = await startScramBroker(t, '{ connectTimeoutMs: 1000 }')
  const begun = Date.now()
  const { client } = await beginLogin(t, broker.port(), new ScramClient('alice', password))
  await client.closed()
  const tookMs = Date.now() - begun
  assert.ok(tookMs >= 950 && tookMs < 5_000, `${tookMs} ms`)
})

test('enhanced authentication: a client too small for the challenge is refused with 0x95', deadline, async (t) => {
  const broker = await startScramBroker(t)
  const authenticationData = new ScramClient('alice', password).first()
  const properties = { authenticationMethod: method, authenticationData, maximumPacketSize: 60 }
  const { client, code } = await tryConnect(t, broker.port(), { properties })
  assert.equal(code, 0x95)
  await client.closed()
})

test(
  'enhanced authentication: too many failures ban the user of the exchange, and nobody else',
  deadline,
  async (t) => {
    const broker = await startScramBroker(t, '{ failedLogins: { perMinute: 2, banS: 60 } }')
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const scram = new ScramClient('alice', 'wrong')
      const { client, challenge } = await beginLogin(t, broker.port(), scram, { username: `name ${attempt}` })
      client.send(authPacket(0x18, scram.final(challenge)))
      await refused(client, 0x87)
    }
    const properties = { authenticationMethod: method, authenticationData: new ScramClient('alice', password).first() }
    assert.equal((await tryConnect(t, broker.port(), { properties })).code, 0x8a)
    await logIn(t, broker.port(), 'bob')
  },
)

test('enhanced authentication: two exchanges at once do not touch each other', deadline, async (t) => {
  const broker = await startScramBroker(t)
  const [alice, bob] = [new ScramClient('alice', password), new ScramClient('bob', password)]
  const one = await beginLogin(t, broker.port(), alice)
  const two = await beginLogin(t, broker.port(), bob)
  one.client.send(authPacket(0x18, alice.final(one.challenge)))
  two.client.send(authPacket(0x18, bob.final(two.challenge)))
  alice.verify((await one.client.expect('connack')).properties?.authenticationData)
  bob.verify((await two.client.expect('connack')).properties?.authenticationData)
})

test('enhanced authentication: the session belongs to the user of the exchange', deadline, async (t) => {
  const broker = await startScramBroker(t)
  const { client } = await logIn(t, broker.port(), 'alice', { clientId: 'phone' })
  const scram = new ScramClient('bob', password)
  const thief = await beginLogin(t, broker.port(), scram, { clientId: 'phone' })
  thief.client.send(authPacket(0x18, scram.final(thief.challenge)))
  await refused(thief.client, 0x87)
  await client.nothing()
})

test('re-authentication: succeeds while messages flow in both directions', deadline, async (t) => {
  const broker = await startScramBroker(t)
  const { client } = await logIn(t, broker.port(), 'alice')
  const other = await connectRaw(t, broker.port())
  await client.subscribe('to/alice')
  await other.subscribe('from/alice')

  const scram = new ScramClient('alice', password)
  client.send(authPacket(0x19, scram.first()))
  const challenge = dataOf(await client.expect('auth'), 0x18)
  // Between the steps everything goes on under what was proven before (4.12.1).
  client.publish('from/alice', 'between the steps')
  assert.deepEqual(await other.texts(1), ['between the steps'])
  assert.equal(await other.publishAcknowledged('to/alice', 'hello'), 0)
  assert.deepEqual(await client.texts(1), ['hello'])
  await client.nothing()
  client.send(authPacket(0x18, scram.final(challenge)))
  scram.verify(dataOf(await client.expect('auth'), 0x00))

  client.publish('from/alice', 'afterwards')
  assert.deepEqual(await other.texts(1), ['afterwards'])
  // And once more, for it may be done as often as the client wants.
  await reauthenticate(client, 'alice')
  await client.nothing()
})

test('re-authentication: as another user is refused with 0x87', deadline, async (t) => {
  const broker = await startScramBroker(t)
  const { client } = await logIn(t, broker.port(), 'alice')
  const scram = new ScramClient('bob', password)
  client.send(authPacket(0x19, scram.first()))
  client.send(authPacket(0x18, scram.final(dataOf(await client.expect('auth'), 0x18))))
  await client.disconnected(0x87)
})

test('re-authentication: a failure disconnects with 0x87, and the will is published', deadline, async (t) => {
  const broker = await startScramBroker(t)
  const watcher = await connectRaw(t, broker.port())
  await watcher.subscribe('will')
  const will = { topic: 'will', payload: Buffer.from('gone'), qos: 0 as const, retain: false }
  const { client } = await logIn(t, broker.port(), 'alice', { will })
  const scram = new ScramClient('alice', 'wrong')
  client.send(authPacket(0x19, scram.first()))
  client.send(authPacket(0x18, scram.final(dataOf(await client.expect('auth'), 0x18))))
  await client.disconnected(0x87)
  assert.deepEqual(await watcher.texts(1), ['gone'])
})

test('re-authentication: AUTH out of its order is a protocol error', deadline, async (t) => {
  const broker = await startScramBroker(t)
  const idle = (await logIn(t, broker.port(), 'alice')).client
  idle.send(authPacket(0x18, Buffer.from('c=biws,r=x,p=x')))
  await idle.disconnected(0x82)

  const busy = (await logIn(t, broker.port(), 'alice')).client
  busy.send(authPacket(0x19, new ScramClient('alice', password).first()))
  await busy.expect('auth')
  busy.send(authPacket(0x19, new ScramClient('alice', password).first()))
  await busy.disconnected(0x82)
})

test('re-authentication: the ban of a user does not end who is connected', deadline, async (t) => {
  const broker = await startScramBroker(t, '{ failedLogins: { perMinute: 1, banS: 60 } }')
  const { client } = await logIn(t, broker.port(), 'alice')
  const scram = new ScramClient('alice', 'wrong')
  const guesser = await beginLogin(t, broker.port(), scram)
  guesser.client.send(authPacket(0x18, scram.final(guesser.challenge)))
  await refused(guesser.client, 0x87)
  await reauthenticate(client, 'alice')
  await client.nothing()
})

test('re-authentication: the rights are those of now, for subscriptions and for publishing', deadline, async (t) => {
  const broker = await startScramBroker(t)
  const other = await connectRaw(t, broker.port())
  const { client } = await logIn(t, broker.port(), 'alice')
  assert.deepEqual(await client.subscribe('board'), [0])
  assert.equal(await other.publishAcknowledged('board', 'before'), 0)
  assert.deepEqual(await client.texts(1), ['before'])
  // Alice becomes an intern, whom the rules keep from the board; who joins a group is not disconnected for that.
  await replaceFile(broker.groupsPath, 'interns: { members: [alice] }\n')
  while ((await boardCode(t, broker.port())) !== 0x87);
  await reauthenticate(client, 'alice')
  assert.equal(await client.publishAcknowledged('board', 'mine'), 0x87)
  assert.equal(await other.publishAcknowledged('board', 'after'), 0x10)
  await client.nothing()
})

test('enhanced authentication: the client of the mqtt package comes in', deadline, async (t) => {
  const broker = await startScramBroker(t)
  const scram = new ScramClient('alice', password)
  const client = connect(broker.url(), {
    protocolVersion: 5,
    reconnectPeriod: 0,
    properties: { authenticationMethod: method, authenticationData: scram.first() },
  })
  t.after(() => client.endAsync(true))
  client.handleAuth = (packet, callback) => {
    callback(undefined, authPacket(0x18, scram.final(packet.properties?.authenticationData)))
  }
  const connack = await new Promise<IConnackPacket>((resolve, reject) => {
    client.once('connect', resolve)
    client.once('error', reject)
  })
  scram.verify(connack.properties?.authenticationData)
  await client.subscribeAsync('a')
})

async function reauthenticate(client: RawClient, username: string): Promise<void> {
  const scram = new ScramClient(username, password)
  client.send(authPacket(0x19, scram.first()))
  client.send(authPacket(0x18, scram.final(dataOf(await client.expect('auth'), 0x18))))
  scram.verify(dataOf(await client.expect('auth'), 0x00))
}

/** What alice is told who comes in now and wants to read the board. */
async function boardCode(t: TestContext, port: number): Promise<number | undefined> {
  const { client } = await logIn(t, port, 'alice')
  const [code] = await client.subscribe('board')
  await client.leave()
  return code
}
