// The PROXY protocol, versions 1 and 2: whole, byte by byte, before TLS and HTTP, and hostile.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { WebSocket } from 'ws'
import { parseProxyHeader } from '../../broker/listeners/proxy-protocol.ts'
import { makeCertificates } from '../helpers/certificates.ts'
import { dial, makeFolder, openTestListener, receive, receiveAll } from '../helpers/listener.ts'

const timeout = 20_000
const signature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')

function binaryHeader(command: number, family: number, body: Buffer, length = body.length): Buffer {
  const head = Buffer.from([command, family, length >> 8, length & 0xff])
  return Buffer.concat([signature, head, body])
}

/** 203.0.113.7:4660 to 10.0.0.1:1883, with a type-length-value behind. */
const ipv4Body = Buffer.from('cb0071070a0000011234075b' + '03000412345678', 'hex')
const ipv6Body = Buffer.from(`20010db8${'00'.repeat(11)}01${'00'.repeat(15)}011234075b`, 'hex')

const good: readonly (readonly [name: string, header: Buffer, address: string, port: number | undefined])[] = [
  ['v1 TCP4', Buffer.from('PROXY TCP4 203.0.113.7 10.0.0.1 4660 1883\r\n'), '203.0.113.7', 4660],
  ['v1 TCP6', Buffer.from('PROXY TCP6 2001:DB8:0::1 ::1 4660 1883\r\n'), '2001:db8::1', 4660],
  ['v1 TCP6 with a mapped address', Buffer.from('PROXY TCP6 ::ffff:203.0.113.7 ::1 1 2\r\n'), '203.0.113.7', 1],
  ['v1 UNKNOWN', Buffer.from('PROXY UNKNOWN ffff::1 whatever\r\n'), '127.0.0.1', undefined],
  ['v2 TCP4', binaryHeader(0x21, 0x11, ipv4Body), '203.0.113.7', 4660],
  ['v2 TCP6', binaryHeader(0x21, 0x21, ipv6Body), '2001:db8::1', 4660],
  ['v2 LOCAL', binaryHeader(0x20, 0x00, Buffer.alloc(0)), '127.0.0.1', undefined],
  ['v2 LOCAL with a family', binaryHeader(0x20, 0x11, ipv4Body), '127.0.0.1', undefined],
  ['v2 UNSPEC', binaryHeader(0x21, 0x00, Buffer.alloc(40)), '127.0.0.1', undefined],
]

for (const [name, header, address, sourcePort] of good) {
  test(`proxy-protocol: ${name} names the client, whole and byte by byte`, { timeout }, async (t) => {
    const { port, nextConnection } = await openTestListener(t, { type: 'tcp', proxyProtocol: true })
    for (const send of [sendWhole, sendByBytes]) {
      const socket = await dial(t, port)
      await send(socket, Buffer.concat([header, Buffer.from('first bytes')]))
      assert.equal(String(await receive(socket, 11)), 'first bytes')
      const connection = await nextConnection()
      assert.equal(connection.address, address)
      assert.equal(connection.port, sourcePort ?? socket.localPort)
    }
  })
}

const hostile: readonly (readonly [name: string, bytes: Buffer])[] = [
  ['MQTT without a header', Buffer.from('100c00044d5154540402003c0000', 'hex')],
  ['v1 with a line that never ends', Buffer.from(`PROXY TCP4 ${'1'.repeat(200)}`)],
  ['v1 with a zone', Buffer.from('PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n')],
  ['v1 with IPv6 in TCP4', Buffer.from('PROXY TCP4 ::1 ::1 1 2\r\n')],
  ['v1 with a port of 65536', Buffer.from('PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n')],
  ['v1 with a port in hexadecimal', Buffer.from('PROXY TCP4 1.2.3.4 1.2.3.4 0x10 2\r\n')],
  ['v1 with two spaces', Buffer.from('PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n')],
  ['v1 with one word too many', Buffer.from('PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n')],
  ['v1 with UDP', Buffer.from('PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n')],
  ['v2 with version 3', binaryHeader(0x31, 0x11, ipv4Body)],
  ['v2 with command 2', binaryHeader(0x22, 0x11, ipv4Body)],
  ['v2 with addresses cut short', binaryHeader(0x21, 0x11, ipv4Body.subarray(0, 8))],
  ['v2 IPv6 with addresses of IPv4', binaryHeader(0x21, 0x21, ipv4Body)],
  ['v2 with UDP', binaryHeader(0x21, 0x12, ipv4Body)],
  ['v2 with 65,535 bytes announced', binaryHeader(0x21, 0x11, ipv4Body, 65_535)],
  ['v2 with a broken signature', Buffer.concat([signature.subarray(0, 11), Buffer.from([0xff, 0x21, 0x11, 0, 0])])],
]

