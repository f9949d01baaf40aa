// WebSocket listeners: the upgrade and its refusals, frames as a byte stream, endings of all kinds.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { connectAsync } from 'mqtt'
import { type ClientOptions, WebSocket } from 'ws'
import { makeCertificates } from '../helpers/certificates.ts'
import { dial, makeFolder, openTestListener, receive, receiveAll, type TestListener } from '../helpers/listener.ts'

const timeout = 20_000
const connectPacket = Buffer.from('101000044d5154540402003c000461626364', 'hex')

test('ws: frames come through both ways, with subprotocol, address and port', { timeout }, async (t) => {
  const opened = await openTestListener(t, { type: 'ws' })
  const webSocket = await dialWeb(t, opened)
  assert.equal(webSocket.protocol, 'mqtt')
  assert.equal(webSocket.extensions, '', 'no compression, though the client offers it')
  webSocket.send(Buffer.from('hello'))
  assert.equal(String(await receiveFrames(webSocket, 5)), 'hello')
  const connection = await opened.nextConnection()
  assert.equal(connection.address, '127.0.0.1')
  assert.ok(connection.port > 0)
  assert.equal(opened.listener.url, `ws://127.0.0.1:${opened.port}/mqtt`)
})

test('wss: frames come through TLS', { timeout }, async (t) => {
  const { ca, server, client } = await makeCertificates(await makeFolder(t))
  const config = { type: 'wss', ca, clientCertificate: 'required', ...server }
  const { port, listener, nextConnection } = await openTestListener(t, config)
  const options = { ca: await readFile(ca), cert: await readFile(client.certificate), key: await readFile(client.key) }
  const webSocket = new WebSocket(`wss://127.0.0.1:${port}/mqtt`, 'mqtt', options)
  t.after(() => webSocket.terminate())
  await once(webSocket, 'open')
  webSocket.send(Buffer.from('hello'))
  assert.equal(String(await receiveFrames(webSocket, 5)), 'hello')
  assert.equal((await nextConnection()).certificate?.commonName, 'device-1')
  assert.equal(listener.url, `wss://127.0.0.1:${port}/mqtt`)
})

test('ws: a stock MQTT client connects', { timeout }, async (t) => {
  const { port } = await openTestListener(
    t,
    { type: 'ws' },
    { onConnection: ({ stream }) => stream.once('data', () => stream.write(Buffer.from('20020000', 'hex'))) },
  )
  const client = await connectAsync(`ws://127.0.0.1:${port}/mqtt`, { reconnectPeriod: 0 })
  await client.endAsync(true)
})

test('ws: a packet cut into two frames at every byte is one stream', { timeout }, async (t) => {
  const webSocket = await dialWeb(t, await openTestListener(t, { type: 'ws' }))
  for (let cut = 1; cut < connectPacket.length; cut++) {
    webSocket.send(connectPacket.subarray(0, cut))
    webSocket.send(connectPacket.subarray(cut))
    assert.deepEqual(await receiveFrames(webSocket, connectPacket.length), connectPacket)
  }
})

test('ws: one message in fragments, empty frames and several packets in one frame are one stream', {
  timeout,
}, async (t) => {
  const webSocket = await dialWeb(t, await openTestListener(t, { type: 'ws' }))
  for (const byte of connectPacket) webSocket.send(Buffer.from([byte]), { fin: false })
  webSocket.send(Buffer.alloc(0), { fin: true })
  webSocket.send(Buffer.alloc(0))
  webSocket.send(Buffer.concat([connectPacket, connectPacket]))
  const expected = Buffer.concat([connectPacket, connectPacket, connectPacket])
  assert.deepEqual(await receiveFrames(webSocket, expected.length), expected)
})

test('ws: the bytes of the upgrade and of frames may come one by one', { timeout }, async (t) => {
  const { port } = await openTestListener(t, { type: 'ws' })
  const socket = await dial(t, port)
  const request = upgradeRequest('/mqtt', { 'Sec-WebSocket-Protocol': 'mqtt' })
  const frame = Buffer.from([0x82, 0x83, 0, 0, 0, 0, 0x61, 0x62, 0x63])
  for (const byte of Buffer.concat([request, frame])) {
    await new Promise((resolve) => socket.write(Buffer.from([byte]), resolve))
  }
  assert.match(await receiveUntil(socket, '\x82\x03abc'), /^HTTP\/1\.1 101 /)
})

