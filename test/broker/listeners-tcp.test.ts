// TCP listeners and what all listeners share: limits at accept, errors at start, stop.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { test } from 'node:test'
import { dial, openTestListener, receive, receiveAll } from '../helpers/listener.ts'

const timeout = 10_000

test('tcp: bytes come through both ways, with the address in plain IPv4', { timeout }, async (t) => {
  const { port, listener, nextConnection } = await openTestListener(t, { type: 'tcp', host: '::', insecure: true })
  const socket = await dial(t, port)
  socket.write('hello')
  assert.equal(String(await receive(socket, 5)), 'hello')
  const connection = await nextConnection()
  assert.equal(connection.address, '127.0.0.1')
  assert.equal(connection.port, socket.localPort)
  assert.equal(connection.listener, 'test')
  assert.equal(connection.certificate, undefined)
  assert.ok(Math.abs(Date.now() - connection.acceptedAt) < 5000)
  assert.equal(listener.url, `mqtt://[::]:${port}`)
})

test('tcp: a port that is taken is named, with the setting to change', { timeout }, async (t) => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.after(() => other.close())
  const address = other.address()
  const port = typeof address === 'object' ? address?.port : 0
  await assert.rejects(openTestListener(t, { type: 'tcp', port }), {
    code: 'ORI_PORT_TAKEN',
    message: `port ${port} is taken (listener "test"); set listeners.0.port`,
  })
})

test('tcp: an address that is not of this machine is named', { timeout }, async (t) => {
  await assert.rejects(openTestListener(t, { type: 'tcp', host: '192.0.2.1' }), {
    code: 'ORI_LISTEN_FAILED',
    message: '"192.0.2.1" is no address of this machine (listener "test"); set listeners.0.host',
  })
})

test('tcp: an entry of trustedProxies that is no address is refused at the start', { timeout }, async (t) => {
  const accept = { trustedProxies: ['10.0.0.0/33'] }
  await assert.rejects(openTestListener(t, { type: 'tcp', proxyProtocol: true, accept }), {
    code: 'ORI_CONFIG_INVALID',
    message: /"10\.0\.0\.0\/33" is neither .* set listeners\.0\.accept\.trustedProxies/,
  })
})

test('tcp: connectionsMax cuts the next one at once, and a place is free again after a close', {
  timeout,
}, async (t) => {
  const accept = { connectionsMax: 1 }
  const { port, counts, nextConnection, lines } = await openTestListener(t, { type: 'tcp', accept })
  const first = await dial(t, port)
  const { stream } = await nextConnection()
  for (let attempt = 0; attempt < 3; attempt++) await receiveAll(connect({ port, host: '127.0.0.1' }))
  assert.equal(counts.connectionsRefused.limit, 3)
  assert.equal(counts.connectionsOpened, 1)
  const refusals = lines.filter((line) => line.phrase === 'connection refused')
  assert.ok(refusals.length >= 1 && refusals.length < 3, 'one line a second, not one for each')
  const released = once(stream, 'close')
  first.destroy()
  await released
  const next = await dial(t, port)
  next.write('x')
  assert.equal(String(await receive(next, 1)), 'x')
})

test('tcp: connectionsPerAddress counts each address for itself', { timeout }, async (t) => {
  const accept = { connectionsPerAddress: 1 }
  const { port, counts } = await openTestListener(t, { type: 'tcp', host: '0.0.0.0', insecure: true, accept })
  await dial(t, port)
  const second = connect({ port, host: '127.0.0.1' })
  assert.equal((await receiveAll(second)).length, 0)
  const other = connect({ port, host: '127.0.0.1', localAddress: '127.0.0.2' })
  t.after(() => other.destroy())
  other.write('x')
  assert.equal(String(await receive(other, 1)), 'x')
  assert.equal(counts.connectionsRefused.address_limit, 1)
})

test('tcp: perAddressPerS lets a burst in up to the limit and refuses the rest', { timeout }, async (t) => {
  const accept = { perAddressPerS: 3 }
  const { port, counts, connections } = await openTestListener(t, { type: 'tcp', accept })
  const sockets = Array.from({ length: 30 }, () => connect({ port, host: '127.0.0.1' }))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
  })
  await Promise.all(sockets.map((socket) => once(socket, 'connect')))
  // The last in the queue of the listener: when it was seen, all were.
  const last = connect({ port, host: '127.0.0.1' })
  await Promise.race([receiveAll(last), once(last, 'ready').then(() => receive(last, 1))])
  assert.equal(connections.length + counts.connectionsRefused.address_rate, 31)
  // All within one second, or across the border of two.
  assert.ok(connections.length === 3 || connections.length <= 6, `${connections.length} came in`)
  assert.ok(counts.connectionsRefused.address_rate >= 25)
})

test('tcp: the broker may refuse everybody for a reason of its own', { timeout }, async (t) => {
  const { port, counts } = await openTestListener(t, { type: 'tcp' }, { refuseNow: () => 'overload' })
  assert.equal((await receiveAll(connect({ port, host: '127.0.0.1' }))).length, 0)
  assert.equal(counts.connectionsRefused.overload, 1)
})

test('tcp: after close nobody comes in, the port is free, and who is in stays', { timeout }, async (t) => {
  const { port, listener, nextConnection } = await openTestListener(t, { type: 'tcp' })
  const socket = await dial(t, port)
  await nextConnection()
  await listener.close()
  await assert.rejects(once(connect({ port, host: '127.0.0.1' }), 'connect'), { code: 'ECONNREFUSED' })
  socket.write('still here')
  assert.equal(String(await receive(socket, 10)), 'still here')
  const again = createServer().listen(port, '127.0.0.1')
  t.after(() => again.close())
  await once(again, 'listening')
})

test('tcp: a throw in the hand-over ends that connection and nothing else', { timeout }, async (t) => {
  const onConnection = (): void => {
    throw new Error('planted')
  }
  const { port, logged } = await openTestListener(t, { type: 'tcp' }, { onConnection })
  assert.equal((await receiveAll(connect({ port, host: '127.0.0.1' }))).length, 0)
  assert.equal((await logged('planted')).level, 'error')
})