for (const [name, bytes] of hostile) {
  test(`proxy-protocol: ${name} is cut, counted and logged`, { timeout }, async (t) => {
    const { port, connections, counts, logged } = await openTestListener(t, { type: 'tcp', proxyProtocol: true })
    const socket = await dial(t, port)
    socket.write(bytes)
    assert.equal((await receiveAll(socket)).length, 0)
    assert.equal(connections.length, 0)
    assert.equal(counts.connectionsRefused.proxy, 1)
    assert.equal((await logged('connection refused')).fields.address, '127.0.0.1')
  })
}

test('proxy-protocol: every beginning of a good header asks for more', () => {
  for (const [, header] of good) {
    for (let end = 0; end < header.length; end++) {
      assert.equal(parseProxyHeader(header.subarray(0, end)).kind, 'incomplete')
    }
    const parsed = parseProxyHeader(Buffer.concat([header, Buffer.from([0x10])]))
    assert.equal(parsed.kind === 'header' && parsed.bytes, header.length)
  }
})

test('proxy-protocol: random bytes are never taken for a header and never throw', () => {
  const seed = Date.now() % 2 ** 31
  const random = generator(seed)
  for (let round = 0; round < 20_000; round++) {
    const [, header] = good[Math.floor(random() * good.length)]!
    const bytes = Buffer.from(header)
    for (let flips = 0; flips < 3; flips++) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256)
    const parsed = parseProxyHeader(bytes)
    if (parsed.kind !== 'header') continue
    assert.ok(parsed.bytes <= bytes.length, `seed ${seed} round ${round}`)
    const { source } = parsed
    if (source === undefined) continue
    assert.match(source.address, /^[0-9a-f.:]+$/, `seed ${seed} round ${round}`)
    assert.ok(source.port >= 0 && source.port <= 65_535, `seed ${seed} round ${round}`)
  }
})

test('proxy-protocol: a header that does not come in time is cut', { timeout }, async (t) => {
  const options = { limits: { connectTimeoutMs: 50 } }
  const { port, counts } = await openTestListener(t, { type: 'tcp', proxyProtocol: true }, options)
  const socket = await dial(t, port)
  socket.write('PROXY TCP4 ')
  assert.equal((await receiveAll(socket)).length, 0)
  assert.equal(counts.connectionsRefused.timeout, 1)
})

test('proxy-protocol: a client that leaves within the header is counted as aborted', { timeout }, async (t) => {
  const { port, counts, logged } = await openTestListener(t, { type: 'tcp', proxyProtocol: true })
  const socket = await dial(t, port)
  socket.end('PROXY TC')
  await logged('aborted')
  assert.equal(counts.connectionsRefused.aborted, 1)
})

test('proxy-protocol: what comes in one piece with the end of the connection is still read', { timeout }, async (t) => {
  const received: Promise<Buffer>[] = []
  const { port } = await openTestListener(
    t,
    { type: 'tcp', proxyProtocol: true },
    { onConnection: ({ stream }) => received.push(receiveAll(stream)) },
  )
  const socket = connect({ port, host: '127.0.0.1' })
  socket.end('PROXY TCP4 203.0.113.7 10.0.0.1 4660 1883\r\nlast words')
  await receiveAll(socket)
  assert.equal(String(await received[0]), 'last words')
})

test('proxy-protocol: only trusted proxies may speak it', { timeout }, async (t) => {
  const accept = { trustedProxies: ['10.0.0.0/8', '127.0.0.2', '2001:db8::/32'] }
  const config = { type: 'tcp', host: '0.0.0.0', insecure: true, proxyProtocol: true, accept }
  const { port, counts, nextConnection } = await openTestListener(t, config)
  const stranger = await dial(t, port)
  stranger.write('PROXY TCP4 203.0.113.7 10.0.0.1 4660 1883\r\n')
  assert.equal((await receiveAll(stranger)).length, 0)
  assert.equal(counts.connectionsRefused.proxy, 1)
  const proxy = connect({ port, host: '127.0.0.1', localAddress: '127.0.0.2' })
  t.after(() => proxy.destroy())
  proxy.write('PROXY TCP4 203.0.113.7 10.0.0.1 4660 1883\r\n')
  assert.equal((await nextConnection()).address, '203.0.113.7')
})

