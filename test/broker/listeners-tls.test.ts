// TLS listeners: handshakes good, half and hostile, client certificates, and certificates renewed under way.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { copyFile, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'
import { makeCertificates, type TestCertificates } from '../helpers/certificates.ts'
import { dial, makeFolder, openTestListener, receive, receiveAll } from '../helpers/listener.ts'

const timeout = 20_000

test('tls: bytes come through both ways', { timeout }, async (t) => {
  const certificates = await makeCertificates(await makeFolder(t))
  const { port, listener, nextConnection } = await openTestListener(t, { type: 'tls', ...certificates.server })
  const socket = await dialTls(t, port, certificates)
  socket.write('hello')
  assert.equal(String(await receive(socket, 5)), 'hello')
  const connection = await nextConnection()
  assert.equal(connection.address, '127.0.0.1')
  assert.equal(connection.port, socket.localPort)
  assert.equal(connection.certificate, undefined)
  assert.equal(listener.url, `mqtts://127.0.0.1:${port}`)
})

test('tls: a place is free again when a TLS connection closed', { timeout }, async (t) => {
  const certificates = await makeCertificates(await makeFolder(t))
  const accept = { connectionsMax: 1, connectionsPerAddress: 1 }
  const { port, nextConnection } = await openTestListener(t, { type: 'tls', accept, ...certificates.server })
  for (const leave of ['client', 'server'] as const) {
    const socket = await dialTls(t, port, certificates)
    socket.on('error', () => {})
    const { stream } = await nextConnection()
    const released = once(stream, 'close')
    if (leave === 'client') socket.destroy()
    else stream.destroy()
    await released
  }
  const socket = await dialTls(t, port, certificates)
  socket.write('x')
  assert.equal(String(await receive(socket, 1)), 'x')
})

test('tls: TLS 1.1 is refused', { timeout }, async (t) => {
  const certificates = await makeCertificates(await makeFolder(t))
  const { port, logged, counts } = await openTestListener(t, { type: 'tls', ...certificates.server })
  const old: ConnectionOptions = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }
  await assert.rejects(dialTls(t, port, certificates, old))
  await logged('connection refused')
  assert.equal(counts.connectionsRefused.tls, 1)
})

test('tls: minVersion TLSv1.3 refuses TLS 1.2', { timeout }, async (t) => {
  const certificates = await makeCertificates(await makeFolder(t))
  const { port } = await openTestListener(t, { type: 'tls', minVersion: 'TLSv1.3', ...certificates.server })
  await assert.rejects(dialTls(t, port, certificates, { maxVersion: 'TLSv1.2' }))
  await dialTls(t, port, certificates)
})

test('tls: a required client certificate is handed over', { timeout }, async (t) => {
  const certificates = await makeCertificates(await makeFolder(t))
  for (const clientCertificate of ['required', 'optional']) {
    const config = { type: 'tls', clientCertificate, ca: certificates.ca, ...certificates.server }
    const { port, nextConnection } = await openTestListener(t, config)
    await dialTls(t, port, certificates, await pair(certificates.client))
    const { certificate } = await nextConnection()
    assert.equal(certificate?.commonName, 'device-1')
    assert.deepEqual(certificate?.subjectAltNames, ['URI:urn:oriole:device-1'])
    assert.match(certificate?.fingerprint ?? '', /^[0-9a-f]{64}$/)
  }
})

test('tls: without a client certificate "required" refuses and "optional" lets in', { timeout }, async (t) => {
  const certificates = await makeCertificates(await makeFolder(t))
  const config = { type: 'tls', ca: certificates.ca, ...certificates.server }
  const strict = await openTestListener(t, { ...config, clientCertificate: 'required' })
  await refusedByTls(t, strict.port, certificates, {})
  assert.equal((await strict.logged('connection refused')).fields.detail, 'no client certificate')
  assert.equal(strict.connections.length, 0)
  const lenient = await openTestListener(t, { ...config, clientCertificate: 'optional' })
  await dialTls(t, lenient.port, certificates)
  assert.equal((await lenient.nextConnection()).certificate, undefined)
})

