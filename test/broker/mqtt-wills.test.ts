// Wills: when they are published, when not, and that it happens once (MQTT 3.1.2.5, 3.1.3.2, 3.14.4).
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { type BrokerProcess, spawnBroker, startBroker, temporaryFolder } from '../helpers/broker.ts'
import { openWith } from '../helpers/open-config.ts'
import { type ConnectOptions, connectRaw, kept, type RawClient, tryConnect } from '../helpers/raw-client.ts'

const timeout = 30_000

interface WillOptions {
  readonly delayS?: number
  readonly expiryS?: number
  readonly topic?: string
  readonly payload?: string | Buffer
  readonly payloadFormatIndicator?: boolean
  readonly retain?: boolean
}

function will({ delayS = 0, expiryS, topic = 'will', payload = 'gone', retain = false, ...more }: WillOptions = {}) {
  const properties = {
    willDelayInterval: delayS,
    ...(expiryS !== undefined && { messageExpiryInterval: expiryS }),
    ...more,
  }
  return { will: { topic, payload: payload as Buffer, qos: 1, retain, properties } } as const
}

async function observer(t: Parameters<typeof connectRaw>[0], port: number): Promise<RawClient> {
  const client = await connectRaw(t, port, { answers: true })
  await client.subscribe(['will', 'mark'], { qos: 1 })
  return client
}

/** Nothing came to the observer up to now: a message of its own is the next one. */
async function sees(client: RawClient, expected: readonly string[]): Promise<void> {
  client.publish('mark', 'mark')
  assert.deepEqual(await client.texts(expected.length + 1), [...expected, 'mark'])
}

for (const version of [3, 4, 5] as const) {
  test(`wills: published when the connection is lost, not after DISCONNECT (protocol level ${version})`, {
    timeout,
  }, async (t) => {
    const port = (await startBroker(t)).port()
    const watching = await observer(t, port)
    const options = { version, clientId: 'c', ...will() }
    await (await connectRaw(t, port, options)).leave()
    await sees(watching, [])
    await (await connectRaw(t, port, options)).cut()
    assert.deepEqual(await watching.texts(1), ['gone'])
    // A protocol error is no goodbye.
    const rude = await connectRaw(t, port, options)
    rude.bytes([0x00, 0x00])
    assert.deepEqual(await watching.texts(1), ['gone'])
    await sees(watching, [])
  })
}

test('wills: every DISCONNECT but 0x00 lets the will be published', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const watching = await observer(t, port)
  for (const reasonCode of [0x04, 0x80, 0x97]) {
    await (await connectRaw(t, port, { clientId: 'c', ...will({ payload: `${reasonCode}` }) })).leave({}, reasonCode)
    assert.deepEqual(await watching.texts(1), [`${reasonCode}`])
  }
})

test('wills: a delay is kept, ends with the session, and is cut short by nothing else', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const watching = await observer(t, port)
  const startedAt = performance.now()
  await (await connectRaw(t, port, { ...kept('slow'), ...will({ delayS: 2, payload: 'slow' }) })).cut()
  const short = { clientId: 'short', clean: false, properties: { sessionExpiryInterval: 1 } }
  await (await connectRaw(t, port, { ...short, ...will({ delayS: 1000, payload: 'short' }) })).cut()
  // Without a session there is nothing to wait for.
  await (await connectRaw(t, port, { clientId: 'clean', ...will({ delayS: 1000, payload: 'clean' }) })).cut()
  assert.deepEqual(await watching.texts(1), ['clean'])
  await sees(watching, [])
  assert.deepEqual(await watching.texts(1), ['short'])
  assert.ok(performance.now() - startedAt >= 1_000)
  assert.deepEqual(await watching.texts(1), ['slow'])
  assert.ok(performance.now() - startedAt >= 2_000)
})

test('wills: a client that comes back in time is not gone; a clean start ends the session, and the will goes out', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const watching = await observer(t, port)
  const delayed = { ...kept('c'), ...will({ delayS: 1 }) }
  await (await connectRaw(t, port, delayed)).cut()
  const back = await connectRaw(t, port, kept('c'))
  await new Promise((resolve) => setTimeout(resolve, 3_000))
  await sees(watching, [])
  await back.leave()
  await (await connectRaw(t, port, delayed)).cut()
  await connectRaw(t, port, { clientId: 'c', clean: true })
  assert.deepEqual(await watching.texts(1), ['gone'])
})

test('wills: at a takeover the will without delay goes out, the delayed one does not', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const watching = await observer(t, port)
  await connectRaw(t, port, { ...kept('c'), ...will({ payload: 'one' }) })
  await connectRaw(t, port, { ...kept('c'), ...will({ payload: 'two', delayS: 1000 }) })
  assert.deepEqual(await watching.texts(1), ['one'])
  await connectRaw(t, port, { ...kept('c'), ...will({ payload: 'three', delayS: 1000 }) })
  await sees(watching, [])
  await connectRaw(t, port, { clientId: 'c', clean: true })
  assert.deepEqual(await watching.texts(1), ['three'])
  await sees(watching, [])
})

