// A worker that holds many connections with a will each, and resets them all at once when it is told to.
import { connect, type Socket } from 'node:net'
import { parentPort, workerData } from 'node:worker_threads'
import { packet, text } from './light-client.ts'

export interface ResetCrowdOptions {
  readonly port: number
  readonly clients: number
}

const atOnce = 200

const { port, clients } = workerData as ResetCrowdOptions
const sockets: Socket[] = []
for (let at = 0; at < clients; at += atOnce) {
  await Promise.all(Array.from({ length: Math.min(atOnce, clients - at) }, (_, index) => open(at + index)))
}
parentPort?.once('message', () => {
  for (const socket of sockets) socket.resetAndDestroy()
  parentPort?.close()
})
parentPort?.postMessage('connected')

/** Resolves with CONNACK. */
function open(index: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    sockets.push(socket)
    socket.once('error', reject)
    socket.once('data', (answer) => {
      socket.off('error', reject)
      socket.on('error', () => {})
      if (answer[3] === 0) resolve()
      else reject(new Error(`CONNACK ${answer[3]}`))
    })
    // Clean session, will, will QoS 1.
    const flags = 0x02 | 0x04 | 0x08
    const will = [text(`wills/${index}`), text(`${index}`)]
    socket.write(packet(0x10, [text('MQTT'), Buffer.from([4, flags, 0, 0]), text(`mortal ${index}`), ...will]))
  })
}