test('ws: the upgrade and the first frame may come in one piece', { timeout }, async (t) => {
  const { port } = await openTestListener(t, { type: 'ws' })
  const socket = await dial(t, port)
  const frame = Buffer.from([0x82, 0x83, 0, 0, 0, 0, 0x61, 0x62, 0x63])
  socket.write(Buffer.concat([upgradeRequest('/mqtt', { 'Sec-WebSocket-Protocol': 'mqtt' }), frame]))
  assert.match(await receiveUntil(socket, '\x82\x03abc'), /^HTTP\/1\.1 101 /)
})

test('ws: writes of one tick leave as one frame, large ones in several, all in order', { timeout }, async (t) => {
  const { webSocket, stream } = await dialSilent(t)
  const frames: number[] = []
  webSocket.on('message', (data: Buffer) => frames.push(data.length))
  stream.cork()
  for (let index = 0; index < 1000; index++) stream.write(Buffer.from([index & 0xff]))
  stream.uncork()
  const small = await receiveFrames(webSocket, 1000)
  assert.deepEqual(small, Buffer.from(Array.from({ length: 1000 }, (_, index) => index & 0xff)))
  assert.deepEqual(frames, [1000])
  const large = Buffer.alloc(300_000, 'abcdefg')
  stream.cork()
  stream.write(Buffer.from('start'))
  stream.write(large)
  stream.write(Buffer.from('end'))
  stream.uncork()
  const received = await receiveFrames(webSocket, large.length + 8)
  assert.deepEqual(received, Buffer.concat([Buffer.from('start'), large, Buffer.from('end')]))
})

test('ws: a reader that stops fills the stream and not the memory, and gets all when it goes on', {
  timeout,
}, async (t) => {
  const { webSocket, stream } = await dialSilent(t)
  webSocket.pause()
  const chunk = Buffer.alloc(64 * 1024, 'x')
  let sent = 0
  // The kernel takes some megabytes; then the stream says stop, and shows what it holds.
  while (stream.writableLength < 1024 * 1024) {
    stream.write(chunk)
    sent += chunk.length
    await new Promise((resolve) => setImmediate(resolve))
    assert.ok(sent < 256 * 1024 * 1024)
  }
  assert.equal(stream.writableNeedDrain, true)
  webSocket.resume()
  await Promise.all([once(stream, 'drain'), receiveFrames(webSocket, sent)])
  assert.equal(stream.writableLength, 0)
})

test('ws: a broker that stops reading makes the sender wait', { timeout }, async (t) => {
  const { webSocket, stream } = await dialSilent(t)
  const chunk = Buffer.alloc(64 * 1024, 'x')
  let sent = 0
  while (webSocket.bufferedAmount < 1024 * 1024) {
    webSocket.send(chunk)
    sent += chunk.length
    await new Promise((resolve) => setImmediate(resolve))
    assert.ok(sent < 256 * 1024 * 1024)
  }
  assert.ok(stream.readableLength <= 2 * chunk.length, `${stream.readableLength} bytes held`)
  assert.equal((await receive(stream, sent)).length, sent)
})

