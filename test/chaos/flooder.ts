// A thread that publishes as fast as the broker takes it, and a subscriber that counts what arrives: beside the process
// that measures the others, so that it does not disturb the measuring.
import { once } from 'node:events'
import { parentPort, workerData } from 'node:worker_threads'
import { LightClient, number, packet, text } from './light-client.ts'

export interface FlooderOptions {
  readonly port: number
  readonly qos: 0 | 1
}

export interface FloodReport {
  readonly sent: number
  readonly acknowledged: number
  /** Different ones. */
  readonly received: number
}

/** One write; a real client that floods sends many packets in one, too. */
const batch = 500
/** More than the broker lets one client have on the way: what it does then is to read later. */
const windowMessages = 5_000
/** The receiver may lag behind by this much. By more than its queue holds it would lose messages, as it is meant to. */
const lagMessages = 50_000
const payloadBytes = 64
const settleMs = 120_000

const topic = text('flood')
const { port, qos } = workerData as FlooderOptions
/** Numbers that came, a bit for each: a Set holds 16 million. */
let bits = Buffer.alloc(1 << 20)
let received = 0
let sent = 0
let acknowledged = 0
let stopping = false
let wake = (): void => {}

const subscriber = new LightClient({ port, clientId: 'flood subscriber', clean: qos === 0 })
subscriber.onMessage = (_topic, payload) => {
  note(payload.readUInt32BE(0))
  wake()
}
subscriber.onClosed = () => fail('subscriber')
await subscriber.connect()
await subscriber.subscribe('flood', qos)
const publisher = new LightClient({ port, clientId: 'flood publisher' })
publisher.onAcknowledged = () => {
  acknowledged += 1
  wake()
}
publisher.onClosed = () => fail('publisher')
await publisher.connect()

parentPort!.on('message', () => {
  stopping = true
  wake()
})
parentPort!.postMessage('ready')
await flood()
await settle()
subscriber.onClosed = () => {}
publisher.onClosed = () => {}
parentPort!.postMessage({ sent, acknowledged, received } satisfies FloodReport)
subscriber.destroy()
publisher.destroy()
parentPort!.close()

async function flood(): Promise<void> {
  while (!stopping) {
    if (qos === 1 && (sent - acknowledged >= windowMessages || sent - received >= lagMessages)) {
      await woken()
      continue
    }
    const packets = Array.from({ length: batch }, () => publish())
    if (!publisher.socket.write(Buffer.concat(packets))) await once(publisher.socket, 'drain')
    // The acknowledgements are read here too.
    else await new Promise((resolve) => setImmediate(resolve))
  }
}

function publish(): Buffer {
  const payload = Buffer.alloc(payloadBytes)
  payload.writeUInt32BE(sent, 0)
  sent += 1
  return qos === 0 ? packet(0x30, [topic, payload]) : packet(0x32, [topic, number((sent % 65_535) + 1), payload])
}

/** QoS 1: everything is acknowledged, and what is acknowledged arrives. */
async function settle(): Promise<void> {
  if (qos === 0) return
  const deadline = setTimeout(() => wake(), settleMs)
  const until = performance.now() + settleMs
  while ((acknowledged < sent || received < sent) && performance.now() < until) await woken()
  clearTimeout(deadline)
}

function note(number: number): void {
  const at = number >> 3
  if (at >= bits.length) bits = Buffer.concat([bits, Buffer.alloc(Math.max(bits.length, at))])
  const bit = 1 << (number & 7)
  if ((bits[at]! & bit) !== 0) return
  bits[at]! |= bit
  received += 1
}

/** Ends the thread with an error: the other side would wait for ever. */
function fail(who: string): void {
  throw new Error(`the connection of the ${who} was closed`)
}

function woken(): Promise<void> {
  return new Promise((resolve) => {
    wake = resolve
  })
}
