// Deliveries of QoS 1 and 2: the window, packet identifiers, what comes again and in which order (MQTT 4.3, 4.4, 4.6, 4.9).
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { spawnBroker, startBroker, temporaryFolder } from '../helpers/broker.ts'
import { openWith } from '../helpers/open-config.ts'
import { type ConnectOptions, connectRaw, kept, type PacketOf, type RawClient } from '../helpers/raw-client.ts'

const timeout = 30_000

function withWindow(clientId: string, receiveMaximum: number): ConnectOptions {
  return { ...kept(clientId), properties: { sessionExpiryInterval: 3600, receiveMaximum } }
}

async function publishAll(publisher: RawClient, count: number, qos: 1 | 2 = 1, from = 0): Promise<void> {
  for (let index = from; index < from + count; index += 1) {
    const messageId = publisher.publish('a', `${index}`, { qos })
    await publisher.expect(qos === 1 ? 'puback' : 'pubrec')
    if (qos === 1) continue
    publisher.send({ cmd: 'pubrel', messageId })
    await publisher.expect('pubcomp')
  }
}

async function take(client: RawClient, count: number): Promise<PacketOf<'publish'>[]> {
  const taken: PacketOf<'publish'>[] = []
  while (taken.length < count) taken.push(await client.expect('publish'))
  return taken
}

const textOf = ({ payload }: PacketOf<'publish'>): string => payload.toString()
const numbers = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => `${from + index}`)

for (const clientId of ['', 'kept']) {
  test(`qos: never more in flight than Receive Maximum (${clientId || 'clean'} session)`, { timeout }, async (t) => {
    const port = (await startBroker(t)).port()
    const subscriber = await connectRaw(t, port, {
      ...(clientId === '' ? {} : kept(clientId)),
      properties: { receiveMaximum: 3, ...(clientId !== '' && { sessionExpiryInterval: 100 }) },
    })
    await subscriber.subscribe('a', { qos: 2 })
    const publisher = await connectRaw(t, port)
    await publishAll(publisher, 2, 1)
    await publishAll(publisher, 5, 2, 2)
    await publishAll(publisher, 3, 1, 7)
    const got: string[] = []
    const open: PacketOf<'publish'>[] = []
    while (got.length < 10) {
      while (open.length < Math.min(3, 10 - got.length + open.length)) {
        const message = await subscriber.expect('publish')
        open.push(message)
        got.push(textOf(message))
      }
      await subscriber.nothing()
      assert.equal(new Set(open.map(({ messageId }) => messageId)).size, open.length)
      const { qos, messageId } = open.shift()!
      if (qos === 1) subscriber.send({ cmd: 'puback', messageId: messageId! })
      else {
        subscriber.send({ cmd: 'pubrec', messageId: messageId! })
        await subscriber.expect('pubrel')
        // The window opens with PUBCOMP, not before.
        await subscriber.nothing()
        subscriber.send({ cmd: 'pubcomp', messageId: messageId! })
      }
    }
    assert.deepEqual(got, numbers(0, 10))
  })
}

test('qos: a client that tells no Receive Maximum gets our default window', { timeout }, async (t) => {
  const port = (await startBroker(t, openWith({ limits: 'inflightOut: 4' }))).port()
  for (const version of [4, 5] as const) {
    const subscriber = await connectRaw(t, port, { version })
    await subscriber.subscribe('a', { qos: 1 })
    await publishAll(await connectRaw(t, port), 6)
    await take(subscriber, 4)
    await subscriber.nothing()
    await subscriber.cut()
  }
})

for (const restart of [false, true]) {
  test(`qos: after ${restart ? 'a restart' : 'a reconnect'} unacknowledged messages come first, with DUP, the same packet identifiers and in order`, {
    timeout,
  }, async (t) => {
    const folder = await temporaryFolder(t)
    const config = openWith({ folder })
    let broker = await startBroker(t, config, folder)
    const first = await connectRaw(t, broker.port(), withWindow('s', 6))
    await first.subscribe('a', { qos: 2 })
    const publisher = await connectRaw(t, broker.port())
    await publishAll(publisher, 3, 2)
    await publishAll(publisher, 5, 1, 3)
    const before = await take(first, 6)
    // 0 is released, 1 is received, 2 and 4 stay, 3 is acknowledged, 5 stays; 6 and 7 wait.
    first.send({ cmd: 'pubrec', messageId: before[0]!.messageId! }, { cmd: 'pubrec', messageId: before[1]!.messageId! })
    await first.expect('pubrel')
    await first.expect('pubrel')
    first.send({ cmd: 'pubcomp', messageId: before[0]!.messageId! })
    first.send({ cmd: 'puback', messageId: before[3]!.messageId! })
    assert.deepEqual((await take(first, 2)).map(textOf), ['6', '7'])
    await first.cut()
    if (restart) {
      await broker.stop()
      broker = await startBroker(t, config, folder)
    }
    await publishAll(await connectRaw(t, broker.port()), 2, 1, 8)
    const second = await connectRaw(t, broker.port(), withWindow('s', 100))
    assert.equal((await second.expect('pubrel')).messageId, before[1]!.messageId)
    const again = await take(second, 7)
    assert.deepEqual(again.map(textOf), ['2', '4', '5', '6', '7', '8', '9'])
    assert.deepEqual(
      again.map(({ dup }) => dup),
      [true, true, true, true, true, false, false],
    )
    assert.deepEqual(
      again.slice(0, 3).map(({ messageId }) => messageId),
      [2, 4, 5].map((index) => before[index]!.messageId),
    )
    assert.equal(new Set(again.map(({ messageId }) => messageId)).size, 7)
    await second.nothing()
  })
}