test('tls: a client certificate of a strange authority is refused, also where it is optional', {
  timeout,
}, async (t) => {
  const certificates = await makeCertificates(await makeFolder(t))
  for (const clientCertificate of ['required', 'optional']) {
    const config = { type: 'tls', clientCertificate, ca: certificates.ca, ...certificates.server }
    const { port, connections, logged } = await openTestListener(t, config)
    await refusedByTls(t, port, certificates, await pair(certificates.stranger))
    assert.match(String((await logged('connection refused')).fields.detail), /client certificate: UNABLE_TO_/)
    assert.equal(connections.length, 0)
  }
})

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  const name = `tls: a session resumed with ${version}`
  const config = { type: 'tls', clientCertificate: 'optional' }

  test(`${name} brings the same client certificate, and no other client brings it`, { timeout }, async (t) => {
    const certificates = await makeCertificates(await makeFolder(t))
    const files = { ca: certificates.ca, ...certificates.server }
    const { port, nextConnection } = await openTestListener(t, { ...config, ...files })
    const options = { minVersion: version, maxVersion: version }
    const proven = { ...options, ...(await pair(certificates.client)) }
    const session = await sessionOf(t, port, certificates, proven)
    assert.equal((await nextConnection()).certificate?.commonName, 'device-1')
    const second = await dialTls(t, port, certificates, { ...options, session })
    assert.equal(second.isSessionReused(), true)
    assert.equal((await nextConnection()).certificate?.commonName, 'device-1')
    await dialTls(t, port, certificates, options)
    assert.equal((await nextConnection()).certificate, undefined)
  })

  test(`${name} proves no more than it did before`, { timeout }, async (t) => {
    const certificates = await makeCertificates(await makeFolder(t))
    const files = { ca: certificates.ca, ...certificates.server }
    const options = { minVersion: version, maxVersion: version }
    for (const clientCertificate of ['optional', 'required']) {
      const { port, connections } = await openTestListener(t, { ...config, ...files, clientCertificate })
      const strangers = [{ ...options, ...(await pair(certificates.stranger)) }]
      if (clientCertificate === 'required') strangers.push(options)
      for (const stranger of strangers) {
        const session = await sessionOf(t, port, certificates, stranger).catch(() => undefined)
        if (session !== undefined) await refusedByTls(t, port, certificates, { ...options, session })
      }
      assert.equal(connections.length, 0)
    }
  })
}

test('tls: clientCertificate without ca is refused at the start', { timeout }, async (t) => {
  const { server } = await makeCertificates(await makeFolder(t))
  await assert.rejects(openTestListener(t, { type: 'tls', clientCertificate: 'required', ...server }), {
    code: 'ORI_TLS_INVALID',
    message: /needs authorities to trust \(listener "test"\); set listeners\.0\.ca/,
  })
})

test('tls: garbage, plain MQTT, and a hello cut in half harm nobody and are logged', { timeout }, async (t) => {
  const certificates = await makeCertificates(await makeFolder(t))
  const { port, connections, counts, logged } = await openTestListener(t, { type: 'tls', ...certificates.server })
  const steady = await dialTls(t, port, certificates)
  for (const bytes of ['\0\0\0\0garbage', '\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0', 'GET / HTTP/1.1\r\n\r\n']) {
    const socket = await dial(t, port)
    socket.write(bytes)
    await receiveAll(socket)
  }
  const half = await dial(t, port)
  half.end(Buffer.from('16030100c8010000c40303', 'hex'))
  await receiveAll(half)
  const reset = await dial(t, port)
  reset.write(Buffer.from('160301', 'hex'), () => reset.resetAndDestroy())
  await logged('"reason":"tls"')
  steady.write('fine')
  assert.equal(String(await receive(steady, 4)), 'fine')
  assert.equal(connections.length, 1)
  assert.ok(counts.connectionsRefused.tls >= 3)
})

test('tls: a handshake that stops half way is cut in time, also byte after byte', { timeout }, async (t) => {
  const certificates = await makeCertificates(await makeFolder(t))
  const options = { limits: { connectTimeoutMs: 100 } }
  const { port, counts } = await openTestListener(t, { type: 'tls', ...certificates.server }, options)
  const socket = await dial(t, port)
  const drip = setInterval(() => socket.write(Buffer.from([0x16])), 20)
  t.after(() => clearInterval(drip))
  // A record of 512 bytes, which will never be whole.
  socket.write(Buffer.from('160301020001', 'hex'))
  await receiveAll(socket)
  const silent = await dial(t, port)
  assert.equal((await receiveAll(silent)).length, 0)
  // Node's clock or ours, whichever is first.
  assert.equal(counts.connectionsRefused.timeout + counts.connectionsRefused.tls, 2)
})

test('tls: close cuts handshakes under way', { timeout }, async (t) => {
  const certificates = await makeCertificates(await makeFolder(t))
  const { port, listener, counts } = await openTestListener(t, { type: 'tls', ...certificates.server })
  const steady = await dialTls(t, port, certificates)
  const half = await dial(t, port)
  // Both are accepted in order: when this one was answered, the half one is known.
  const answered = await dialTls(t, port, certificates)
  answered.write('x')
  await receive(answered, 1)
  await listener.close()
  await receiveAll(half)
  assert.equal(counts.connectionsRefused.aborted, 1)
  steady.write('fine')
  assert.equal(String(await receive(steady, 4)), 'fine')
})

