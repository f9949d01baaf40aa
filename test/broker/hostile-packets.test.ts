// Every row of the table of hostile packets against a running broker, over every transport.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect, type NetConnectOpts } from 'node:net'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { createWebSocketStream, WebSocket } from 'ws'
import { errorText } from '../../broker/errors.ts'
import { openConfig, startBroker, temporaryFolder } from '../helpers/broker.ts'
import { makeCertificates } from '../helpers/certificates.ts'
import { loadHostileRows, runHostileRow } from '../hostile/table.ts'

/** Enough to be quick, few enough for a small machine. */
const atOnce = 16

type Dial = (port: number, ca: Buffer) => Promise<Duplex>

const transports: Readonly<Record<'tcp' | 'ws' | 'tls' | 'wss', Dial>> = {
  async tcp(port) {
    const options: NetConnectOpts = { port, host: '127.0.0.1', noDelay: true }
    const socket = connect(options)
    await once(socket, 'connect')
    return socket
  },
  async tls(port, ca) {
    const socket = connectTls({ port, host: '127.0.0.1', ca, servername: 'localhost' })
    await once(socket, 'secureConnect')
    return socket
  },
  ws: (port) => dialWebSocket(new WebSocket(`ws://127.0.0.1:${port}/mqtt`, 'mqtt')),
  wss: (port, ca) => dialWebSocket(new WebSocket(`wss://localhost:${port}/mqtt`, 'mqtt', { ca, family: 4 })),
}

async function dialWebSocket(webSocket: WebSocket): Promise<Duplex> {
  const stream = createWebSocketStream(webSocket)
  // Ends that the broker did not mean for a browser, 1006 among them, are ends.
  stream.on('error', () => {})
  await once(webSocket, 'open')
  return stream
}

for (const [name, dial] of Object.entries(transports)) {
  test(`hostile packets: over ${name} the broker answers each as the table says, and lives`, {
    timeout: 120_000,
  }, async (t) => {
    const certificates = await makeCertificates(await temporaryFolder(t))
    const { certificate, key } = certificates.server
    const secure = `certificate: ${certificate}, key: ${key}`
    const listeners = `  - { name: tls, type: tls, port: 0, ${secure} }\n  - { name: wss, type: wss, port: 0, ${secure} }\nstore:`
    const broker = await startBroker(t, openConfig.replace('store:', listeners))
    const ca = await readFile(certificates.ca)
    const rows = loadHostileRows(join(process.cwd(), 'test/hostile/packets.json'))
    const plays = rows.flatMap((row) => row.versions.map((version) => ({ row, version })))
    t.diagnostic(`${rows.length} rows, ${plays.length} connections`)
    const wrong: string[] = []
    let next = 0
    const worker = async (): Promise<void> => {
      for (let index = next++; index < plays.length; index = next++) {
        const { row, version } = plays[index]!
        await runHostileRow(row, version, () => dial(broker.port(name), ca), `hostile-${index}`).catch(
          (error: unknown) => {
            wrong.push(`${row.name} (version ${version}): ${errorText(error)}`)
          },
        )
      }
    }
    await Promise.all(Array.from({ length: atOnce }, worker))
    assert.deepEqual(wrong, [])
  })
}