test('qos: what comes again respects a smaller Receive Maximum of the new connection', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const first = await connectRaw(t, port, withWindow('s', 20))
  await first.subscribe('a', { qos: 1 })
  await publishAll(await connectRaw(t, port), 12)
  await take(first, 12)
  await first.cut()
  const second = await connectRaw(t, port, withWindow('s', 4))
  const got: string[] = []
  const open = await take(second, 4)
  await second.nothing()
  // An answer for one that was not sent again yet counts too: it is not sent any more.
  second.send({ cmd: 'puback', messageId: open[0]!.messageId! + 5 })
  await second.nothing()
  while (got.length < 11) {
    const message = open.shift()!
    got.push(textOf(message))
    second.acknowledge(message)
    if (got.length + open.length < 11) open.push(await second.expect('publish'))
  }
  assert.deepEqual(
    got,
    numbers(0, 12).filter((text) => text !== '5'),
  )
  await second.nothing()
})

test('qos: a QoS 2 delivery survives kill -9 of the broker with its packet identifier', { timeout }, async (t) => {
  const folder = await temporaryFolder(t)
  const configPath = join(folder, 'oriole.yaml')
  const { writeFile } = await import('node:fs/promises')
  await writeFile(configPath, openWith({ folder }).replace('durability: os', 'durability: disk'))
  const portOf = (urls: readonly string[]): number => Number(new URL(urls[0]!).port)
  const before = await spawnBroker(t, configPath, folder)
  const first = await connectRaw(t, portOf(before.urls), kept('s'))
  await first.subscribe('a', { qos: 2 })
  await publishAll(await connectRaw(t, portOf(before.urls)), 3, 2)
  const sent = await take(first, 3)
  first.send({ cmd: 'pubrec', messageId: sent[0]!.messageId! })
  await first.expect('pubrel')
  await before.kill('SIGKILL')
  const after = await spawnBroker(t, configPath, folder)
  const second = await connectRaw(t, portOf(after.urls), kept('s'))
  assert.equal((await second.expect('pubrel')).messageId, sent[0]!.messageId)
  const again = await take(second, 2)
  assert.deepEqual(
    again.map(({ messageId, dup, payload }) => [messageId, dup, payload.toString()]),
    sent.slice(1).map(({ messageId, payload }) => [messageId, true, payload.toString()]),
  )
})

test('qos: PUBREC with an error ends a delivery, PUBREC again is answered again', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const subscriber = await connectRaw(t, port, { ...withWindow('s', 1) })
  await subscriber.subscribe('a', { qos: 2 })
  await publishAll(await connectRaw(t, port), 2, 2)
  const one = await subscriber.expect('publish')
  subscriber.send({ cmd: 'pubrec', messageId: one.messageId!, reasonCode: 0x97 })
  const two = await subscriber.expect('publish')
  assert.equal(textOf(two), '1')
  for (let round = 0; round < 2; round += 1) {
    subscriber.send({ cmd: 'pubrec', messageId: two.messageId! })
    assert.equal((await subscriber.expect('pubrel')).reasonCode ?? 0, 0)
  }
  subscriber.send({ cmd: 'pubcomp', messageId: two.messageId! })
  subscriber.send({ cmd: 'pubrec', messageId: two.messageId! })
  assert.equal((await subscriber.expect('pubrel')).reasonCode, 0x92)
  await subscriber.cut()
  const back = await connectRaw(t, port, withWindow('s', 1))
  await back.nothing()
})

test('qos: an acknowledgement of the wrong kind, or for nothing, changes nothing', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const subscriber = await connectRaw(t, port, withWindow('s', 1))
  await subscriber.subscribe('a', { qos: 2 })
  await publishAll(await connectRaw(t, port), 2, 2)
  const one = await subscriber.expect('publish')
  subscriber.send({ cmd: 'puback', messageId: one.messageId! }, { cmd: 'pubcomp', messageId: 999 })
  await subscriber.nothing()
})

test('qos: a session that acknowledges out of order gets nothing twice and loses nothing', { timeout }, async (t) => {
  const folder = await temporaryFolder(t)
  const config = openWith({ folder })
  let broker = await startBroker(t, config, folder)
  const first = await connectRaw(t, broker.port(), kept('s'))
  await first.subscribe('a', { qos: 1 })
  await publishAll(await connectRaw(t, broker.port()), 10)
  const sent = await take(first, 10)
  for (const index of [9, 7, 5, 3, 1]) first.acknowledge(sent[index]!)
  await first.nothing()
  await first.leave()
  await broker.stop()
  broker = await startBroker(t, config, folder)
  await publishAll(await connectRaw(t, broker.port()), 1, 1, 10)
  const second = await connectRaw(t, broker.port(), { ...kept('s'), answers: true })
  assert.deepEqual(await second.texts(6), ['0', '2', '4', '6', '8', '10'])
  await second.nothing()
})