const refusals: readonly (readonly [name: string, path: string, headers: Record<string, string>, answer: RegExp])[] = [
  ['no subprotocol', '/mqtt', {}, /^HTTP\/1\.1 400 .*the WebSocket subprotocol "mqtt" must be offered\n$/s],
  ['a strange subprotocol', '/mqtt', { 'Sec-WebSocket-Protocol': 'chat, mqttx' }, /^HTTP\/1\.1 400 .*"mqtt" must be/s],
  [
    'another path',
    '/chat',
    { 'Sec-WebSocket-Protocol': 'mqtt' },
    /^HTTP\/1\.1 404 .*MQTT over WebSocket is at \/mqtt/s,
  ],
  [
    'a strange Origin',
    '/mqtt',
    { 'Sec-WebSocket-Protocol': 'mqtt', Origin: 'https://evil.example' },
    /^HTTP\/1\.1 403 /,
  ],
  ['an old version', '/mqtt', { 'Sec-WebSocket-Protocol': 'mqtt', 'Sec-WebSocket-Version': '7' }, /^HTTP\/1\.1 400 /],
  ['a bad key', '/mqtt', { 'Sec-WebSocket-Protocol': 'mqtt', 'Sec-WebSocket-Key': 'x' }, /^HTTP\/1\.1 400 /],
  ['another upgrade', '/mqtt', { 'Sec-WebSocket-Protocol': 'mqtt', Upgrade: 'h2c' }, /^HTTP\/1\.1 400 /],
  ['headers without end', '/mqtt', { 'X-Long': 'x'.repeat(20_000) }, /^HTTP\/1\.1 431 /],
]

for (const [name, path, headers, answer] of refusals) {
  test(`ws: an upgrade with ${name} is refused with one line`, { timeout }, async (t) => {
    const { port, counts, connections } = await openTestListener(t, { type: 'ws', origins: ['https://ours.example'] })
    const socket = await dial(t, port)
    socket.write(upgradeRequest(path, headers))
    assert.match(String(await receiveAll(socket)), answer)
    assert.equal(counts.connectionsRefused.upgrade, 1)
    assert.equal(connections.length, 0)
  })
}

test('ws: a plain request is told what this is, garbage too', { timeout }, async (t) => {
  const { port, counts } = await openTestListener(t, { type: 'ws' })
  const answers = [
    ['GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n', /^HTTP\/1\.1 426 .*connect with an MQTT client\n$/s],
    ['POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc', /^HTTP\/1\.1 404 .*nothing here/s],
    ['\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0', /^HTTP\/1\.1 400 /],
  ] as const
  for (const [request, answer] of answers) {
    const socket = await dial(t, port)
    socket.write(request)
    assert.match(String(await receiveAll(socket)), answer)
  }
  assert.equal(counts.connectionsRefused.upgrade, 3)
})

test('ws: our Origin, and a client that sends none, may come in; path "/" takes any', { timeout }, async (t) => {
  const opened = await openTestListener(t, { type: 'ws', origins: ['https://ours.example'], path: '/' })
  await dialWeb(t, opened, { origin: 'https://ours.example' })
  await dialWeb(t, opened, {}, ['mqttv3.1', 'mqtt'])
  const old = await dialWeb(t, opened, {}, ['mqttv3.1'])
  assert.equal(old.protocol, 'mqttv3.1')
  await opened.nextConnection()
})

test('ws: an upgrade that does not come in time is cut', { timeout }, async (t) => {
  const { port, counts } = await openTestListener(t, { type: 'ws' }, { limits: { connectTimeoutMs: 50 } })
  for (const bytes of ['GET /mqtt HTTP/1.1\r\nHost', '']) {
    const socket = await dial(t, port)
    socket.write(bytes)
    await receiveAll(socket)
  }
  assert.equal(counts.connectionsRefused.timeout, 2)
})

test('ws: a text frame is answered with close code 1003', { timeout }, async (t) => {
  const { port, nextConnection } = await openTestListener(t, { type: 'ws' })
  const webSocket = await dialWeb(t, { port })
  const { stream } = await nextConnection()
  const ended = once(stream, 'close')
  webSocket.send('text')
  webSocket.send(Buffer.from('after'))
  const [code] = await once(webSocket, 'close')
  assert.equal(code, 1003)
  await ended
})

test('ws: a message over the limit is answered with 1009 and never held', { timeout }, async (t) => {
  const { port, nextConnection } = await openTestListener(t, { type: 'ws' }, { limits: { packetMaxBytes: 1000 } })
  const webSocket = await dialWeb(t, { port })
  const { stream } = await nextConnection()
  const ended = once(stream, 'close').catch(() => {})
  webSocket.on('error', () => {})
  webSocket.send(Buffer.alloc(100_000))
  const [code] = await once(webSocket, 'close')
  assert.equal(code, 1009)
  await ended
})