test('tls: files that cannot be used are named', { timeout }, async (t) => {
  const folder = await makeFolder(t)
  const { server, client } = await makeCertificates(folder)
  const missing = join(folder, 'missing.pem')
  const broken = join(folder, 'broken.pem')
  await writeFile(broken, 'not a certificate')
  const cases = [
    [{ certificate: missing, key: server.key }, /cannot read certificate ".*missing\.pem" \(listener "test"\)/],
    [{ certificate: server.certificate, key: missing }, /cannot read key ".*missing\.pem"/],
    [{ certificate: broken, key: server.key }, /certificate ".*broken\.pem" is not a valid PEM file/],
    [{ certificate: server.certificate, key: broken }, /key ".*broken\.pem" is not a valid PEM file/],
    [{ ...server, ca: broken, clientCertificate: 'optional' }, /ca ".*broken\.pem" is not a valid PEM file/],
    [{ certificate: server.certificate, key: client.key }, /key ".*client\.key" does not belong to .*server\.pem/],
  ] as const
  for (const [files, message] of cases) {
    await assert.rejects(openTestListener(t, { type: 'tls', ...files }), { code: 'ORI_TLS_INVALID', message })
  }
})

test('tls: a renewed certificate is served to the next, and who is connected stays', { timeout }, async (t) => {
  const folder = await makeFolder(t)
  const [before, after] = [await makeCertificates(folder), await makeCertificates(await makeFolder(t))]
  const live = { certificate: join(folder, 'live.pem'), key: join(folder, 'live.key') }
  await install(before.server, live)
  const { port, counts, logged } = await openTestListener(t, { type: 'tls', ...live })
  const steady = await dialTls(t, port, before)
  await install(after.server, live)
  await logged('certificate reloaded')
  assert.equal(counts.certificateReloads, 1)
  await dialTls(t, port, after)
  await assert.rejects(dialTls(t, port, before))
  steady.write('still here')
  assert.equal(String(await receive(steady, 10)), 'still here')
})

test('tls: a pair that does not fit keeps the old one, and the next good one is taken', { timeout }, async (t) => {
  const folder = await makeFolder(t)
  const [before, after] = [await makeCertificates(folder), await makeCertificates(await makeFolder(t))]
  const live = { certificate: join(folder, 'live.pem'), key: join(folder, 'live.key') }
  await install(before.server, live)
  const { port, counts, logged } = await openTestListener(t, { type: 'tls', ...live })
  await install({ certificate: after.server.certificate, key: after.client.key }, live)
  const line = await logged('certificate not reloaded')
  assert.equal(line.level, 'error')
  assert.match(String(line.fields.error), /does not belong to/)
  assert.equal(counts.certificateReloadFailures, 1)
  await dialTls(t, port, before)
  await install(after.server, live)
  await logged('certificate reloaded')
  await dialTls(t, port, after)
})

async function dialTls(
  t: TestContext,
  port: number,
  certificates: TestCertificates,
  options: ConnectionOptions = {},
): Promise<TLSSocket> {
  const ca = await readFile(certificates.ca)
  const socket = connectTls({ host: '127.0.0.1', port, servername: 'localhost', ca, ...options })
  t.after(() => socket.destroy())
  await once(socket, 'secureConnect')
  return socket
}

/** The session that the server gives, if it gives one before it closes. */
async function sessionOf(
  t: TestContext,
  port: number,
  certificates: TestCertificates,
  options: ConnectionOptions,
): Promise<Buffer> {
  const ca = await readFile(certificates.ca)
  const socket = connectTls({ host: '127.0.0.1', port, servername: 'localhost', ca, ...options })
  t.after(() => socket.destroy())
  const given = once(socket, 'session')
  const closed = once(socket, 'close').then(() => assert.fail('closed without a session'))
  socket.resume()
  const [session] = await Promise.race([given, closed])
  return session
}

/** In TLS 1.3 the client may believe for a moment that all is well. */
async function refusedByTls(
  t: TestContext,
  port: number,
  certificates: TestCertificates,
  options: ConnectionOptions,
): Promise<void> {
  const socket = await dialTls(t, port, certificates, options).catch(() => undefined)
  if (socket !== undefined) assert.equal((await receiveAll(socket)).length, 0)
}

async function pair(files: { readonly certificate: string; readonly key: string }): Promise<ConnectionOptions> {
  return { cert: await readFile(files.certificate), key: await readFile(files.key) }
}

/** As a renewal does it: written beside, then renamed into place. */
async function install(
  from: { readonly certificate: string; readonly key: string },
  to: { readonly certificate: string; readonly key: string },
): Promise<void> {
  for (const file of ['certificate', 'key'] as const) {
    await copyFile(from[file], `${to[file]}.new`)
    await rename(`${to[file]}.new`, to[file])
  }
}