test('proxy-protocol: the limit for an address counts the real one, however it is written', { timeout }, async (t) => {
  const accept = { connectionsPerAddress: 1 }
  const { port, counts, nextConnection } = await openTestListener(t, { type: 'tcp', proxyProtocol: true, accept })
  const first = await dial(t, port)
  first.write('PROXY TCP6 2001:db8::1 ::1 1 2\r\n')
  const { stream } = await nextConnection()
  const again = await dial(t, port)
  again.write('PROXY TCP6 2001:0DB8:0:0::1 ::1 3 4\r\n')
  await receiveAll(again)
  assert.equal(counts.connectionsRefused.address_limit, 1)
  const other = await dial(t, port)
  other.write('PROXY TCP6 2001:db8::2 ::1 5 6\r\n')
  await nextConnection()
  const released = once(stream, 'close')
  first.destroy()
  await released
  const back = await dial(t, port)
  back.write('PROXY TCP6 2001:db8::1 ::1 7 8\r\n')
  assert.equal((await nextConnection()).port, 7)
})

test('proxy-protocol: the header comes before TLS', { timeout }, async (t) => {
  const { ca, server } = await makeCertificates(await makeFolder(t))
  const config = { type: 'tls', proxyProtocol: true, ...server }
  const { port, nextConnection } = await openTestListener(t, config)
  for (const send of [sendWhole, sendByBytes]) {
    const raw = await dial(t, port)
    await send(raw, good[4]![1])
    const socket = connectTls({ socket: raw, ca: await readFile(ca), servername: 'localhost' })
    await once(socket, 'secureConnect')
    socket.write('secret')
    assert.equal(String(await receive(socket, 6)), 'secret')
    assert.equal((await nextConnection()).address, '203.0.113.7')
  }
})

test('proxy-protocol: header and TLS hello in one piece', { timeout }, async (t) => {
  const { ca, server } = await makeCertificates(await makeFolder(t))
  const { port, nextConnection } = await openTestListener(t, { type: 'tls', proxyProtocol: true, ...server })
  const balancerPort = await openBalancer(t, port, good[0]![1])
  const socket = connectTls({ host: '127.0.0.1', port: balancerPort, ca: await readFile(ca), servername: 'localhost' })
  t.after(() => socket.destroy())
  await once(socket, 'secureConnect')
  socket.write('secret')
  assert.equal(String(await receive(socket, 6)), 'secret')
  assert.equal((await nextConnection()).address, '203.0.113.7')
})

test('proxy-protocol: header, TLS and WebSocket one after the other', { timeout }, async (t) => {
  const { ca, server } = await makeCertificates(await makeFolder(t))
  const { port, nextConnection } = await openTestListener(t, { type: 'wss', proxyProtocol: true, ...server })
  const balancerPort = await openBalancer(t, port, good[5]![1])
  const webSocket = new WebSocket(`wss://localhost:${balancerPort}/mqtt`, 'mqtt', { ca: await readFile(ca), family: 4 })
  t.after(() => webSocket.terminate())
  await once(webSocket, 'open')
  webSocket.send(Buffer.from('over the web'))
  const [data] = await once(webSocket, 'message')
  assert.equal(String(data), 'over the web')
  assert.equal((await nextConnection()).address, '2001:db8::1')
})

test('proxy-protocol: header and WebSocket upgrade in one piece', { timeout }, async (t) => {
  const { port, nextConnection } = await openTestListener(t, { type: 'ws', proxyProtocol: true })
  const balancerPort = await openBalancer(t, port, good[4]![1])
  const webSocket = new WebSocket(`ws://127.0.0.1:${balancerPort}/mqtt`, 'mqtt')
  t.after(() => webSocket.terminate())
  await once(webSocket, 'open')
  webSocket.send(Buffer.from('over the web'))
  const [data] = await once(webSocket, 'message')
  assert.equal(String(data), 'over the web')
  assert.equal((await nextConnection()).address, '203.0.113.7')
})

async function sendWhole(socket: Socket, bytes: Buffer): Promise<void> {
  socket.write(bytes)
}

/** One byte in each packet. */
async function sendByBytes(socket: Socket, bytes: Buffer): Promise<void> {
  for (const byte of bytes) await new Promise((resolve) => socket.write(Buffer.from([byte]), resolve))
}

/** A load balancer: puts the header and the client's first bytes into one write. */
async function openBalancer(t: TestContext, port: number, header: Buffer): Promise<number> {
  const balancer = createServer((client) => {
    client.on('error', () => {})
    client.once('data', (first) => {
      const upstream = connect({ port, host: '127.0.0.1' })
      upstream.on('error', () => {})
      upstream.write(Buffer.concat([header, first]))
      client.pipe(upstream).pipe(client)
    })
  }).listen(0, '127.0.0.1')
  t.after(() => balancer.close())
  await once(balancer, 'listening')
  return (balancer.address() as AddressInfo).port
}

/** Mulberry32: the same numbers for the same seed. */
function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