test('ws: an unmasked frame, a reset and a clean close each end the stream and harm nobody', { timeout }, async (t) => {
  const opened = await openTestListener(t, { type: 'ws' })
  const steady = await dialWeb(t, opened)
  await opened.nextConnection()
  const endings: ((socket: Socket) => void)[] = [
    (socket) => socket.write(Buffer.from([0x82, 0x01, 0x61])),
    (socket) => socket.resetAndDestroy(),
    (socket) => socket.destroy(),
    (socket) => socket.write(Buffer.from([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8])),
    (socket) => socket.write(Buffer.from([0xf2, 0x80, 0, 0, 0, 0])),
  ]
  for (const ending of endings) {
    const socket = connect({ port: opened.port, host: '127.0.0.1' })
    socket.on('error', () => {})
    t.after(() => socket.destroy())
    socket.write(upgradeRequest('/mqtt', { 'Sec-WebSocket-Protocol': 'mqtt' }))
    const { stream } = await opened.nextConnection()
    socket.resume()
    const ended = new Promise((resolve) => stream.once('close', resolve))
    ending(socket)
    await ended
  }
  steady.send(Buffer.from('fine'))
  assert.equal(String(await receiveFrames(steady, 4)), 'fine')
})

test('ws: end sends what was written and closes with 1000, destroy breaks off', { timeout }, async (t) => {
  const opened = await openTestListener(t, { type: 'ws' })
  const polite = await dialWeb(t, opened)
  const first = await opened.nextConnection()
  const got = receiveFrames(polite, 4)
  first.stream.end('last')
  assert.equal(String(await got), 'last')
  assert.equal((await once(polite, 'close'))[0], 1000)
  const rude = await dialWeb(t, opened)
  const second = await opened.nextConnection()
  second.stream.destroy()
  assert.equal((await once(rude, 'close'))[0], 1006)
})

async function dialWeb(
  t: TestContext,
  { port }: Pick<TestListener, 'port'>,
  options: ClientOptions = {},
  subprotocols: string[] = ['mqtt'],
): Promise<WebSocket> {
  const webSocket = new WebSocket(`ws://127.0.0.1:${port}/mqtt`, subprotocols, options)
  t.after(() => webSocket.terminate())
  await once(webSocket, 'open')
  return webSocket
}

/** Both ends of a connection on which the broker does nothing by itself. */
async function dialSilent(t: TestContext): Promise<{ readonly webSocket: WebSocket; readonly stream: Duplex }> {
  const streams: Duplex[] = []
  const onConnection = ({ stream }: { readonly stream: Duplex }): number => streams.push(stream)
  const webSocket = await dialWeb(t, await openTestListener(t, { type: 'ws' }, { onConnection }))
  const stream = streams[0]
  // The answer to the upgrade leaves before the connection is handed over, in the same turn.
  assert.ok(stream !== undefined)
  t.after(() => stream.destroy())
  return { webSocket, stream }
}

/** Resolves with the first `bytes` bytes that come in binary frames. */
function receiveFrames(webSocket: WebSocket, bytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let total = 0
  return new Promise((resolve, reject) => {
    const onMessage = (data: Buffer, isBinary: boolean): void => {
      if (!isBinary) reject(new Error('a text frame'))
      chunks.push(data)
      total += data.length
      if (total < bytes) return
      webSocket.off('message', onMessage)
      webSocket.off('close', onClose)
      resolve(Buffer.concat(chunks))
    }
    const onClose = (code: number): void => reject(new Error(`closed with ${code} after ${total} bytes`))
    webSocket.on('message', onMessage)
    webSocket.on('close', onClose)
  })
}

function receiveUntil(socket: Socket, end: string): Promise<string> {
  let text = ''
  return new Promise((resolve, reject) => {
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      if (text.endsWith(end)) resolve(text)
    })
    socket.once('close', () => reject(new Error(`closed after ${text}`)))
  })
}

function upgradeRequest(path: string, headers: Readonly<Record<string, string>>): Buffer {
  const all = {
    Host: 'localhost',
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    ...headers,
  }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`)
  return Buffer.from(`GET ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`)
}