test('wills: those of clients that died with the broker are published once after its restart', {
  timeout,
}, async (t) => {
  const folder = await temporaryFolder(t)
  const config = openWith({ folder })
  let broker = await startBroker(t, config, folder)
  const away = await connectRaw(t, broker.port(), kept('watching'))
  await away.subscribe('will', { qos: 1 })
  await away.leave()
  const options: readonly ConnectOptions[] = [
    { clientId: 'clean', ...will({ payload: 'clean' }) },
    { ...kept('kept'), ...will({ payload: 'kept' }) },
    { ...kept('delayed'), ...will({ payload: 'delayed', delayS: 2 }) },
    { ...kept('back'), ...will({ payload: 'back', delayS: 1000 }) },
  ]
  for (const one of options) await connectRaw(t, broker.port(), one)
  // The broker closes them: that is no goodbye of theirs.
  await broker.stop()
  broker = await startBroker(t, config, folder)
  await connectRaw(t, broker.port(), kept('back'))
  const watching = await connectRaw(t, broker.port(), { ...kept('watching'), answers: true })
  const seen = await watching.texts(3)
  assert.deepEqual(seen.slice(0, 2).sort(), ['clean', 'kept'])
  assert.equal(seen[2], 'delayed')
  await watching.leave()
  await broker.stop()
  broker = await startBroker(t, config, folder)
  await new Promise((resolve) => setTimeout(resolve, 2_500))
  await (await connectRaw(t, broker.port(), kept('watching'))).nothing()
})

test('wills: published after kill -9 of the broker, once', { timeout }, async (t) => {
  const folder = await temporaryFolder(t)
  const configPath = join(folder, 'oriole.yaml')
  await writeFile(configPath, openWith({ folder }))
  const portOf = ({ urls }: BrokerProcess): number => Number(new URL(urls[0]!).port)
  let broker = await spawnBroker(t, configPath, folder)
  const away = await connectRaw(t, portOf(broker), kept('watching'))
  await away.subscribe('will', { qos: 1 })
  await away.leave()
  for (const clientId of ['a', 'b']) await connectRaw(t, portOf(broker), { clientId, ...will({ payload: clientId }) })
  // Stored with the next commit: an acknowledgement that waited for one comes after it.
  await (await connectRaw(t, portOf(broker), kept('other'))).publishAcknowledged('will', 'stored')
  for (let round = 0; round < 2; round += 1) {
    await broker.kill('SIGKILL')
    broker = await spawnBroker(t, configPath, folder)
    const watching = await connectRaw(t, portOf(broker), { ...kept('watching'), answers: true })
    if (round === 0) assert.deepEqual((await watching.texts(3)).sort(), ['a', 'b', 'stored'])
    else await watching.nothing()
    await watching.leave()
    await (await connectRaw(t, portOf(broker), kept('other'))).publishAcknowledged('will/other', 'x')
  }
})

test('wills: checked at CONNECT', { timeout }, async (t) => {
  const limits = 'topicMaxLevels: 2, willMaxBytes: 100, retainedMaxBytes: 10'
  const port = (await startBroker(t, openWith({ limits }))).port()
  const answer = async (options: WillOptions, version: 4 | 5 = 5): Promise<number> =>
    (await tryConnect(t, port, { clientId: 'c', version, ...will(options) })).code
  assert.equal(await answer({ topic: '$SYS/a' }), 0x87)
  assert.equal(await answer({ topic: '$SYS/a' }, 4), 5)
  assert.equal(await answer({ topic: 'a/b/c' }), 0x90)
  assert.equal(await answer({ payload: 'x'.repeat(101) }), 0x95)
  assert.equal(await answer({ payload: 'x'.repeat(11), retain: true }), 0x97)
  assert.equal(await answer({ payload: Buffer.from([0xff]), payloadFormatIndicator: true }), 0x99)
  assert.equal(await answer({}), 0)
})

test('wills: retained, with properties, and an expiry that counts from its publication', { timeout }, async (t) => {
  const port = (await startBroker(t)).port()
  const leaving = { ...kept('c'), ...will({ retain: true, delayS: 1, expiryS: 100 }) }
  const watching = await observer(t, port)
  await (await connectRaw(t, port, leaving)).cut()
  const live = await watching.expect('publish')
  assert.deepEqual([live.retain, live.properties?.messageExpiryInterval], [false, 100])
  const late = await connectRaw(t, port)
  await late.subscribe('will')
  const retained = await late.expect('publish')
  assert.equal(retained.retain, true)
})
