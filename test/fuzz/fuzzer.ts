// Hostile clients without an end: valid packets, mangled packets, garbage, cut and joined anyhow, against a broker in
// this process; beside them two well-behaved clients who must notice nothing.
import { connect as connectTcp } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { MqttClient } from 'mqtt'
import type { ProtocolVersion } from '../../broker/protocol/packets.ts'
import type { Random } from '../helpers/random.ts'
import { oracleBytes, randomClientPacket } from '../helpers/random-packets.ts'
import { connectBytes } from '../hostile/table.ts'

export interface FuzzReport {
  readonly connections: number
  readonly bytes: number
  /** Round trips of the well-behaved pair. */
  readonly roundTrips: number
  /** Heap after a full collection, in bytes, when collection can be asked for. */
  readonly heapBefore: number
  readonly heapAfter: number
}

export interface FuzzOptions {
  readonly port: number
  readonly random: Random
  readonly seconds: number
  /** Connected to the same broker. */
  readonly witness: MqttClient
}

/** A connection that has not ended by itself by then is let go of. */
const connectionMs = 2_000
const atOnce = 20

/** Many client ids come back at once, and what they leave behind is small and ends soon. */
export const fuzzConfig = `
node: fuzz
listeners:
  - { name: tcp, type: tcp, port: 0 }
limits:
  connectsPerClient: { perS: 1000000, burst: 1000000 }
  sessionExpiryS: 1
  sessionExpiryMaxS: 1
  retainedMessages: 500
store: { type: memory }
admin: { enabled: false }
plugins: [auth-anonymous, acl-open]
`

/** Throws when the witness does not get its own message back, or anything in the process was thrown out of place. */
export async function fuzz(options: FuzzOptions): Promise<FuzzReport> {
  const { random, witness } = options
  const stray: unknown[] = []
  const onStray = (error: unknown): void => void stray.push(error)
  process.on('uncaughtException', onStray)
  process.on('unhandledRejection', onStray)
  const until = Date.now() + options.seconds * 1000
  let connections = 0
  let bytes = 0
  let roundTrips = 0
  await witness.subscribeAsync('witness/#', { qos: 1 })
  await roundTrip(witness, 0)
  const heapBefore = heapUsed()
  try {
    while (Date.now() < until) {
      const attacks = Array.from({ length: atOnce }, () => attack(options.port, random))
      const sent = await Promise.all(attacks)
      connections += sent.length
      bytes += sent.reduce((sum, one) => sum + one, 0)
      roundTrips += 1
      await roundTrip(witness, roundTrips)
      if (stray.length > 0) throw new Error('something was thrown out of place', { cause: stray[0] })
    }
    await nextTurn()
    return { connections, bytes, roundTrips, heapBefore, heapAfter: heapUsed() }
  } finally {
    process.off('uncaughtException', onStray)
    process.off('unhandledRejection', onStray)
  }
}

async function roundTrip(witness: MqttClient, number: number): Promise<void> {
  const wanted = `still here ${number}`
  const back = new Promise<void>((resolve) => {
    const look = (_topic: string, payload: Buffer): void => {
      if (payload.toString() !== wanted) return
      witness.off('message', look)
      resolve()
    }
    witness.on('message', look)
  })
  await witness.publishAsync('witness/echo', wanted, { qos: 1 })
  await back
}

/** One hostile connection; resolves with the bytes that it sent, when it ended or its time is over. */
function attack(port: number, random: Random): Promise<number> {
  const script = makeScript(random)
  return new Promise((resolve) => {
    const socket = connectTcp(port, '127.0.0.1')
    const timer = setTimeout(() => socket.destroy(), connectionMs)
    let sent = 0
    socket.on('error', () => {})
    socket.on('data', () => {})
    socket.on('close', () => {
      clearTimeout(timer)
      resolve(sent)
    })
    socket.on('connect', () => {
      for (const piece of script.pieces) {
        socket.write(piece)
        sent += piece.length
      }
      if (script.cut) socket.destroy()
      else socket.end()
    })
  })
}

interface Script {
  readonly pieces: readonly Buffer[]
  /** Ends without a goodbye. */
  readonly cut: boolean
}

function makeScript(random: Random): Script {
  const version = random.pick([3, 4, 5] as const)
  const parts: Buffer[] = []
  if (!random.chance(8)) parts.push(connectBytes(version, `fuzz-${random.below(50)}`))
  const count = random.below(12)
  for (let index = 0; index < count; index += 1) parts.push(makePart(random, version))
  return { pieces: cutUp(random, Buffer.concat(parts)), cut: random.chance(3) }
}

function makePart(random: Random, version: ProtocolVersion): Buffer {
  if (random.chance(10)) return random.bytes(64)
  const packet = randomClientPacket(random, version)
  const bytes = Buffer.from(oracleBytes(packet, version))
  if (random.chance()) return bytes
  return mangle(random, bytes)
}

function mangle(random: Random, bytes: Buffer): Buffer {
  const way = random.below(4)
  if (way === 0) return bytes.subarray(0, random.below(bytes.length + 1))
  if (way === 1) return Buffer.concat([bytes, random.bytes(8)])
  const flips = 1 + random.below(4)
  for (let flip = 0; flip < flips && bytes.length > 0; flip += 1) {
    const at = random.below(bytes.length)
    bytes[at] = way === 2 ? bytes[at]! ^ (1 << random.below(8)) : random.below(256)
  }
  return bytes
}

function cutUp(random: Random, bytes: Buffer): Buffer[] {
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = random.chance() ? bytes.length - at : 1 + random.below(32)
    pieces.push(bytes.subarray(at, at + length))
    at += length
  }
  return pieces
}

function heapUsed(): number {
  ;(globalThis as { gc?: () => void }).gc?.()
  return process.memoryUsage().heapUsed
}
